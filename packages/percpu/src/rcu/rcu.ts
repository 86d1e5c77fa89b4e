import type { OwnCpu } from '../cpus/own-cpu.js'
import { COMPLETED } from '../cpus/sequence.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { checkCookie } from './cookies.js'
import type { Callback } from './functions.js'
import type { RcuLayer } from './layer.js'
import {
  barrierBlocking,
  queueCall,
  queueCallBlocking,
  queueFree,
  queueFreeBlocking,
  type Freeable,
} from './queueing.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

/** `machine.rcu`: grace periods, of the event loop, and what is done after them. */
export class Rcu {
  static {
    showAs(this, (rcu) => ({ cpu: rcu.#own.cpu }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #own: OwnCpu
  readonly #layer: RcuLayer

  /** @internal */
  constructor(own: OwnCpu, layer: RcuLayer) {
    this.#own = own
    this.#layer = layer
  }

  /**
   * A grace period: resolves when every CPU that was online has returned to its event loop, polled,
   * was parked or deaf, or left. What was unlinked before the call may be freed then.
   *
   * Cost: a doorbell round trip.
   *
   * @throws UnansweredError after `timeout` ms, naming the CPUs that are busy; the reason of
   *   `signal` when that aborts; ArgumentError; OfflineError.
   */
  async synchronize(options: WaitOptions = {}): Promise<void> {
    this.#own.assertOnline()
    checkWait(options)
    await this.#own.gracePeriods.synchronize(new Deadline(options))
  }
  /**
   * As {@link synchronize}, in a hurry: it rings all CPUs itself, where others leave it to the
   * first CPU of each leaf to ring the rest (docs/rcu.md).
   *
   * @throws as {@link synchronize}.
   */
  async synchronizeExpedited(options: WaitOptions = {}): Promise<void> {
    this.#own.assertOnline()
    checkWait(options)
    await this.#own.gracePeriods.synchronize(new Deadline(options), true)
  }
  /**
   * As {@link synchronize}, and blocks this thread, which is idle meanwhile: two that block for
   * grace periods do not wait for each other. It is a quiescent state of this CPU: use nothing
   * afterwards that was read before under the protection of a grace period.
   *
   * @throws UnansweredError after `timeout` ms; the reason of a `signal` that has aborted before;
   *   UnsupportedError on a thread that must not block;
   *   ArgumentError; OfflineError.
   */
  synchronizeBlocking(options: WaitOptions = {}): void {
    this.#own.assertOnline()
    checkWait(options)
    this.#layer.synchronizeBlocking(new Deadline(options))
  }

  /**
   * The cookie of a grace period that begins after this call. Nobody is asked for it.
   *
   * Cost: an atomic operation.
   * @throws OfflineError.
   */
  getState(): number {
    this.#own.assertOnline()
    return this.#own.gracePeriods.snap()
  }
  /**
   * As {@link getState}, and asks for that grace period: it ends some time, and {@link poll} tells.
   *
   * @throws OfflineError.
   */
  startPoll(): number {
    const cookie = this.getState()
    this.#own.gracePeriods.request(cookie)
    return cookie
  }
  /**
   * Whether the grace period of a cookie has ended, of whatever thread. Then what was unlinked
   * before the cookie was taken may be freed. A cookie is good for 2^29 grace periods.
   *
   * @throws ArgumentError for what is no cookie; OfflineError.
   */
  poll(cookie: number): boolean {
    this.#own.assertOnline()
    checkCookie(cookie)
    return this.#own.gracePeriods.poll(cookie)
  }
  /** A cookie that is always done. @throws OfflineError. */
  get completed(): number {
    this.#own.assertOnline()
    return COMPLETED
  }

  /**
   * Frees memory after a grace period: an object or block of the heap by its address, or a per-CPU
   * object, or `{ pointer }`. Unlink it first. From the call on it belongs to the machine: should
   * this thread die or park, other CPUs free it.
   *
   * Resolves at once, or, if too much is pending, when less is: await it before the next ones.
   *
   * Cost: some tens of ns; of per-CPU memory, a lock more.
   *
   * @throws DoubleFreeError; ForeignAddressError, also for what is in flight with another CPU;
   *   PointerError; NamedMemoryError; ArgumentError; LockTimeoutError; OfflineError. Nothing is
   *   changed then.
   */
  free(what: Freeable): Promise<void> {
    return queueFree(this.#layer.use(), what)
  }

  /**
   * Calls `callback` after a grace period, on this thread, as part of a job of its own. Callbacks
   * of one thread are called in order. What one throws surfaces as the host's uncaught error. Those
   * of a thread that ends are lost; they are counted in the event `callbacksLost`.
   *
   * Resolves at once, or, if too much is pending, when less is.
   *
   * @throws ArgumentError; OfflineError.
   */
  call(callback: Callback): Promise<void> {
    return queueCall(this.#layer.use(), callback)
  }

  /**
   * As {@link free}, and blocks the thread while too much is pending, before it queues. The thread
   * is idle while it waits for a grace period, as in {@link synchronizeBlocking}: use nothing
   * afterwards that was read before. What is due is freed meanwhile, and functions of this thread
   * that are due are called, as it does not return to its event loop.
   *
   * @throws UnansweredError after `timeout` ms; the reason of a `signal` that has aborted before;
   *   UnsupportedError on a thread that must not block; else
   *   as {@link free}. Nothing is changed then.
   */
  freeBlocking(what: Freeable, options?: WaitOptions): void {
    queueFreeBlocking(this.#layer.use(), what, options)
  }
  /** As {@link call}, and blocks as {@link freeBlocking}. */
  callBlocking(callback: Callback, options?: WaitOptions): void {
    queueCallBlocking(this.#layer.use(), callback, options)
  }

  /**
   * Resolves when everything has been freed and called that any CPU had queued before, or is lost
   * with its thread. It begins no grace period. A function of a CPU that is parked is called when
   * that one returns to its event loop.
   *
   * @throws UnansweredError after `timeout` ms; the reason of `signal` when that aborts;
   *   ArgumentError; OfflineError, also if this CPU goes offline before its own functions were
   *   called.
   */
  async barrier(options: WaitOptions = {}): Promise<void> {
    const { callbacks } = this.#layer.use()
    checkWait(options)
    await callbacks.barrier(new Deadline(options))
  }
  /**
   * Blocks until all that this thread has queued has been freed and called: for loops that do not
   * return to the event loop. The thread is idle while it waits for a grace period, as in
   * {@link synchronizeBlocking}: use nothing afterwards that was read before. A function of
   * {@link call} that calls this is not waited for.
   *
   * @throws UnansweredError after `timeout` ms; the reason of a `signal` that has aborted before;
   *   UnsupportedError on a thread that must not block; ArgumentError; OfflineError.
   */
  barrierBlocking(options: WaitOptions = {}): void {
    barrierBlocking(this.#layer.use(), options)
  }
}
