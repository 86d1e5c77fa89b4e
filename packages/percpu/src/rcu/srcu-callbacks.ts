/**
 * The callbacks of one SRCU domain on one thread. Its lists lie in per-CPU memory, which whoever
 * first queues something allocates: a domain that queues nothing stays as small as it is. The
 * pointer is stored in the domain in the same step. So a thread killed anywhere has made the lists,
 * or nothing. Memory that is all zero is an empty list.
 *
 * When the lists may be freed. The domain is out of the registry, and a grace period of the event
 * loop has passed: no stretch of another thread finds it any more. Whoever looks after its lists
 * across stretches, and drives its grace periods for them, has said so before (`working`). When
 * nobody does any more that is alive, nobody touches the domain.
 */
import type { OwnCpu } from '../cpus/own-cpu.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { pointerAt } from '../percpu/allocator.js'
import type { CpuState } from '../percpu/cpu-state.js'
import { sharedObject } from '../percpu/named.js'
import type { AllocatorState } from '../percpu/state.js'
import { isAtWork, pendingCallbacks } from './callback-lists.js'
import type { Callbacks } from './callbacks.js'
import { CallbackList } from './layouts.js'
import { barrierBlocking, type Queueing } from './queueing.js'
import type { GracePeriodSource } from './source.js'
import { SrcuLayout } from './srcu-layouts.js'

/** What looks after the lists of a kind of grace period, on this thread. @throws OfflineError. */
export type MakeQueueing = (domain: string, source: GracePeriodSource, lists: readonly number[]) => Queueing

export interface SrcuCallbackParts {
  readonly name: string
  /** Byte address of the domain. */
  readonly address: number
  readonly own: Pick<OwnCpu, 'memory' | 'table' | 'doorbell'>
  /** @throws OfflineError. */
  readonly percpu: () => CpuState
  readonly make: MakeQueueing
}

export class SrcuCallbacks {
  readonly #parts: SrcuCallbackParts
  readonly #source: () => GracePeriodSource
  #queueing: Queueing | undefined
  #closed: Error | undefined

  constructor(parts: SrcuCallbackParts, source: () => GracePeriodSource) {
    this.#parts = parts
    this.#source = source
  }

  /**
   * To queue with; the lists are made if need be.
   *
   * @throws OutOfMemoryError; LockTimeoutError; OfflineError. Nothing is changed then.
   */
  use(): Queueing {
    return this.#queueing ?? this.#make()
  }
  /** What looks after the lists; undefined if there are none. @throws OfflineError. */
  get opened(): Callbacks | undefined {
    return this.#lists.length === 0 ? undefined : this.use().callbacks
  }

  /** @throws UnansweredError; the reason of the signal; ArgumentError; OfflineError. */
  async barrier(options: WaitOptions): Promise<void> {
    if (this.#closed) throw this.#closed
    checkWait(options)
    await this.opened?.barrier(new Deadline(options))
  }
  /** @throws as Srcu.barrierBlocking. */
  barrierBlocking(options: WaitOptions): void {
    if (this.#closed) throw this.#closed
    checkWait(options)
    if (this.#lists.length > 0) barrierBlocking(this.use(), options)
  }
  /** Callbacks that are pending, of all CPUs. */
  get pending(): number {
    return pendingCallbacks(this.#parts.own.memory, this.#lists)
  }
  /** Resolves when nobody is at work on the lists, or to the CPUs that are, at the deadline. */
  settle(deadline: Deadline): Promise<readonly number[]> {
    return settleLists(this.#parts.own, this.#lists, deadline)
  }

  /** This CPU goes offline, or the domain has ended. */
  close(error: Error): void {
    this.#closed = error
    this.#queueing?.callbacks.close()
    this.#queueing = undefined
  }

  #make(): Queueing {
    if (this.#closed) throw this.#closed
    const { percpu, make, name } = this.#parts
    const { allocator } = percpu()
    const { stride: bytes, align } = CallbackList
    // Mutant: rcu/lists-lost.
    allocator.allocate(bytes, { align, into: this.#word, owned: true })
    return (this.#queueing = make(name, this.#source(), this.#lists))
  }
  get #word(): number {
    return this.#parts.address + SrcuLayout.offsets.lists
  }
  get #lists(): readonly number[] {
    return listsOf(this.#parts.percpu().state, this.#parts.address)
  }
}

/** Word index of each CPU's list of callbacks of a domain; none if there are no lists. */
export function listsOf(state: AllocatorState, address: number): readonly number[] {
  const pointer = pointerAt(state, address + SrcuLayout.offsets.lists)
  return pointer === 0 ? [] : sharedObject(state, address, pointer).parts
}

/** Resolves when nobody is at work on the lists, or to the CPUs that are, at the deadline. */
export async function settleLists(
  { table, doorbell }: Pick<OwnCpu, 'table' | 'doorbell'>,
  lists: readonly number[],
  deadline: Deadline,
): Promise<readonly number[]> {
  const busy = (): number[] => [...lists.keys()].filter((cpu) => isAtWork(table, cpu, lists[cpu] ?? 0))
  const masks = lists.map((_, cpu) => table.waiters(cpu))
  await doorbell.until(masks, () => busy().length === 0, deadline)
  return busy()
}
