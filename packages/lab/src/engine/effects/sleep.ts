/** A step that ends only when somebody else lets its process go on. */
import { WAKE } from '../ops.js'
import { WAITING, type Process } from '../process.js'
import type { World } from '../world.js'

/** The process goes on by a step of its own, once somebody has woken it. */
export function fallAsleep(world: World, process: Process, step: number): void {
  process.state = WAITING
  process.code = WAKE
  process.view = undefined
  process.words = 0
  process.a = undefined
  process.b = world.history.code[step]
}
