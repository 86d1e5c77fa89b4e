// What a worker of the suite does when it is asked.

import { Account, Root } from './shapes.js'
import { mapOf, rangesOf, ringOf, sparseOf } from './kinds.js'

/**
 * What each request is answered with. All get the machine, what came with the request, and `tell`,
 * which answers early.
 */
const answers = {
  cpu: (machine) => machine.cpu,
  price: (machine) => machine.objects.open('root', Root).follow.current.cents,
  /** Moves money to and fro, as a section that is whole or not there. */
  transfer(machine, { times }) {
    const mutex = machine.locks.mutex('accounts')
    const [from, to] = [1, 2].map((n) => machine.objects.open(`account ${n}`, Account))
    const count = machine.percpu.counter('transfers')
    for (let i = 0; i < times; i++) {
      mutex.run((section) => {
        section.at(from).balance -= 1
        section.at(to).balance += 1
      })
      count.add(1)
    }
    return machine.percpu.counter('transfers').sum() >= times
  },
  /** Reads in a section across an await. */
  protect: (machine, { pause }) =>
    machine.srcu('readers').protect(async () => {
      const root = machine.objects.open('root', Root)
      const { cents } = root.follow.current
      await new Promise((resolve) => setTimeout(resolve, pause))
      return cents
    }),
  map: (machine, { key }) => machine.map('map', mapOf).get(key),
  range: (machine, { at }) => machine.rangeMap('ranges', rangesOf).lookup(at),
  receive: (machine) => machine.ring('ring', ringOf).receive({ timeout: 60_000 }),
  sparse: (machine, { at }) => machine.sparseArray('sparse', sparseOf).get(at),
  throws(machine) {
    try {
      machine.objects.open('nothing', Root)
      return undefined
    } catch ({ name, code }) {
      return { name, code }
    }
  },
  /** Ends by itself, without leaving the machine. */
  end(_machine, { close }, tell) {
    tell()
    close()
  },
  /** Holds the lock, and never returns. */
  hold(machine, _request, tell) {
    machine.locks.mutex('accounts').lock()
    tell()
    for (;;) machine.poll()
  },
  /** Uses everything without a pause. `every` so many turns it returns to its event loop. */
  async churn(machine, { seed, every }, tell) {
    const mutex = machine.locks.mutex('accounts')
    const accounts = [1, 2].map((n) => machine.objects.open(`account ${n}`, Account))
    const map = machine.map('map', mapOf)
    const count = machine.percpu.counter('turns')
    tell()
    for (let turn = seed; ; turn++) {
      const address = machine.heap.alloc(16 + (turn % 500))
      mutex.run((section) => {
        section.at(accounts[0]).balance -= turn % 7
        section.at(accounts[1]).balance += turn % 7
      })
      map.set(`key ${turn % 50}`, { turn })
      if (turn % 3 !== 0) machine.heap.free(address)
      if (turn % 5 === 0) map.delete(`key ${(turn * 7) % 50}`)
      count.add(1)
      if (every > 0 && turn % every === 0) await new Promise((resolve) => setTimeout(resolve, 0))
    }
  },
}

/**
 * Answers a request of the main thread: `{ id, do }` with `{ id, result }` or `{ id, error }`.
 * `close` ends the thread once it returns.
 */
export async function answer(machine, request, { tell, close }) {
  const { id } = request
  const early = () => tell({ id, result: true })
  try {
    const result = await answers[request.do](machine, { ...request, close }, early)
    tell({ id, result })
  } catch (error) {
    tell({ id, error: `${error.code ?? error.name}: ${error.message}` })
  }
}
