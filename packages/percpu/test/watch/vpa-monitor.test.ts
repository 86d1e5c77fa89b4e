/**
 * Monitors: who is named as blocked, recovered or dead, told while it is so. Real threads; the
 * tests wait for events only.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, TRACE_ALL, Vpa, type Machine } from 'percpu'
import { notify32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { set, words } from '../support/threads.js'

interface Labelled {
  readonly worker: Worker
  readonly reaped: Promise<readonly number[]>
  /** Lets the worker go on. */
  readonly release: () => void
}

/** Returns when the worker is in its loop. Nobody hears of anything meanwhile. */
function stick(machine: Machine, worker: Worker): void {
  worker.postMessage('stick')
  while (machine.watch.inspect().cpus[1]?.work?.label !== 'render /about');
}

async function withWorker(test: (machine: Machine, labelled: Labelled) => Promise<void>): Promise<void> {
  const machine = boot({ cpus: 3 })
  const [release = 0] = words(machine, 1)
  const worker = new Worker(new URL('../support/labelled.js', import.meta.url), {
    workerData: { handle: machine.handle, release },
  })
  const { reaped } = machine.supervise(worker)
  try {
    assert.deepEqual(await once(worker, 'message'), [1])
    await test(machine, {
      worker,
      reaped,
      release() {
        set(machine.memory, release)
        notify32(machine.memory.i32, release / 4)
      },
    })
  } finally {
    await worker.terminate()
  }
}

describe('a worker in an endless loop', () => {
  it('is named with its label within two heartbeats, recovers, and dies with a post-mortem', async () => {
    await withWorker(async (machine, { worker, reaped, release }) => {
      machine.watch.trace(1, TRACE_ALL)
      const monitor = machine.watch.monitor({ interval: 50 })
      const blocked = monitor.once('blocked')
      stick(machine, worker)
      const { cpu, inspection, heartbeats, incarnation } = await blocked
      assert.equal(cpu, 1)
      assert.equal(incarnation, 1)
      assert.equal(inspection.work?.label, 'render /about')
      assert.equal(inspection.activity, 'blocked')
      assert.ok(heartbeats <= 2, `${heartbeats} heartbeats`)
      assert.equal(machine.watch.inspect({ blockedAfter: 1 }).cpus[1]?.work?.label, 'render /about')
      assert.equal(machine.watch.inspect({ blockedAfter: 1 }).cpus[1]?.activity, 'blocked')

      const recovered = monitor.once('recovered')
      release()
      assert.equal((await recovered).cpu, 1)
      assert.equal(machine.watch.inspect().cpus[1]?.work, undefined)
      assert.equal(machine.watch.inspect().cpus[1]?.dispatches.at(-1)?.kind !== undefined, true)

      const died = monitor.once('died')
      await worker.terminate()
      assert.deepEqual(await reaped, [1])
      const { postMortem, incarnation: dead } = await died
      assert.equal(dead, 1)
      assert.equal(postMortem?.activity, 'dead')
      assert.ok(postMortem.dispatches.some(({ kind, label }) => kind === 'work' && label === 'render /about'))
      assert.equal(machine.watch.postMortem(1), undefined)
      monitor.stop()
    })
  })

  it('is named by a monitor that came after it had got stuck; since when is not known then', async () => {
    await withWorker(async (machine, { worker }) => {
      stick(machine, worker)
      const monitor = machine.watch.monitor({ interval: 50 })
      const { inspection, heartbeats } = await monitor.once('blocked')
      assert.deepEqual(inspection.work, { label: 'render /about', since: undefined })
      assert.ok(heartbeats <= 2, `${heartbeats} heartbeats`)
      monitor.stop()
    })
  })

  it('that is terminated leaves its label to the post-mortem', async () => {
    await withWorker(async (machine, { worker, reaped }) => {
      const monitor = machine.watch.monitor({ interval: 20 })
      stick(machine, worker)
      await monitor.once('blocked')
      const died = monitor.once('died')
      await worker.terminate()
      await reaped
      const { postMortem } = await died
      assert.equal(postMortem?.work?.label, 'render /about')
      assert.ok((postMortem.work.since ?? 1) > 0)
      assert.equal(machine.watch.inspect().cpus[1]?.activity, 'offline')
      monitor.stop()
    })
  })

  it('is seen by the inspection of a thread that asks for the first time', async () => {
    await withWorker(async (machine, { worker }) => {
      const monitor = machine.watch.monitor({ interval: 20 })
      worker.postMessage('stick')
      await monitor.once('blocked')
      monitor.stop()
      const found = machine.watch.inspect({ blockedAfter: 1 }).cpus[1]
      assert.equal(found?.activity, 'blocked')
      assert.ok((found.utilisation ?? 0) <= 1)
    })
  })
})

describe('monitors', () => {
  const states = { park: 'parked', deaf: 'deaf' } as const
  for (const command of ['park', 'deaf'] as const) {
    it(`do not call a CPU blocked that is ${states[command]}`, async () => {
      await withWorker(async (machine, { worker, release }) => {
        const monitor = machine.watch.monitor({ interval: 5 })
        const wrong: unknown[] = []
        worker.postMessage(command)
        // Its state and its count are two words: a thread that gets no processor changes one long
        // before the other.
        const is = (activity: string, remainder: number) => {
          const [, cpu] = machine.watch.inspect().cpus
          return cpu?.activity === activity && (cpu.yieldCount ?? NaN) % 2 === remainder
        }
        await becomes(() => is(states[command], 1))
        // Before and after, a busy host may well keep it from answering in time.
        monitor.on('blocked', (event) => wrong.push(event))
        const from = monitor.heartbeats
        await becomes(() => monitor.heartbeats >= from + 5)
        monitor.stop()
        assert.deepEqual(wrong, [])
        release()
        await becomes(() => is('live', 0))
      })
    })
  }

  it('measure a CPU that answers, and never call it blocked', async () => {
    await withWorker(async (machine) => {
      const monitor = machine.watch.monitor({ interval: 5, blockedAfter: 60_000 })
      const events: unknown[] = []
      monitor.on('blocked', (event) => events.push(event))
      // Heartbeats come by the CPU's own timer, pings by the monitor's: a busy host delays either.
      await becomes(() => (machine.watch.inspect().cpus[1]?.eventLoopDelay?.count ?? 0) > 5)
      await becomes(() => (machine.watch.inspect().cpus[1]?.doorbellLatency?.count ?? 0) > 3)
      const found = machine.watch.inspect().cpus[1]
      assert.ok(found?.utilisation !== undefined && found.utilisation >= 0 && found.utilisation <= 1)
      assert.deepEqual(events, [])
      monitor.stop()
    })
  })

  it('that are stopped leave no timer behind', async () => {
    await withWorker(async (machine) => {
      const monitor = machine.watch.monitor({ interval: 1 })
      await becomes(() => (machine.watch.inspect().cpus[1]?.eventLoopDelay?.count ?? 0) > 2)
      monitor.stop()
      // After its patience the CPU takes the request for time stamps back, which is the last thing
      // the timer does.
      await becomes(() => maskOf(machine) === 0)
      const beats = machine.watch.inspect().cpus[1]?.eventLoopDelay?.count
      await machine.rcu.synchronize()
      assert.equal(machine.watch.inspect().cpus[1]?.eventLoopDelay?.count, beats)
    })
  })

  it('tell of the death of a CPU that another thread cleaned up after', async () => {
    await withWorker(async (machine, { worker, reaped }) => {
      const other = machine.watch.monitor({ interval: 5 })
      const died = other.once('died', ({ cpu }) => cpu === 1)
      await worker.terminate()
      await reaped
      assert.equal((await died).cpu, 1)
      other.stop()
    })
  })

  it('check their options, and let listeners go', async () => {
    const machine = boot({ cpus: 1 })
    throwsCode(() => machine.watch.monitor({ interval: 0 }), 'PERCPU_ARGUMENT', /interval: 0/)
    throwsCode(() => machine.watch.monitor({ blockedAfter: 0.5 }), 'PERCPU_ARGUMENT', /blockedAfter/)
    const monitor = machine.watch.monitor()
    const controller = new AbortController()
    monitor.on('died', () => undefined, { signal: controller.signal })
    controller.abort()
    await machine.offline()
    throwsCode(() => machine.watch.inspect(), 'PERCPU_OFFLINE')
    await rejectsCode(
      Promise.resolve().then(() => machine.run('late', () => 1)),
      'PERCPU_OFFLINE',
    )
  })
})

function maskOf(machine: Machine): number {
  const found = machine.watch.registrations.find(1)
  return found ? Vpa.at(machine.memory, found.vpa).dtl_enable_mask : -1
}

/** Turns the event loop until the condition holds. */
async function becomes(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}
