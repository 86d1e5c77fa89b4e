/** The tasks of a CPU's event loop. */
import { CLOCK, join } from '../history.js'
import type { Process, Task } from '../process.js'
import type { World } from '../world.js'

export function addTask(world: World, process: Process, step: number): void {
  const { cpu } = process
  const id = cpu.tasks.length
  const kind = world.history.a[step] as Task['kind']
  cpu.tasks.push({ id, kind, cause: step, value: undefined, done: false })
  world.log(cpu, step, id)
  world.history.undo[step] = () => cpu.tasks.pop()
}

/** Takes the oldest task that is ready, or any timer before it. */
export function turn(world: World, process: Process, step: number): void {
  const { history } = world
  const ready = process.cpu.readyTasks()
  const task = ready[world.decide(step, ready.length)] as Task
  task.done = true
  const { cause } = task
  if (cause !== undefined && cause >= 0) {
    join(history.dependence, step * CLOCK, cause * CLOCK, world.width)
    join(history.happened, step * CLOCK, cause * CLOCK, world.width)
  }
  world.log(process.cpu, step, task)
  history.undo[step] = () => (task.done = false)
}
