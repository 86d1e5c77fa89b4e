/** What a search is to the engine, and how an execution may end. */

/** Decides which step comes next. */
export interface Search {
  /** The number of a process that is enabled, or one of the ends below. */
  next(): number
}
/** Nobody can step, and nothing could have been chosen otherwise. */
export const END = -1
/** The execution is not worth going on with: an equivalent one has been explored. */
export const REDUNDANT = -2
/** Something is wrong: the world has a data race, or a check failed. */
export const FAILED = -3
/** More steps than allowed. */
export const TOO_LONG = -4
/** Another shard explores what follows. */
export const ELSEWHERE = -5
