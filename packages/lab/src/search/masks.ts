/** Sets of processes as bits: bit n stands for the process with number n. */
import type { World } from '../engine/world.js'

/** The timers among the processes of a mask. When nothing else can happen, time passes. */
export function timersIn(world: World, mask: number): number {
  let timers = 0
  for (const { id, kind } of world.processes)
    if (kind === 'timer' && (mask & (1 << id)) !== 0) timers |= 1 << id
  return timers
}

/** The process with the lowest number in a mask that is not empty. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask)
}
