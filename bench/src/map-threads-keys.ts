/** The keys of map-threads.ts, and its loops that run in several threads. */
import { join, type MachineHandle } from 'percpu'
import type { MakeLoop } from './harness/threads.js'

/** A power of two. */
export const ENTRIES = 2 ** 20
/** The writer changes each entry whose number is a multiple of this. */
export const CHANGED = 2

/** Words that threads share: whether the writer is to write, and how often it has. */
export const RUN = 0
export const WRITTEN = 1

/** A key for each number, and the keys far apart. */
export function keyOf(number: number): number {
  return Math.imul(number, 0x9e3779b1) >>> 0
}

/** How many keys are drawn, a power of two. */
export const DRAWN = 2 ** 16
/** Keys of random entries, by their numbers' remainder on division by {@link CHANGED}, if given. */
export function drawKeys(seed: number, remainder?: number): Uint32Array {
  let state = seed
  return Uint32Array.from({ length: DRAWN }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const number = state >>> 12
    return keyOf(remainder === undefined ? number : number - (number % CHANGED) + remainder)
  })
}

export const getShared: MakeLoop<MachineHandle> = (handle, thread) => {
  const map = join(handle).map('keys', { key: 'u32', value: 'u32' })
  const keys = drawKeys(thread + 1)
  return (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum = (sum + (map.get(keys[i & (DRAWN - 1)] as number) ?? 0)) | 0
    return sum
  }
}

export const getPrivate: MakeLoop<undefined> = (_, thread) => {
  const map = new Map<number, number>()
  for (let i = 0; i < ENTRIES; i++) map.set(keyOf(i), i)
  const keys = drawKeys(thread + 1)
  return (count) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum = (sum + (map.get(keys[i & (DRAWN - 1)] as number) ?? 0)) | 0
    return sum
  }
}
