/** What percpu.ts and the threads with its objects (percpu-crowd.ts) tell each other. */
export interface CrowdData {
  readonly bytes: number
  readonly mmu: boolean
}
/** Nanoseconds each. */
export interface CrowdTimes {
  readonly free: number
  readonly allocate: number
}

export const LIVE = 1_000_000
/**
 * How many of them are freed and allocated anew, one after the other, as in the kernel's
 * measurement.
 */
export const BATCH = 50_000
