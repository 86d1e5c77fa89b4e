/** What a CPU's event loop has to do. */
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

/** The event loop takes the oldest task that is ready; any timer may come first. */
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
