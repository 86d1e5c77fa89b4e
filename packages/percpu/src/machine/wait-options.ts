/**
 * How long a call waits: the options that every waiting call takes, their check, and the deadline
 * that they amount to.
 */
import { checkMilliseconds, checkOptions, isSafely, refused, type OptionNames } from './check.js'
import { host, startTimer } from './platform.js'

/** The part of an AbortSignal that waiting uses. */
export interface AbortSignalLike {
  readonly aborted: boolean
  readonly reason: unknown
  /** Calls `listener` when the signal aborts. */
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once?: boolean }): void
  /** Never calls `listener` again. */
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Of every call that waits. */
export interface WaitOptions {
  /** Milliseconds, 0 or more, after which the call gives up with a typed error. Default: none. */
  readonly timeout?: number
  /**
   * An asynchronous call gives up when the signal aborts, and rejects with the signal's reason. A
   * call that blocks its thread throws the reason if the signal has aborted before the call. Later
   * it does not look: the timers and events that abort signals do not run on a blocked thread.
   */
  readonly signal?: AbortSignalLike
}

const names: OptionNames<WaitOptions> = { timeout: true, signal: true }

/**
 * Checks what a user passes to a call that has no other options. Undefined passes.
 *
 * @throws ArgumentError unless they are WaitOptions; the signal's reason if it has aborted.
 */
export function checkWait(options: WaitOptions | undefined): void {
  checkHurry(options)
  throwIfAborted(options?.signal)
}
/**
 * As {@link checkWait}, for what is done all the same at the end of its time, or when its signal
 * aborts: a signal that has aborted passes.
 */
export function checkHurry(options: WaitOptions | undefined): void {
  if (options === undefined) return
  checkOptions('a wait', options, names)
  checkTimeout(options.timeout)
  checkSignal(options.signal)
}

/**
 * Checks the two options among others.
 *
 * @throws ArgumentError for a wrong type or range; the signal's reason if it has aborted.
 */
export function checkLimits({ timeout, signal }: WaitOptions): void {
  checkTimeout(timeout)
  checkSignal(signal)
  throwIfAborted(signal)
}
function throwIfAborted(signal: AbortSignalLike | undefined): void {
  if (signal?.aborted) throw signal.reason as Error
}

/** Undefined passes. @throws ArgumentError for what is no AbortSignal. */
export function checkSignal(signal: AbortSignalLike | undefined): void {
  if (signal === undefined || isSafely(() => isSignal(signal))) return
  throw refused('signal', signal, 'not an AbortSignal')
}
function isSignal(signal: unknown): boolean {
  const { aborted, addEventListener, removeEventListener } = Object(signal) as Partial<AbortSignalLike>
  return (
    typeof aborted === 'boolean' &&
    typeof addEventListener === 'function' &&
    typeof removeEventListener === 'function'
  )
}

/** Milliseconds: 0 or more, Infinity for no limit; undefined passes. @throws ArgumentError */
export function checkTimeout(timeout: number | undefined): void {
  checkMilliseconds('timeout', timeout)
}

/** When a wait ends, counted from its construction. One wait of several steps has one deadline. */
export class Deadline {
  /** Milliseconds, as given; Infinity for no limit. */
  readonly timeout: number
  readonly signal: AbortSignalLike | undefined
  readonly #end: number

  constructor({ timeout = Infinity, signal }: WaitOptions = {}) {
    this.timeout = timeout
    this.signal = signal
    this.#end = timeout === Infinity ? Infinity : host.performance.now() + timeout
  }

  /** Milliseconds that are left, 0 or more. */
  get left(): number {
    return this.#end === Infinity ? Infinity : Math.max(0, this.#end - host.performance.now())
  }

  /** For a step of the wait that takes options itself: whole milliseconds, for its messages. */
  get rest(): WaitOptions {
    const timeout = Math.ceil(this.left)
    const { signal } = this
    return signal === undefined ? { timeout } : { timeout, signal }
  }

  /** @throws the signal's reason if it has aborted. */
  throwIfAborted(): void {
    throwIfAborted(this.signal)
  }

  /**
   * Calls `late` when the time is over, or `aborted` when the signal aborts. Returns a function
   * that ends both.
   */
  watch(late: () => void, aborted: (reason: Error) => void): () => void {
    const stopTimer = startTimer(late, this.left)
    const { signal } = this
    if (!signal) return stopTimer
    const listener = (): void => {
      aborted(signal.reason as Error)
    }
    signal.addEventListener('abort', listener)
    return () => {
      stopTimer()
      signal.removeEventListener('abort', listener)
    }
  }
}
