/** Masks of CPUs in shared memory: one bit each, in {@link MASK_WORDS} words from `mask` on. */
import { andAtomic32, loadAtomic32, orAtomic32, type Memory } from '#mem'
import { REASON_WAKE, type Ringer } from '../cpus/ringer.js'
import { MASK_WORDS } from '../machine/limits.js'

export function setBit(memory: Memory, mask: number, cpu: number): void {
  // atomic: the caller's comment says what the bit asks for.
  orAtomic32(memory.i32, mask + (cpu >>> 5), 1 << (cpu & 31))
}
export function clearBit(memory: Memory, mask: number, cpu: number): void {
  // atomic: the caller's comment says what the bit asked for.
  andAtomic32(memory.i32, mask + (cpu >>> 5), ~(1 << (cpu & 31)))
}
export function hasBit(memory: Memory, mask: number, cpu: number): boolean {
  // atomic: the caller's comment says what the bit asks for.
  return (loadAtomic32(memory.i32, mask + (cpu >>> 5)) & (1 << (cpu & 31))) !== 0
}

/**
 * The next CPU of the mask behind `cpu`, round and round, `cpu` itself last; -1 if the mask is
 * empty.
 */
export function nextBit(memory: Memory, mask: number, cpu: number, cpus: number): number {
  const words = (cpus + 31) >>> 5
  const first = cpu >>> 5
  const above = -2 << (cpu & 31)
  for (let i = 0; i <= words; i++) {
    const word = (first + i) % words
    // atomic: the caller's comment says what the bits ask for.
    let bits = loadAtomic32(memory.i32, mask + word)
    if (i === 0) bits &= (cpu & 31) === 31 ? 0 : above
    if (i === words) bits &= (cpu & 31) === 31 ? -1 : ~above
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits)
  }
  return -1
}

/** Whether the mask has a CPU other than `cpu`. */
export function hasOthers(memory: Memory, mask: number, cpu: number, cpus: number): boolean {
  const next = nextBit(memory, mask, cpu, cpus)
  return next !== -1 && next !== cpu
}

/**
 * Rings the next CPU of the mask behind `cpu`. If that one does not sleep there, it may be long
 * before it goes on, so all are rung: whoever can run goes on. Mutant: sync/busy-alone.
 */
export function ringOne(memory: Memory, ringer: Ringer, mask: number, cpu: number, cpus: number): void {
  const next = nextBit(memory, mask, cpu, cpus)
  if (next < 0) return
  if (ringer.isAsleepIn(mask, next)) ringer.ring(next, REASON_WAKE)
  else ringAll(memory, ringer, mask)
}

/**
 * As {@link nextBit}, but rather one that is asleep, and goes on at once, than one that may compute
 * for long.
 */
export function nextAsleep(memory: Memory, ringer: Ringer, mask: number, cpu: number, cpus: number): number {
  const next = nextBit(memory, mask, cpu, cpus)
  let at = next
  // Once around, also if bits come and go meanwhile.
  for (let i = 0; at >= 0 && i < cpus; i++) {
    if (ringer.isAsleepIn(mask, at)) return at
    at = nextBit(memory, mask, at, cpus)
    if (at === next) break
  }
  return next
}

/** Rings every CPU of a mask; to no purpose, for some. */
export function ringAll(memory: Memory, ringer: Ringer, mask: number): void {
  for (let i = 0; i < MASK_WORDS; i++) {
    // atomic: as H, for all of them.
    let bits = loadAtomic32(memory.i32, mask + i)
    for (; bits !== 0; bits &= bits - 1) ringer.ring(i * 32 + 31 - Math.clz32(bits & -bits), REASON_WAKE)
  }
}
