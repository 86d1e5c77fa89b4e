/** The engine's view of a search, and the ends of an execution. */

/** Decides which step comes next. */
export interface Search {
  /** The number of a process that is enabled, or one of the ends. */
  next(): number
}
/** Nobody can step, and nothing could have been chosen otherwise. */
export const END = -1
/** The execution need not go on: an equivalent one has been explored. */
export const REDUNDANT = -2
/** Something is wrong: the world has a data race, or a check failed. */
export const FAILED = -3
/** More steps than allowed. */
export const TOO_LONG = -4
/** Another shard explores the executions that begin like this one. */
export const ELSEWHERE = -5
