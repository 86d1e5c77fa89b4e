/**
 * How a CPU waits for whatever this layer has to wait for: asleep on its own bell, or asynchronously.
 *
 * The condition is asked, and may leave a mark for whoever will make it true; then the CPU sleeps until it is rung, and asks
 * again. A ring is never lost (the bell is a word that keeps it), and may come for no reason.
 */
import { awaitUntil } from '#mem'
import { ArgumentError } from '../errors.js'
import { checkOptions, checkTimeout, shown } from '../machine/check.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { UnsupportedError } from '../machine/errors.js'
import { host } from '../machine/platform.js'
import type { Sections } from './section.js'

/** What is needed of an AbortSignal. */
export interface AbortSignalLike {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}
export interface WaitOptions {
  /** Milliseconds after which a LockTimeoutError is thrown. Default: for ever. */
  readonly timeout?: number
}
export interface AsyncWaitOptions extends WaitOptions {
  /** Gives up when it aborts; the promise rejects with its reason. */
  readonly signal?: AbortSignalLike
}

/** About a microsecond: as long as a short section of another CPU may take. */
const SPIN = 50

export class Waiting {
  readonly #own: OwnCpu
  readonly #sections: Sections
  #mayBlock: boolean | undefined
  #isClosed = false

  constructor(own: OwnCpu, sections: Sections) {
    this.#own = own
    this.#sections = sections
  }

  /** The CPU goes offline: nothing is waited for any more. */
  close(): void {
    this.#isClosed = true
    this.#mayBlock = false
    this.recheck()
  }
  /** @throws OfflineError once the CPU goes offline. */
  assertOpen(): void {
    if (this.#isClosed) throw this.#own.offlineError()
  }

  /** @throws UnsupportedError on threads that must not block, whether or not it would have to. */
  assertMayBlock(): void {
    this.#mayBlock ??= this.#own.idle.mayBlock()
    if (this.#mayBlock) return
    this.assertOpen()
    throw new UnsupportedError(
      'this thread must not block (the main thread of a browser page): use the async form, or the try form',
    )
  }

  /**
   * A wait begins that may be long: what to give to {@link endWait} when it is over, so that it is logged while locks are traced.
   * Not for spinning. Cost: a plain load while they are not.
   */
  beginWait(): number {
    return this.#own.idle.watcher?.lockWaits() ?? 0
  }
  /** `address`: byte address of what was waited for; `acquired`: whether it was got. */
  endWait(address: number, begun: number, acquired: boolean): void {
    if (begun > 0) this.#own.idle.watcher?.lockWaited(address, begun, acquired)
  }

  /** A short while of busy waiting. `done` only loads. */
  spin(done: () => boolean): boolean {
    return awaitUntil(done, SPIN)
  }

  /**
   * Blocks until `done()` holds (true), or until the deadline (false). A quiescent state of this CPU. Inside a section nothing
   * else runs on this thread meanwhile: what it would see is half-done.
   */
  sleep(done: () => boolean, deadline: number): boolean {
    const rest = deadline === Infinity ? Infinity : Math.max(0, deadline - host.performance.now())
    return this.#own.idle.sleepUntil(done, rest, !this.#sections.isOpen)
  }

  /** Resolves to true when `done()` holds, to false at the deadline. Rejects when `signal` aborts. */
  async wait(done: () => boolean, deadline: number, signal: AbortSignalLike | undefined): Promise<boolean> {
    const { doorbell } = this.#own
    const rest = deadline === Infinity ? Infinity : Math.max(0, deadline - host.performance.now())
    const recheck = (): void => doorbell.recheck()
    signal?.addEventListener('abort', recheck)
    try {
      const held = await doorbell.until([], () => this.#isClosed || signal?.aborted === true || done(), rest)
      this.assertOpen()
      throwIfAborted(signal)
      return held
    } finally {
      signal?.removeEventListener('abort', recheck)
    }
  }

  /** Lets all asynchronous waits of this thread ask again, after a change that only this thread knows of. */
  recheck(): void {
    this.#own.doorbell.recheck()
  }
}

/** @throws ArgumentError unless `signal` is one, or undefined; its reason if it has aborted. */
function throwIfAborted(signal: AbortSignalLike | undefined): void {
  if (signal === undefined) return
  if (typeof (signal as Partial<AbortSignalLike> | null)?.addEventListener !== 'function')
    throw new ArgumentError(`signal: ${shown(signal)} is not an AbortSignal`, { signal })
  if (!signal.aborted) return
  throw signal.reason as Error
}
/** @throws ArgumentError unless they are options of a wait that blocks. */
export function checkWait(options: WaitOptions | undefined): void {
  if (options === undefined) return
  checkOptions('a wait that blocks', options, { timeout: true })
  checkTimeout(options.timeout)
}
/** @throws ArgumentError unless they are options of an asynchronous wait; the reason of its signal if that has aborted. */
export function checkAsyncWait(options: AsyncWaitOptions | undefined): void {
  if (options === undefined) return
  checkOptions('an asynchronous wait', options, { timeout: true, signal: true })
  throwIfAborted(options.signal)
  checkTimeout(options.timeout)
}
/** When a wait with these options ends. @throws as {@link checkWait}. */
export function deadlineOf(options: WaitOptions | undefined): number {
  checkWait(options)
  return after(options?.timeout)
}
/** As {@link deadlineOf}. @throws as {@link checkAsyncWait}. */
export function asyncDeadlineOf(options: AsyncWaitOptions | undefined): number {
  checkAsyncWait(options)
  return after(options?.timeout)
}
function after(timeout: number | undefined): number {
  return timeout === undefined || timeout === Infinity ? Infinity : host.performance.now() + timeout
}
