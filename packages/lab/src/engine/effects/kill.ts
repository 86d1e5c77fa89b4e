/** The end of a CPU. */
import { DEAD, FINISHED, READY, UNBORN, type Process } from '../process.js'
import type { World } from '../world.js'

/**
 * Ends a CPU: none of its processes takes a step any more, nobody wakes it, and its reaper begins.
 */
export function kill(world: World, killer: Process, step: number): void {
  const { cpu } = killer
  killer.state = FINISHED
  const dying = world.processes.filter((other) => other.cpu === cpu && other !== killer)
  const states = dying.map(({ state }) => state)
  for (const process of dying) process.state = DEAD
  const waiters = world.waiters.slice()
  // The search asks which waiters the kill has taken out of the queues.
  world.history.b[step] = waiters.filter((waiter) => waiter.cpu === cpu)
  for (let i = world.waiters.length - 1; i >= 0; i--)
    if (world.waiters[i]?.cpu === cpu) world.waiters.splice(i, 1)
  const reaper = world.reapers.get(cpu)
  if (reaper !== undefined) {
    reaper.main.state = READY
    reaper.main.born = step
  }
  world.history.undo[step] = () => {
    dying.forEach((process, i) => (process.state = states[i] as number))
    world.waiters.splice(0, Infinity, ...waiters)
    if (reaper !== undefined) {
      reaper.main.state = UNBORN
      reaper.main.born = -1
    }
  }
}
