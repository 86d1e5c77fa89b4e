/** Waiting on a word, waking, and the end of a wait's time. */
import { valueAt } from '../access.js'
import { CLOCK, join } from '../history.js'
import { ATOMIC, LOAD, TIMEOUT, WAIT } from '../ops.js'
import { FINISHED, READY, WAITING, type Process, type Task } from '../process.js'
import { wasWaiting, type Waiter } from '../waiters.js'
import type { World } from '../world.js'
import { fallAsleep } from './sleep.js'

export function wait(world: World, process: Process, step: number, op: number): void {
  const { history } = world
  const { cpu } = process
  const view = history.view[step]
  if (view === undefined) throw new Error('a wait without a view')
  const value = valueAt(view, ATOMIC | LOAD, history.index[step] as number, undefined, undefined)
  history.before[step] = value
  if (value !== history.a[step]) {
    world.log(cpu, step, op === WAIT ? 'not-equal' : { async: false, value: 'not-equal' })
    return
  }
  const timeout = history.b[step] as number
  let task = -1
  if (op === WAIT) fallAsleep(world, process, step)
  else {
    task = cpu.tasks.length
    cpu.tasks.push({ id: task, kind: 'wait', cause: undefined, value: undefined, done: false })
    world.log(cpu, step, { async: true, value: task })
  }
  const armed = timeout === Infinity ? undefined : armTimer(world, process, step)
  world.waiters.push({
    shadow: view.shadow,
    word: history.word[step] as number,
    cpu,
    process: op === WAIT ? process : undefined,
    task,
    timer: armed?.timer,
  })
  history.undo[step] = () => {
    world.waiters.pop()
    if (task >= 0) cpu.tasks.pop()
    armed?.disarm()
  }
}

/** The process that may end the wait: an idle timer, or else a new one. */
function armTimer(
  world: World,
  process: Process,
  step: number,
): { readonly timer: Process; readonly disarm: () => void } {
  const { cpu } = process
  const { history } = world
  const idle = world.processes.find(
    ({ kind, state, cpu: owner }) => kind === 'timer' && owner === cpu && state === FINISHED,
  )
  const timer = idle ?? world.addProcess('timer', `timer of ${cpu.name}`, cpu)
  const { cause } = timer
  timer.state = READY
  world.setNext(timer, TIMEOUT, history.view[step], history.index[step] as number, undefined, undefined)
  timer.words = 0
  timer.cause = step
  const disarm = () => {
    timer.state = FINISHED
    timer.cause = cause
    // Steps are taken back newest first, so a new timer is the last process again.
    if (idle === undefined) world.processes.pop()
  }
  return { timer, disarm }
}

/** Lets a waiter go on. The function that it returns takes that back. */
function release(world: World, waiter: Waiter, step: number, value: string): () => void {
  const { waiters } = world
  const at = waiters.indexOf(waiter)
  waiters.splice(at, 1)
  const { process, timer } = waiter
  const timerState = timer?.state
  if (timer !== undefined) timer.state = FINISHED
  let task: Task | undefined
  if (process !== undefined) {
    process.state = READY
    process.a = value
    process.cause = step
  } else {
    const woken = waiter.cpu.tasks[waiter.task] as Task
    woken.cause = step
    woken.value = value
    orderReadied(world, woken, waiter, step)
    task = woken
  }
  return () => {
    waiters.splice(at, 0, waiter)
    if (timer !== undefined && timerState !== undefined) timer.state = timerState
    if (process !== undefined) {
      process.state = WAITING
      process.cause = -1
    } else if (task !== undefined) task.cause = undefined
  }
}

/**
 * Orders the step that readies a task with the ones that readied others: the event loop takes its
 * tasks in the order in which they became ready.
 */
function orderReadied(world: World, task: Task, waiter: Waiter, step: number): void {
  for (const other of waiter.cpu.tasks) {
    const { cause } = other
    if (other === task || cause === undefined || cause < 0 || cause === step || other.kind === 'timer')
      continue
    if (world.isOrdered(cause, step)) continue
    join(world.history.dependence, step * CLOCK, cause * CLOCK, world.width)
    world.onConflict?.(cause)
  }
}

export function notify(world: World, process: Process, step: number): void {
  const { history } = world
  const shadow = history.view[step]?.shadow
  const word = history.word[step] as number
  const limit = (history.a[step] as number | undefined) ?? Infinity
  const woken = world.waiters.filter((waiter) => waiter.shadow === shadow && waiter.word === word)
  if (woken.length > limit) woken.length = limit
  for (const waiter of woken) {
    if (waiter.timer !== undefined) world.onAlternative?.(waiter.timer, step)
    for (const other of world.processes)
      if (other.kind === 'kill' && other.cpu === waiter.cpu) world.onAlternative?.(other, step)
  }
  orderAfterKills(world, process, step)
  // The search asks which waiters the notify has woken.
  history.b[step] = woken
  const undo = woken.map((waiter) => release(world, waiter, step, 'ok'))
  world.log(process.cpu, step, woken.length)
  history.undo[step] = () => {
    for (let i = undo.length - 1; i >= 0; i--) undo[i]?.()
  }
}

/** Orders a notify after the kills that took waiters out of the queue of its word. */
function orderAfterKills(world: World, process: Process, step: number): void {
  const { history } = world
  for (const { kind, last } of world.processes) {
    if (
      kind !== 'kill' ||
      last < 0 ||
      !wasWaiting(history.b[last], history.view[step]?.shadow, history.word[step] as number)
    )
      continue
    if (world.isOrdered(last, step)) continue
    join(history.dependence, step * CLOCK, last * CLOCK, world.width)
    world.onConflict?.(last)
  }
}

export function timeOut(world: World, timer: Process, step: number): void {
  const waiter = world.waiters.find((candidate) => candidate.timer === timer)
  if (waiter === undefined) throw new Error('a timer without a wait')
  const undo = release(world, waiter, step, 'timed-out')
  timer.state = FINISHED
  world.history.undo[step] = () => {
    undo()
    timer.state = READY
  }
}
