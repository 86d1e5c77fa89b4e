/** What users queue, for whatever kind of grace period: the checks, and what an entry says. */
import type { Heap } from '../alloc/heap.js'
import { checkFunction, isSafely, refused } from '../machine/check.js'
import { UnansweredError } from '../machine/errors.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import type { Allocator } from '../percpu/allocator.js'
import { PercpuScalar } from '../percpu/scalar-object.js'
import { PercpuStruct } from '../percpu/struct-object.js'
import { ensureStack, MANY } from '../stack.js'
import type { Waiting } from '../sync/waiting.js'
import type { Callbacks } from './callbacks.js'
import type { Callback } from './functions.js'

/** What can be freed: the address of heap memory, or per-CPU memory. */
export type Freeable = number | { readonly pointer: number }

/** Callbacks of one kind of grace period, and what they free with. */
export interface Queueing {
  /** The number of the machine. */
  readonly machine: number
  readonly callbacks: Callbacks
  readonly heap: Heap
  readonly percpu: () => Allocator
  /** Copies of per-CPU memory that there are. */
  readonly copies: number
  readonly waiting: Pick<Waiting, 'assertMayBlock' | 'sleep'>
}

/** @see Rcu.free */
export function queueFree(queueing: Queueing, what: Freeable): Promise<void> {
  if (typeof what !== 'number') return freePercpu(queueing, what)
  const { callbacks, heap } = queueing
  const tag = heap.tags.checkQueueable(what)
  return callbacks.free(what / 8, tag, heap.tags.bytesOf(what) >>> 3)
}

/** Of per-CPU memory whose owner has ended. @throws PointerError; LockTimeoutError. */
export function queueFreeOwned(queueing: Queueing, pointer: number): Promise<void> {
  return queuePointer(queueing, pointer, queueing.percpu().sizeOf(pointer))
}

function freePercpu(queueing: Queueing, what: { readonly pointer: number }): Promise<void> {
  if (!isSafely(() => typeof (what as Partial<typeof what> | undefined)?.pointer === 'number'))
    throw refused('what', what, 'neither an address nor a per-CPU object')
  const { pointer } = what
  const bytes = queueing.percpu().sizeOfFreeable(pointer)
  // Once it is given up, it is queued.
  ensureStack(2 * MANY)
  const isObject = what instanceof PercpuStruct || what instanceof PercpuScalar
  if (isObject) what.giveUp(queueing.machine)
  return queuePointer(queueing, pointer, bytes)
}
function queuePointer({ callbacks, copies }: Queueing, pointer: number, bytes: number): Promise<void> {
  return callbacks.free(~pointer, 0, (bytes * copies) >>> 3)
}

/** @see Rcu.call */
export function queueCall({ callbacks }: Queueing, callback: Callback): Promise<void> {
  checkFunction('callback', callback)
  return callbacks.call(callback)
}

/** @see Rcu.freeBlocking */
export function queueFreeBlocking(queueing: Queueing, what: Freeable, options?: WaitOptions): void {
  if (typeof what === 'number') queueing.heap.tags.checkQueueable(what)
  waitForRoom(queueing, options)
  void queueFree(queueing, what)
}
/** @see Rcu.callBlocking */
export function queueCallBlocking(queueing: Queueing, callback: Callback, options?: WaitOptions): void {
  checkFunction('callback', callback)
  waitForRoom(queueing, options)
  void queueCall(queueing, callback)
}

/** @see Rcu.barrierBlocking */
export function barrierBlocking({ callbacks, waiting }: Queueing, options?: WaitOptions): void {
  checkWait(options)
  waiting.assertMayBlock()
  const deadline = new Deadline(options)
  if (callbacks.runQueued((done, until) => waiting.sleep(done, until), deadline)) return
  throw new UnansweredError(
    `what this thread has queued is pending still after ${deadline.timeout} ms: it waits for a grace period`,
    { timeout: deadline.timeout },
  )
}

function waitForRoom({ callbacks, waiting }: Queueing, options: WaitOptions | undefined): void {
  checkWait(options)
  waiting.assertMayBlock()
  const deadline = new Deadline(options)
  if (callbacks.makeRoom((done, until) => waiting.sleep(done, until), deadline)) return
  throw new UnansweredError(
    `too many callbacks are pending still after ${deadline.timeout} ms: they wait for a grace period; nothing was queued`,
    { timeout: deadline.timeout },
  )
}
