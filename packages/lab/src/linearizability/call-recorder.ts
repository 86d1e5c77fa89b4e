/** Histories of real threads. */
import { checkFunction } from '../check.js'
import { follow, type Call } from './history.js'

/**
 * Records the calls of one thread, with times of the system's monotonic clock, in nanoseconds: all
 * threads of a process can record the same history. Two recorded calls do not order the threads'
 * memory.
 *
 * Cost: some 200 ns a call.
 */
export class CallRecorder {
  readonly #calls: { call: Omit<Call, 'ended'>; ended: Call['ended'] }[] = []

  constructor(readonly thread: number | string) {}

  /**
   * Calls `action`, records it as `method(...args)`, and gives what it gives. Where that is a
   * promise, the call ends when the promise is settled.
   *
   * @throws what `action` throws
   */
  call<Result>(method: string, args: readonly unknown[], action: () => Result): Result {
    checkFunction('the action', action)
    const entry: { call: Omit<Call, 'ended'>; ended: Call['ended'] } = {
      call: { thread: this.thread, method, args: structuredClone(args), began: now() },
      ended: undefined,
    }
    this.#calls.push(entry)
    return follow(action, (outcome) => {
      const at = now()
      entry.ended = { at, outcome: structuredClone(outcome) }
    })
  }

  /** The calls so far, which can be passed to other threads. */
  history(): Call[] {
    return this.#calls.map(({ call, ended }) => (ended === undefined ? call : { ...call, ended }))
  }
}

function now(): number {
  return Number(process.hrtime.bigint())
}
