/**
 * Takes the actions of `cpu.prepare`, before a body's first step: at once, and for all executions.
 */
import { directly } from './hook.js'
import { CALL, CODE, NOTIFY, RETURN, TASK, WAIT, WAIT_ASYNC } from './ops.js'
import type { Cpu, Task } from './process.js'
import type { LabView } from './views.js'
import type { World } from './world.js'

export function prepareStep(
  world: World,
  cpu: Cpu,
  code: number,
  view: LabView | undefined,
  index: number,
  a: unknown,
  b: unknown,
): unknown {
  const op = code & CODE
  if (op === TASK) return addTask(cpu, a as Task['kind'], -1)
  if (view === undefined) throw new Error('only accesses to memory can be prepared')
  if (op === CALL || op === RETURN) throw new Error('a call of a history is a step, and cannot be prepared')
  if (op === WAIT) throw new Error('a body cannot block in prepare()')
  if (op === NOTIFY) return notify(world, view, index, a as number | undefined)
  if (op !== WAIT_ASYNC) return directly(code, view, index, a, b)
  if (view.numbers[index] !== a) return { async: false, value: 'not-equal' }
  const task = addTask(cpu, 'wait', undefined)
  world.waiters.push({ shadow: view.shadow, word: index, cpu, process: undefined, task, timer: undefined })
  return { async: true, value: task }
}

function addTask(cpu: Cpu, kind: Task['kind'], cause: number | undefined): number {
  const id = cpu.tasks.length
  cpu.tasks.push({ id, kind, cause, value: undefined, done: false })
  return id
}

function notify(world: World, view: LabView, index: number, limit = Infinity): number {
  let woken = 0
  for (let i = 0; i < world.waiters.length && woken < limit;) {
    const waiter = world.waiters[i]
    if (waiter?.shadow !== view.shadow || waiter.word !== index) {
      i++
      continue
    }
    const task = waiter.cpu.tasks[waiter.task]
    if (task !== undefined) {
      task.cause = -1
      task.value = 'ok'
    }
    world.waiters.splice(i, 1)
    woken++
  }
  return woken
}
