/** The event `stall`: who holds a grace period up. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { StallEvent } from 'percpu'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import { becomesSet, set, withMachine, words } from '../support/threads.js'

describe('a grace period that does not get on', () => {
  it('is told with the CPU that does not return to its event loop, again and again', async () => {
    await withMachine({ cpus: 2, stallTimeout: 20 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const busy = await start()
      const spinning = busy.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      const stalls: StallEvent[] = []
      const controller = new AbortController()
      machine.on('stall', (stall) => {
        if (stalls.push(stall) === 2) controller.abort()
      })
      // Two wait, and it is told once each time.
      const waiting = [machine.rcu.synchronize(), machine.rcu.synchronize()]
      await once(controller.signal, 'abort')
      set(machine.memory, until)
      await Promise.all([...waiting, spinning])
      const [first, second] = stalls
      assert.deepEqual(
        first?.cpus.map(({ cpu }) => cpu),
        [1],
      )
      assert.deepEqual([first.domain, first.age, second?.age], [undefined, 20, 60])
      assert.match(first.text, /^no grace period for 20 ms: CPU 1 \(.*\) did not return to its event loop/)
      await setTimeout(100)
      assert.equal(stalls.length, 2, 'it is over')
    })
  })

  it('of a domain is told with the CPU that reads, and what was handed over', async () => {
    const machine = fresh({ stallTimeout: 10 })
    const other = joinAs(machine, 101)
    const srcu = other.srcu('config')
    const token = srcu.readLock()
    const waiting = machine.srcu('config').synchronize()
    const stall = await new Promise<StallEvent>((resolve) => machine.on('stall', resolve))
    assert.deepEqual([stall.domain, stall.cpus.map(({ cpu }) => cpu), stall.handedOver], ['config', [1], 0])
    assert.match(stall.text, /no grace period of 'config' for \d+ ms: sections under way of CPU 1/)
    const down = srcu.downRead()
    srcu.readUnlock(token)
    await waiting
    const second = machine.srcu('config').synchronize()
    const next = await new Promise<StallEvent>((resolve) => machine.on('stall', resolve))
    assert.deepEqual([next.cpus, next.handedOver], [[], 1])
    srcu.upRead(down)
    await second
  })

  it('is told on the console if nobody listens, and not at all if that is not wanted', async () => {
    const warn = mock.method(console, 'warn', () => undefined)
    try {
      const machine = fresh({ stallTimeout: 10 })
      const silent = joinAs(machine, 101, { stallTimeout: Infinity })
      const srcu = machine.srcu('s')
      const token = srcu.readLock()
      const waiting = silent.srcu('s').synchronize()
      await setTimeout(40)
      assert.equal(warn.mock.callCount(), 0)
      const other = srcu.synchronize()
      while (warn.mock.callCount() === 0) await setTimeout(5)
      assert.match(String(warn.mock.calls[0]?.arguments[0]), /^percpu: no grace period of 's'/)
      srcu.readUnlock(token)
      await Promise.all([waiting, other])
    } finally {
      warn.mock.restore()
    }
  })

  it('needs a number of milliseconds', () => {
    for (const stallTimeout of [0, -1, Number.NaN, '10'])
      throwsCode(() => fresh({ stallTimeout: stallTimeout as number }), 'PERCPU_ARGUMENT', /stallTimeout/)
  })
})
