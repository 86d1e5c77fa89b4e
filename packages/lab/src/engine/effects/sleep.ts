/** Steps that end only when another process lets theirs go on. */
import { WAKE } from '../ops.js'
import { WAITING, type Process } from '../process.js'
import type { World } from '../world.js'

/** Lets the process wait. Once another one has woken it, it goes on by a step of its own. */
export function fallAsleep(world: World, process: Process, step: number): void {
  process.state = WAITING
  process.code = WAKE
  process.view = undefined
  process.words = 0
  process.a = undefined
  process.b = world.history.code[step]
}
