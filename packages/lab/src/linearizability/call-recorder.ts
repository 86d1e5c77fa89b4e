/** Histories of real threads. */
import { checkFunction } from '../check.js'
import { outcomeOf, type Call, type Outcome } from './history.js'

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
    const end = (outcome: Outcome): void => {
      const at = now()
      entry.ended = { at, outcome: structuredClone(outcome) }
    }
    let result: Result
    try {
      result = action()
    } catch (error) {
      end(outcomeOf(error))
      throw error
    }
    if (!(result instanceof Promise)) {
      end({ returned: result })
      return result
    }
    return result.then(
      (returned: unknown) => {
        end({ returned })
        return returned
      },
      (error: unknown) => {
        end(outcomeOf(error))
        throw error
      },
    ) as Result
  }

  /** The calls so far, which can be passed to other threads. */
  history(): Call[] {
    return this.#calls.map(({ call, ended }) => (ended === undefined ? call : { ...call, ended }))
  }
}

function now(): number {
  return Number(process.hrtime.bigint())
}
