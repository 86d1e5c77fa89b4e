/**
 * Supervision: when a worker's thread ends, for whatever reason, its CPU becomes free again.
 *
 * A thread can end between any two of its writes and tells nobody. Node's `exit` event means that
 * it writes no more, and so does Bun's. From then on its record is the reaper's. Deno's does not:
 * it comes at once after `terminate()`, while a busy thread runs on for 20 s and longer.
 *
 *     cpu.thread    key ──takeOver──▶ -reaper ──takeOver──▶ -next reaper … ──release──▶ 0
 *
 * The reaper is a thread as well and may end at any point. Each step of reaping can be repeated,
 * and the number is given back last. So the reaper of a reaper finds the CPUs that it was cleaning
 * up after: their `thread` is minus its key. It takes them over by the same compare-and-exchange,
 * and starts again from the first step. Of two supervisors one wins the exchange, and the other one
 * leaves the CPU alone.
 *
 *     cpu.parent    the key of the thread that started the CPU's thread
 *
 * A supervisor that blocks hears no event. Where the operating system tells that a thread has ended
 * (machine/os-thread.ts), its blocking calls look for that now and then, and clean up at once.
 *
 * A thread ends with the thread that started it, and its starter, who alone heard of its end, is
 * gone. So who reaps a thread reaps those that it had started as well, and theirs.
 */
import { storeAtomic32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { finishCall } from './call-records.js'
import type { CpuTable } from './cpu-table.js'
import { REASON_WAKE, Ringer } from './ringer.js'
import { isSafely } from '../machine/check.js'
import { HotplugError, UnsupportedError } from '../machine/errors.js'
import type { AttachedLayer, Recovery } from './layer.js'
import { RcuTree } from './rcu-tree.js'
import { Cpu } from '../machine/layouts.js'
import { MASK_WORDS } from '../machine/limits.js'
import { hasThreadId, host, keyOfThreadId, reportError } from '../machine/platform.js'

/** What is needed of a worker: a Node `Worker` has it. */
export interface SupervisedWorker {
  readonly threadId: number
  once(event: 'exit', listener: () => void): unknown
}

export interface Supervision {
  /**
   * Resolves after the worker has ended and been cleaned up after. It gives the CPU that the worker
   * held, none if it never joined, and those of other dead threads that the worker had begun to
   * clean up after.
   */
  readonly reaped: Promise<readonly number[]>
}

/**
 * Runs the users' `dead` callbacks. A thread that has gone offline itself has none, and still
 * supervises.
 */
export type DeadCallback = (cpu: number, incarnation: number) => void

/**
 * The table given must stay usable as long as the thread lives, also when its own CPU goes offline.
 */
export class Supervisor {
  /** By their keys, those that have not exited, and the CPUs that were reaped before they did. */
  readonly #supervised = new Map<number, number[]>()
  readonly #table: CpuTable
  readonly #ringer: Ringer
  readonly #tree: RcuTree
  readonly #key: number
  readonly #layers: readonly AttachedLayer[]
  readonly #onDead: DeadCallback

  constructor(table: CpuTable, key: number, layers: readonly AttachedLayer[], onDead: DeadCallback) {
    this.#table = table
    this.#ringer = new Ringer(table)
    this.#tree = new RcuTree(table, this.#ringer)
    this.#key = key
    this.#layers = layers
    this.#onDead = onDead
  }

  supervise(worker: SupervisedWorker): Supervision {
    if (host.Deno !== undefined) {
      throw new UnsupportedError(
        'supervise is refused in Deno: a terminated worker is told to have ended while its thread may still run, and what it ' +
          'writes from then on would corrupt memory that has been given to others',
      )
    }
    if (!hasThreadId || !isSafely(() => isWorker(worker))) {
      throw new UnsupportedError(
        'supervise needs a worker with a threadId and an exit event, as in Node; elsewhere call machine.cpus.declareDead(cpu) ' +
          'once the thread has certainly stopped',
      )
    }
    if (worker.threadId < 0) {
      throw new ArgumentError('the worker has ended already: supervise it right after it is made', {
        threadId: worker.threadId,
      })
    }
    const key = keyOfThreadId(worker.threadId)
    const early = this.#supervised.get(key) ?? []
    let tell: ((reaped: readonly number[]) => void) | undefined
    const reaped = new Promise<readonly number[]>((resolve) => (tell = resolve))
    // First: if it throws, nobody is supervised.
    worker.once('exit', () => {
      this.#supervised.delete(key)
      tell?.([...early, ...this.reapAll(key)])
    })
    this.#supervised.set(key, early)
    return { reaped }
  }

  /** Workers that this thread supervises and that have not exited, as far as it has heard. */
  get supervised(): number {
    return this.#supervised.size
  }
  /**
   * Cleans up after supervised workers that have ended, as the operating system says, whether or
   * not their event has come.
   */
  tend(): void {
    for (const [key, early] of this.#supervised) if (this.#hasEnded(key)) early.push(...this.reapAll(key))
  }
  /** As {@link tend}, after the threads that were these CPUs, whoever supervises them. */
  reapEnded(cpus: readonly number[]): void {
    for (const cpu of cpus) {
      const key = this.#table.thread(cpu)
      if (key > 0 && this.#hasEnded(key)) this.reapAll(key)
    }
  }
  /** Certainly. */
  #hasEnded(key: number): boolean {
    const table = this.#table
    const hasEnded = (cpu: number): boolean => table.thread(cpu) === key && table.osState(cpu, key) === 'gone'
    return table.select(hasEnded).length > 0
  }

  /**
   * Cleans up after the dead thread `key`: the CPUs that it held, and those that it was cleaning up
   * after. Returns those that this call took over, not those that another supervisor did.
   */
  reapAll(key: number): readonly number[] {
    const children = this.#adoptChildren(key)
    // CPUs that it left half cleaned up come first: another CPU may wait for a lock of theirs.
    const unfinished = this.#table.select((cpu) => this.#reap(cpu, -key))
    const own = this.#table.select((cpu) => this.#reap(cpu, key))
    return [...unfinished, ...own, ...children.flatMap((child) => this.reapAll(child))]
  }

  /**
   * The threads that the dead thread had started; they have ended with it. From now on they count
   * as this thread's: if it ends before it has reaped them, its reaper does.
   */
  #adoptChildren(key: number): readonly number[] {
    const children: number[] = []
    for (let cpu = 0; cpu < this.#table.map.cpus; cpu++) {
      const child = this.#table.thread(cpu)
      if (child <= 0 || this.#table.parent(cpu) !== key) continue
      // The parent that stood there is the child's only if the number is still the child's.
      if (this.#table.thread(cpu) !== child) continue
      this.#table.adopt(cpu, key, this.#key)
      children.push(child)
    }
    return children
  }

  /**
   * `holder`: the CPU's thread word must be that, the dead thread's key or minus the dead reaper's.
   */
  #reap(cpu: number, holder: number): boolean {
    if (!this.#table.takeOver(cpu, holder, this.#key)) return false
    const incarnation = this.#table.incarnation(cpu)
    // In state offline nobody died in this incarnation. Either the thread ended before it began its
    // own one, or a reaper ended when it had cleaned up all but the number. The state stays, for
    // the reaper after this one.
    const hasDied = this.#table.state(cpu) !== 'offline'
    if (hasDied) this.#table.setState(cpu, incarnation, 'dead')
    this.#tree.deactivate(cpu)
    this.#tree.drive()
    this.#ringer.wakeWaiters(cpu)
    this.#wakeEverybody(cpu)
    const recovery = { table: this.#table, ringer: this.#ringer, cpu, incarnation }
    if (hasDied) this.#recoverLayers(recovery)
    this.#clearRecord(cpu)
    this.#step([...this.#layers].reverse(), 'release', recovery)
    this.#table.release(cpu)
    return true
  }

  #recoverLayers(recovery: Recovery): void {
    this.#step(this.#layers, 'examine', recovery)
    this.#step(this.#layers, 'recover', recovery)
    this.#onDead(recovery.cpu, recovery.incarnation)
  }

  /** Every layer, whatever others throw: a number that is never given back would help nobody. */
  #step(layers: readonly AttachedLayer[], step: 'examine' | 'recover' | 'release', recovery: Recovery): void {
    const { cpu, incarnation } = recovery
    for (const layer of layers) {
      try {
        layer[step]?.(recovery)
      } catch (error) {
        reportError(
          new HotplugError(
            `cleaning up after CPU ${cpu} failed in layer ${layer.name}; the others went on`,
            { failed: [layer.name], cpu, incarnation },
            { cause: error },
          ),
        )
      }
    }
  }

  /** The dead thread may have taken a CPU off a list of waiters, and not rung it yet. */
  #wakeEverybody(dead: number): void {
    for (const cpu of this.#table.select((other) => other !== dead && this.#table.thread(other) !== 0)) {
      this.#ringer.ring(cpu, REASON_WAKE)
    }
  }

  #clearRecord(cpu: number): void {
    const { i32 } = this.#table.memory
    const record = this.#table.record(cpu)
    // atomic: the dead thread's waits; a ring of the next incarnation for one of them does nothing.
    for (let i = 0; i < MASK_WORDS; i++) storeAtomic32(i32, record + Cpu.words.waiters + i, 0)
    finishCall(this.#table, cpu)
  }
}

function isWorker(value: unknown): boolean {
  const { threadId, once } = Object(value) as Partial<SupervisedWorker>
  return typeof threadId === 'number' && typeof once === 'function'
}
