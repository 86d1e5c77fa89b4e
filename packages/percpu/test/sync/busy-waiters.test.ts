/**
 * A thread that computes, while a task of it waits for something that another thread sleeps for:
 * the sleeper goes on, and does not wait until the other one hears its ring. Both this thread's
 * CPUs are busy while it does not return to its event loop.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, type HeldLock, type Machine } from 'percpu'
import { awaitUntil } from 'percpu/mem'
import { joinAs } from '../support/machines.js'
import type { BlockingCommand } from './support/blocking-worker.js'

interface Scene {
  readonly machine: Machine
  /** A CPU of this thread, in front of the sleeper. */
  readonly busy: Machine
  /** Has the other thread block, and resolves when it sleeps, for such a thing. */
  readonly sleep: (command: BlockingCommand, kind: HeldLock['kind']) => Promise<void>
  readonly isAsleep: () => boolean
  readonly tell: (command: BlockingCommand) => void
  readonly ownsMutex: () => boolean
  readonly terminate: () => Promise<unknown>
}
async function begin(t: TestContext): Promise<Scene> {
  const machine = boot({ cpus: 3, memory: '1 MiB' })
  const busy = joinAs(machine, 101)
  const worker = new Worker(new URL('./support/blocking-worker.js', import.meta.url), {
    workerData: machine.handle,
  })
  const { reaped } = machine.supervise(worker)
  const [cpu] = (await once(worker, 'message')) as [number]
  // Waits that were not over hold up nothing.
  t.after(async () => {
    await worker.terminate()
    await busy.offline()
  })
  const isAsleep = (): boolean => machine.watch.inspect().cpus[cpu]?.activity === 'parked'
  const tell = (command: BlockingCommand): void => worker.postMessage(command)
  return {
    ...{ machine, busy, isAsleep, tell },
    sleep: async (command, kind) => {
      tell(command)
      while (!isAsleep() || !waitsFor(machine, cpu, kind)) await new Promise(setImmediate)
    },
    ownsMutex: () => machine.locks.mutex('m').owner?.cpu === cpu,
    terminate: () => worker.terminate().then(() => reaped),
  }
}
function waitsFor(machine: Machine, cpu: number, kind: HeldLock['kind']): boolean {
  const locks = machine.locks.heldBy(cpu)
  return locks.length === 1 && locks[0]?.kind === kind && locks[0].owner !== cpu
}
/** Waits without returning to the event loop. */
function goesOn(isOver: () => boolean): void {
  const end = performance.now() + 5000
  awaitUntil(() => isOver() || performance.now() > end)
  assert.ok(isOver(), 'it sleeps on')
}

describe('a thread that sleeps for what a thread that computes waits for as well', () => {
  it('gets the mutex', async (t) => {
    const { machine, busy, sleep, ownsMutex, terminate } = await begin(t)
    const guard = machine.locks.mutex('m').lock()
    const waiting = busy.locks.mutex('m').lockAsync()
    await sleep('lock', 'mutex')
    guard.unlock()
    goesOn(ownsMutex)
    await terminate()
    ;(await waiting).unlock()
  })

  it('goes on at the completion', async (t) => {
    const { machine, busy, sleep, isAsleep, terminate } = await begin(t)
    const waiting = busy.locks.completion('d').waitAsync()
    await sleep('complete', 'queue')
    machine.locks.completion('d').complete()
    goesOn(() => !isAsleep())
    await terminate()
    machine.locks.completion('d').complete()
    await waiting
  })

  it('is the one that is notified', async (t) => {
    const { machine, busy, sleep, ownsMutex, terminate } = await begin(t)
    const condition = (own: Machine) => own.locks.condition('c', own.locks.mutex('m'))
    const waiting = busy.locks
      .mutex('m')
      .lockAsync()
      .then(async (guard) => {
        await condition(busy).waitAsync(guard)
        guard.unlock()
      })
    while (!waitsFor(machine, busy.cpu, 'queue')) await new Promise(setImmediate)
    await sleep('wait, then keep the mutex', 'queue')
    const guard = await machine.locks.mutex('m').lockAsync()
    condition(machine).notify()
    guard.unlock()
    goesOn(ownsMutex)
    await terminate()
    const another = await machine.locks.mutex('m').lockAsync()
    condition(machine).notify()
    another.unlock()
    await waiting
  })
})

describe('a thread that sleeps for something else, while a task of it waits', () => {
  it('keeps nothing from others that can run', async (t) => {
    const { machine, busy, isAsleep, tell, terminate } = await begin(t)
    const guard = machine.locks.mutex('m').lock()
    tell('lock, with a task that waits')
    while (!isAsleep()) await new Promise(setImmediate)
    const waiting = machine.locks.completion('d').waitAsync()
    busy.locks.completion('d').complete()
    const late = delay(5000, 'it waits on', { ref: false })
    assert.equal(await Promise.race([waiting, late]), undefined)
    await terminate()
    guard.unlock()
  })
})
