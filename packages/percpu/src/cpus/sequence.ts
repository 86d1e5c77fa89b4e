/**
 * Numbers of grace periods, and what can be read off them.
 *
 *     31                            2 1    0
 *     ┌──────────────────────────────┬──────┐
 *     │ grace periods ended so far   │ phase│   phase 0: idle; 1, 2: how far the one under way is
 *     └──────────────────────────────┴──────┘
 *
 * A cookie is such a number with phase 0: the grace period that it stands for has ended when the
 * sequence has come so far. All numbers are 32-bit, and may be given signed or unsigned.
 *
 * Why they may wrap around. Two numbers are compared by their difference modulo 2^32, so each must
 * be used within 2^29 grace periods: 4 hours if one takes 25 µs. {@link isDoneExact} is for
 * cookies that a user may keep longer. No cookie can lie more than {@link AHEAD} before the
 * sequence, so whatever does is an old one, and done. One of about 2^30 grace periods ago can be
 * taken for a new one; then it is done after one or two more.
 */

/** The bits of the phase. */
export const PHASE_MASK = 3
/** What one whole grace period adds. */
export const PERIOD = 4
/** The two phases of a grace period of SRCU; sched RCU has the first one only. */
export const SCAN1 = 1
export const SCAN2 = 2

/** Where sequences begin: 100 grace periods before they wrap around, so that they often do. */
export const FIRST_SEQUENCE = -100 * PERIOD

/** A cookie that is always done. No grace period has it, as its phase is not 0. */
export const COMPLETED = 1

/** A cookie just taken lies at most this far ahead of the sequence. */
const AHEAD = 2 * PHASE_MASK + 1

/**
 * The cookie of a grace period that begins after now: the next one, or the one after it if one is
 * under way, which may have begun too early.
 */
export function snap(sequence: number): number {
  return (sequence + AHEAD) & ~PHASE_MASK
}

/** Whether the sequence has come as far as the cookie, or as another sequence. */
export function isDone(sequence: number, cookie: number): boolean {
  return ((sequence - cookie) | 0) >= 0
}

/** As {@link isDone}, for cookies of any age. Also true for {@link COMPLETED}. */
export function isDoneExact(sequence: number, cookie: number): boolean {
  const ahead = (cookie - sequence) | 0
  return ahead <= 0 || ahead > AHEAD || (cookie | 0) === COMPLETED
}

/** The later one of two. */
export function later(one: number, other: number): number {
  return isDone(one, other) ? one | 0 : other | 0
}

/** 0 while no grace period is under way. */
export function phaseOf(sequence: number): number {
  return sequence & PHASE_MASK
}
export function isIdle(sequence: number): boolean {
  return phaseOf(sequence) === 0
}

/** The phase after this one. The caller sees to it that there is one. */
export function nextPhase(sequence: number): number {
  return (sequence + 1) | 0
}
/** No grace period is under way any more; one more has ended. */
export function endOf(sequence: number): number {
  return ((sequence | PHASE_MASK) + 1) | 0
}

/**
 * The rank, 0 or 1, on which readers that come now count themselves. It changes with the step from
 * {@link SCAN1} to {@link SCAN2}, and only there.
 */
export function rankOf(sequence: number): number {
  return ((sequence + 2) >>> 2) & 1
}
/** The rank that a grace period in this phase waits for. */
export function drainingRankOf(sequence: number): number {
  return rankOf(sequence) ^ 1
}

/** How many grace periods have ended, modulo 2^30. */
export function periodsOf(sequence: number): number {
  return ((sequence | 0) - FIRST_SEQUENCE) >>> 2
}
