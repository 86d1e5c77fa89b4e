/**
 * Histories: which calls were made of an object that threads share, when, and what they gave.
 *
 * A call that has no end was cut off by the end of its thread. It may have taken effect at any time
 * after its beginning, or never.
 */
import { isPromise, ScenarioError } from '../check.js'

/** What a call gave: a value, or an error, of which the code counts, or else the name. */
export type Outcome = { readonly returned: unknown } | { readonly threw: string }

export interface Call {
  /** Who made it. The calls of one thread may overlap, where its tasks make them. */
  readonly thread: number | string
  readonly method: string
  readonly args: readonly unknown[]
  /** The time of its beginning, in any unit that all calls of the history share. */
  readonly began: number
  /** The time of its end, and what it gave; undefined for a call that was cut off. */
  readonly ended?: { readonly at: number; readonly outcome: Outcome }
}

/** The outcome of an action that throws `error`. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof Error)) return { threw: String(error) }
  return { threw: 'code' in error && typeof error.code === 'string' ? error.code : error.name }
}

/**
 * Calls `action`, gives what it gives, and tells `end` the outcome: where that is a promise, when
 * the promise is settled.
 *
 * @throws what `action` throws
 */
export function follow<Result>(action: () => Result, end: (outcome: Outcome) => void): Result {
  let result: Result
  try {
    result = action()
  } catch (error) {
    end(outcomeOf(error))
    throw error
  }
  if (!isPromise(result)) {
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

/** @throws ScenarioError for a call that ends before it begins, or has no time */
export function checkHistory(history: readonly Call[]): void {
  for (const { method, began, ended } of history) {
    if (Number.isNaN(began) || Number.isNaN(ended?.at))
      throw new ScenarioError(`a call of ${method} has no time`)
    if (ended !== undefined && ended.at < began)
      throw new ScenarioError(`a call of ${method} ends at ${ended.at}, before it begins at ${began}`)
  }
}
