// A little of every layer, with real threads, and workers that are killed.
//
// `threads` says how workers are made where this runs:
//
//     make(invitation)   a worker that joins with it, and answers requests (work.js)
//     listen(worker, on) calls `on` with each message of it, until the returned function is called
//     blocks             whether the main thread may block
//     tellsOfClose       whether the end of a worker is told that closes itself
//     busyEnds           whether a worker ends when it is terminated in a loop that never returns

import * as percpu from 'percpu'
import { codeOf, equal, randomFrom, within } from './check.js'
import { mapOf, rangesOf, ringOf, sparseOf } from './kinds.js'
import { Account, Price, Root } from './shapes.js'

const KILLS = 20
const SOON = 60_000

/** A worker of the machine, as the suite speaks to it. */
class Thread {
  #requests = 0
  constructor(machine, threads) {
    const invitation = machine.invite()
    this.threads = threads
    this.worker = threads.make(invitation)
    this.supervision = machine.supervise(this.worker, invitation)
  }
  ask(what, more = {}) {
    const id = ++this.#requests
    const answered = new Promise((resolve, reject) => {
      const off = this.threads.listen(this.worker, (message) => {
        if (message.id !== id && message.id !== 'failed') return
        off()
        if (message.error === undefined) resolve(message.result)
        else reject(new Error(message.error))
      })
    })
    this.worker.postMessage({ id, do: what, ...more })
    return within(SOON, answered, what)
  }
  kill() {
    return within(SOON, this.supervision.terminate(), 'the end of a worker')
  }
}

/** Each check has the world of all: a machine with two accounts, a price, and two workers. */
const checks = {
  async 'boot, join'({ machine, workers }) {
    const cpus = await Promise.all(workers.map((worker) => worker.ask('cpu')))
    equal([...cpus].sort(), [1, 2], 'CPUs of the workers')
    equal(machine.online, [0, 1, 2], 'online')
  },
  async structs({ root, workers }) {
    equal(await Promise.all(workers.map((worker) => worker.ask('price'))), [100, 100], 'prices')
    root.turns.store(2n ** 63n)
    equal(root.turns.add(5n), 2n ** 63n, 'a 64-bit add')
  },
  async 'heap, grace periods'({ machine, root, prices, workers }) {
    const next = prices.create((price) => (price.cents = 250))
    prices.persist(next.address)
    const old = root.current.exchange(next.address)
    await machine.rcu.synchronize({ timeout: SOON })
    prices.free(old)
    equal(await workers[0].ask('price'), 250, 'the new price')
    equal(await codeOf(() => prices.free(old)), 'PERCPU_DOUBLE_FREE', 'freeing twice')
    machine.heap.verify({ quiet: true })
  },
  async 'mutex, sections, per-CPU counter'({ machine, accounts, workers }) {
    const times = 2000
    await Promise.all(workers.map((worker) => worker.ask('transfer', { times })))
    equal(machine.percpu.counter('transfers').sum(), 2 * times, 'transfers')
    equal(balances(accounts), [-2 * times, 2 * times], 'balances')
    const guard = await machine.locks.mutex('accounts').lockAsync({ timeout: SOON })
    guard.unlock()
  },
  async SRCU({ machine, workers }) {
    const reading = workers[0].ask('protect', { pause: 20 })
    await workers[1].ask('cpu')
    await machine.srcu('readers').synchronize({ timeout: SOON })
    equal(await reading, 250, 'what the section read')
  },
  async 'map, ranges, ring'({ machine, workers: [first, second] }) {
    machine.map('map', mapOf).set('/about', { page: 7, text: 'é\ud83d\ude00' })
    equal(await first.ask('map', { key: '/about' }), { page: 7, text: 'é\ud83d\ude00' }, 'the map')
    machine.rangeMap('ranges', rangesOf).set(10, 20, 'ten')
    equal(await second.ask('range', { at: 15 }), 'ten', 'the ranges')
    const received = first.ask('receive')
    await machine.ring('ring', ringOf).sendAsync({ job: 1 })
    equal(await received, { job: 1 }, 'the message')
  },
  async 'sparse array'({ machine, workers }) {
    machine.sparseArray('sparse', sparseOf).set(60_000_000_000, 7)
    equal(await workers[0].ask('sparse', { at: 60_000_000_000 }), 7, 'the value')
  },
  async errors({ machine, workers, threads }) {
    const thrown = await workers[0].ask('throws')
    equal(thrown, { name: 'ObjectMissingError', code: 'PERCPU_OBJECT_MISSING' }, 'an error')
    equal(await codeOf(() => machine.supervise({})), 'PERCPU_UNSUPPORTED', 'supervise({})')
    const park = () => machine.cpus.park(machine.memory.byteLength - 8, 0, 1)
    equal(await codeOf(park), threads.blocks ? undefined : 'PERCPU_UNSUPPORTED', 'blocking')
  },
  async 'death in a lock'({ machine, threads, workers: [first, second] }) {
    if (!threads.busyEnds) return
    await first.ask('hold')
    const [cpu] = await first.kill()
    equal(machine.cpus.states()[cpu].state, 'offline', 'the CPU of the dead')
    equal(await second.ask('transfer', { times: 10 }), true, 'the lock')
  },
  async 'a worker that closes itself'({ machine, threads }) {
    const thread = new Thread(machine, threads)
    const cpu = await thread.ask('cpu')
    await thread.ask('end')
    const { reaped } = thread.supervision
    equal(await (threads.tellsOfClose ? within(SOON, reaped, 'its end') : thread.kill()), [cpu], 'its CPU')
  },
  async 'death before it joined'({ machine, threads }) {
    const thread = new Thread(machine, threads)
    equal((await thread.kill()).length <= 1, true, 'at most one CPU')
  },
  async [`${KILLS} kills`]({ machine, accounts, threads }) {
    const random = randomFrom(7)
    for (let kill = 0; kill < KILLS; kill += 2) {
      const pair = [new Thread(machine, threads), new Thread(machine, threads)]
      await Promise.all(
        pair.map((thread, i) =>
          thread.ask('churn', {
            seed: random(1000),
            every: threads.busyEnds && (kill + 2 * i) % 8 < 4 ? 0 : 3,
          }),
        ),
      )
      await new Promise((resolve) => setTimeout(resolve, random(12)))
      await Promise.all(pair.map((thread) => thread.kill()))
      const [left, right] = balances(accounts)
      equal(left + right, 0, 'the sum of both accounts')
    }
  },
}

function balances(accounts) {
  return accounts.map(({ balance }) => balance)
}

/** Runs everything; gives the outcome of each check: `yes`, or what was wrong. */
export async function runSuite(threads, tell = () => undefined) {
  const started = performance.now()
  const machine = percpu.boot({ memory: '32 MiB', cpus: 5 })
  const prices = machine.heap.cache('price', Price)
  const root = machine.objects.create('root', Root)
  const accounts = [1, 2].map((n) => machine.objects.create(`account ${n}`, Account))
  const first = prices.create((price) => (price.cents = 100))
  prices.persist(first.address)
  root.current.exchange(first.address)
  const workers = [new Thread(machine, threads), new Thread(machine, threads)]
  const world = { machine, prices, root, accounts, workers, threads }
  const outcomes = []
  for (const [name, check] of Object.entries(checks)) {
    const before = performance.now()
    const outcome = await outcomeOf(() => check(world))
    outcomes.push({ name, outcome, ms: Math.round(performance.now() - before) })
    tell(outcomes.at(-1))
  }
  outcomes.push({ name: 'everything came back', outcome: await outcomeOf(() => checkEnd(world)), ms: 0 })
  return { outcomes, ms: Math.round(performance.now() - started) }
}

async function outcomeOf(run) {
  try {
    await run()
    return 'yes'
  } catch (error) {
    return `${error.code ?? error.name}: ${error.message}`
  }
}

async function checkEnd({ machine, workers }) {
  await Promise.all(workers.map((worker) => worker.kill()))
  equal(machine.cpus.present, [0], 'CPUs with a thread')
  await machine.rcu.synchronize({ timeout: SOON })
  machine.map('map', mapOf).verify()
  machine.rangeMap('ranges', rangesOf).verify()
  machine.heap.verify({ quiet: true })
  await machine.offline({ timeout: SOON })
}
