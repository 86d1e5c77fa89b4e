/**
 * Waking those that wait at a ring. Nobody who does not wait costs more than a load of a word for
 * each 32 CPUs.
 *
 *     sender      moves the tail ─▶ looks at the receivers' mask
 *     receiver    enters itself in the mask ─▶ looks at the tail ─▶ sleeps
 *
 * In the order of atomics, one of the two looks comes after both writes. So the sender finds the
 * receiver, or the receiver the message. With room it is the same, the other way round.
 *
 * Who is woken is taken out of the mask first: the next message wakes another one. Who was woken
 * and finds nothing enters itself again. One that leaves while there is something passes the
 * wake-up on (wait.ts). A thread that dies between taking one out and ringing it leaves it asleep
 * until its reaper rings everybody (supervisor.ts).
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { REASON_WAKE, type Ringer } from '../../cpus/ringer.js'
import { nextAsleep } from '../../sync/cpu-mask.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem

/** Whether anybody is in the mask. To be called after the change that waiters look for. */
export function hasWaiters({ i32 }: Memory, mask: number, cpus: number): boolean {
  const words = (cpus + 31) >>> 5
  for (let i = 0; i < words; i++) {
    // RF(ring.receivers) looks for waiters, after tail or head was moved; pairs with RE in #mark:
    // who did not see that yet is found here. Mutant: collections/ring-looks-first.
    if (loadAtomic32(i32, mask + i) !== 0) return true
  }
  return false
}

/** Wakes `count` of them, or all. Mutant: collections/ring-batch-wakes-one. */
export function wakeSome(
  memory: Memory,
  ringer: Ringer,
  mask: number,
  { cpu, cpus, count }: { readonly cpu: number; readonly cpus: number; readonly count: number },
): void {
  for (let left = count; left > 0; left--) {
    wakeOne(memory, ringer, mask, cpu, cpus)
    if (left > 1 && !hasWaiters(memory, mask, cpus)) return
  }
}
/** Wakes one of them, rather one that sleeps than one that may compute for long. */
export function wakeOne(memory: Memory, ringer: Ringer, mask: number, cpu: number, cpus: number): void {
  for (;;) {
    const next = nextAsleep(memory, ringer, mask, cpu, cpus)
    if (next < 0) return
    const bit = 1 << (next & 31)
    // atomic: of two that wake, one takes it. Mutant: collections/ring-wakes-again.
    if ((mem.andAtomic32(memory.i32, mask + (next >>> 5), ~bit) & bit) === 0) continue
    ringer.ring(next, REASON_WAKE)
    return
  }
}
