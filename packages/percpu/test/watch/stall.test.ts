/** The event `stall`: who holds a grace period up. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { GracePeriodInspection, StallEvent } from 'percpu'
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

  it('of a fast domain names that CPU when a wait for it times out', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const busy = await start()
      const spinning = busy.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      await assert.rejects(machine.srcu('config').synchronize({ timeout: 50 }), {
        code: 'PERCPU_UNANSWERED',
        message: /^config: no grace period within 50 ms: CPU 1 did not return to its event loop/,
      })
      set(machine.memory, until)
      await spinning
    })
  })

  it('of a domain is told with the CPU that reads, and what was handed over', async () => {
    const machine = fresh({ stallTimeout: 10 })
    const other = joinAs(machine, 101)
    const srcu = other.srcu('config', { flavour: 'normal' })
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

  it('is told by threads that block, of both kinds', () => {
    const machine = fresh({ stallTimeout: 10 })
    const other = joinAs(machine, 101)
    const stalls: StallEvent[] = []
    machine.on('stall', (stall) => stalls.push(stall))
    const normal = machine.srcu('n', { flavour: 'normal' })
    const down = other.srcu('n').downRead()
    throwsCode(() => normal.synchronizeBlocking({ timeout: 300 }), 'PERCPU_UNANSWERED')
    assert.deepEqual(
      stalls
        .splice(0)
        .map(({ domain, age, handedOver }) => [domain, age, handedOver])
        .slice(0, 2),
      [
        ['n', 10, 1],
        ['n', 30, 1],
      ],
    )
    normal.upRead(down)
    normal.synchronizeBlocking({ timeout: 10_000 })
    stalls.length = 0
    // The other CPU is of this thread, which cannot return to its event loop for it.
    throwsCode(() => machine.rcu.synchronizeBlocking({ timeout: 100 }), 'PERCPU_UNANSWERED')
    const [last] = stalls
    assert.deepEqual([last?.domain, last?.cpus.map(({ cpu }) => cpu)], [undefined, [1]])
    assert.ok(Math.abs((last?.since ?? 0) - Date.now()) < 5000)
    assert.match(last?.text ?? '', /; since \d{4}-\d\d-\d\dT/)
  })

  it('is told with the callbacks that wait for it', async () => {
    const machine = fresh({ stallTimeout: 10 })
    const srcu = machine.srcu('config', { flavour: 'normal' })
    const token = srcu.readLock()
    for (let i = 0; i < 3; i++) void srcu.call(() => undefined)
    const waiting = srcu.synchronize()
    const stall = await new Promise<StallEvent>((resolve) => machine.on('stall', resolve))
    assert.equal(stall.callbacks, 3)
    assert.match(stall.text, /callbacks that wait for it: 3/)
    srcu.readUnlock(token)
    await Promise.all([waiting, srcu.barrier()])
  })

  it('is told with the stack of the oldest section in debug mode', async () => {
    const machine = fresh({ stallTimeout: 10, debugRcu: true })
    const other = joinAs(machine, 101).srcu('config', { flavour: 'normal' })
    const token = (function reader() {
      return other.readLock()
    })()
    const waiting = machine.srcu('config').synchronize()
    const stall = await new Promise<StallEvent>((resolve) => machine.on('stall', resolve))
    assert.equal(stall.oldest?.cpu, 1)
    assert.match(stall.text, /oldest section was begun by CPU 1\n[^]*reader/)
    other.readUnlock(token)
    await waiting
  })

  it('names a CPU that sleeps in a bare wait', { skip: process.platform !== 'linux' }, async () => {
    const machine = fresh({ stallTimeout: 50 })
    const word = new Int32Array(new SharedArrayBuffer(4))
    const url = new URL('../support/sleeper.js', import.meta.url)
    const worker = new Worker(url, { workerData: { handle: machine.handle, watchWaits: false, word } })
    machine.supervise(worker)
    await once(worker, 'message')
    await setTimeout(50)
    const waiting = machine.rcu.synchronize()
    const stall = await new Promise<StallEvent>((resolve) => machine.on('stall', resolve))
    assert.deepEqual(
      stall.cpus.map(({ cpu, thread }) => [cpu, thread]),
      [[1, 'waiting']],
    )
    assert.match(stall.text, /CPU 1 \(live, asleep in a bare Atomics\.wait: join it with watchWaits\)/)
    const monitor = machine.watch.monitor({ interval: 20 })
    const [{ inspection }] = [await monitor.once('blocked')]
    assert.equal(inspection.thread, 'waiting')
    monitor.stop()
    await worker.terminate()
    await waiting
  })

  it('needs a number of milliseconds', () => {
    for (const stallTimeout of [0, -1, Number.NaN, '10'])
      throwsCode(() => fresh({ stallTimeout: stallTimeout as number }), 'PERCPU_ARGUMENT', /stallTimeout/)
  })
})

describe('grace periods in an inspection', () => {
  it('are those of the machine and of every domain, whoever has opened it', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const srcu = other.srcu('config')
    const find = (domain?: string): GracePeriodInspection => {
      const found = machine.watch.inspect().gracePeriods.find((each) => each.domain === domain)
      assert.ok(found)
      return found
    }
    assert.deepEqual(find('config'), {
      ...{
        domain: 'config',
        flavour: 'fast',
        ended: 0,
        isWanted: false,
        cpus: [],
        sections: 0,
        handedOver: 0,
      },
      ...{ callbacks: [], waiting: [], waitingSince: undefined, oldest: undefined },
    })
    const before = find()
    assert.deepEqual([before.flavour, before.isWanted, before.waiting], [undefined, false, []])
    const token = srcu.readLock()
    const down = srcu.downRead()
    const from = machine.watch.inspect().at
    const waiting = srcu.synchronize()
    void srcu.call(() => undefined)
    await setTimeout(10)
    const found = find('config')
    const { isWanted, cpus, sections, handedOver, callbacks, waiting: waits } = found
    assert.deepEqual(
      [isWanted, cpus, sections, handedOver, callbacks, waits],
      [true, [1], 2, 1, [0, 1, 0], [1]],
    )
    assert.ok((found.waitingSince ?? 0) >= from && (found.waitingSince ?? 0) <= machine.watch.inspect().at)
    srcu.readUnlock(token)
    srcu.upRead(down)
    await Promise.all([waiting, srcu.barrier()])
    const after = find('config')
    assert.ok(after.ended > 0 && find().ended > before.ended)
    assert.deepEqual([after.waiting, after.waitingSince, after.callbacks], [[], undefined, [0, 0, 0]])
    const { rcu, srcu: domains } = machine.watch.inspect().waits
    assert.ok(rcu && domains && domains.count === 1 && domains.max >= 8)
  })

  it('show no wait of a thread that has died', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const token = machine.srcu('s').readLock()
    const controller = new AbortController()
    const dead = assert.rejects(other.srcu('s').synchronize({ signal: controller.signal }), /enough/)
    await setTimeout(1)
    const waiting = (): readonly number[] | undefined => machine.watch.inspect().gracePeriods[1]?.waiting
    assert.deepEqual(waiting(), [1])
    machine.cpus.declareDead(1)
    const next = joinAs(machine, 102)
    assert.equal(next.cpu, 1)
    assert.deepEqual(waiting(), [])
    machine.srcu('s').readUnlock(token)
    controller.abort(new Error('enough'))
    await dead
  })
})
