/** What a step does: to memory, to those who wait, to other processes. */
import { perform, valueAt } from './access.js'
import { CLOCK } from './history.js'
import {
  ALLOCATE,
  ATOMIC,
  CHOOSE,
  CODE,
  COPY_OUT,
  ENTER,
  EXIT,
  FREE,
  IPI,
  IPI_SYNC,
  KILL,
  LEAVE,
  LOAD,
  MASK,
  NOTIFY,
  SAFEPOINT,
  TASK,
  TIMEOUT,
  TURN,
  WAIT,
  WAIT_ASYNC,
  WAKE,
} from './ops.js'
import { join } from './ordering.js'
import { DEAD, FINISHED, READY, UNBORN, WAITING, type Process, type Task } from './process.js'
import { staleValues } from './stale.js'
import { RACY, type Shadow } from './views.js'
import type { Waiter, World } from './world.js'

export function takeEffect(world: World, process: Process, step: number): void {
  const { history } = world
  const { cpu } = process
  const code = history.code[step] as number
  const op = code & CODE
  const a = history.a[step]
  switch (op) {
    case WAIT:
    case WAIT_ASYNC:
      wait(world, process, step, op)
      return
    case NOTIFY:
      notify(world, process, step)
      return
    case WAKE:
    case SAFEPOINT:
      world.log(cpu, step, a)
      return
    case CHOOSE: {
      const count = a as number
      history.outcomes[step] = count
      const outcome = (history.outcome[step] = world.chooseOutcome(count))
      world.log(cpu, step, outcome)
      return
    }
    case ENTER:
      cpu.entered.push(process)
      process.entry = step
      world.log(cpu, step, process)
      history.undo[step] = () => {
        cpu.entered.pop()
        process.entry = -1
      }
      return
    case LEAVE:
      leave(world, process, step)
      return
    case EXIT:
      process.state = FINISHED
      return
    case KILL:
      kill(world, process, step)
      return
    case TIMEOUT:
      timeOut(world, process, step)
      return
    case IPI:
    case IPI_SYNC:
      interrupt(world, process, step, op)
      return
    case MASK: {
      const level = cpu.maskLevel
      cpu.maskLevel = a as number
      history.undo[step] = () => (cpu.maskLevel = level)
      world.log(cpu, step, level)
      return
    }
    case TASK:
      addTask(world, process, step)
      return
    case TURN:
      turn(world, process, step)
      return
    case ALLOCATE:
    case FREE:
      world.log(cpu, step, undefined)
      return
    default:
      access(world, process, step, code)
  }
}

function access(world: World, process: Process, step: number, code: number): void {
  const { history } = world
  const view = history.view[step]
  if (view === undefined) throw new Error('an access without a view')
  const index = history.index[step] as number
  const a = history.a[step]
  const b = history.b[step]
  const before = valueAt(view, code, index, a, b)
  history.before[step] = before
  const op = code & CODE
  if (code === LOAD && world.weak && view.shadow.kinds[history.word[step] as number] === RACY) {
    const value = loadWeakly(world, step, before)
    world.log(process.cpu, step, value)
    return
  }
  if (op !== LOAD && op !== COPY_OUT) history.changed[step] = 1
  world.log(process.cpu, step, perform(view, code, index, a, b, before))
}

function loadWeakly(world: World, step: number, newest: unknown): unknown {
  const { history } = world
  const values = staleValues(world, step)
  history.outcomes[step] = values.length + 1
  const outcome = (history.outcome[step] = world.chooseOutcome(values.length + 1))
  if (outcome === 0) return newest
  const stale = values[outcome - 1] as { value: unknown; step: number }
  history.readFrom[step] = stale.step
  return stale.value
}

function wait(world: World, process: Process, step: number, op: number): void {
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

/** The process goes on by a step of its own, once somebody has woken it. */
function fallAsleep(world: World, process: Process, step: number): void {
  process.state = WAITING
  process.code = WAKE
  process.view = undefined
  process.words = 0
  process.a = undefined
  process.b = world.history.code[step]
}

/** A process that may end the wait: one that has no wait at present, or a new one. */
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

/** Lets a waiter go on. Returns what takes that back. */
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

/** The event loop takes its tasks in the order in which they became ready, so those that ready them depend on each other. */
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

function notify(world: World, process: Process, step: number): void {
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
  // For the search: whom it woke.
  history.b[step] = woken
  const undo = woken.map((waiter) => release(world, waiter, step, 'ok'))
  world.log(process.cpu, step, woken.length)
  history.undo[step] = () => {
    for (let i = undo.length - 1; i >= 0; i--) undo[i]?.()
  }
}

/** A kill that took somebody out of the queue changed what a later notify finds. */
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

/** Whether one of the waiters, which a step woke or removed, was in the queue of the word. */
export function wasWaiting(waiters: unknown, shadow: Shadow | undefined, word: number): boolean {
  return (waiters as readonly Waiter[]).some((waiter) => waiter.shadow === shadow && waiter.word === word)
}

function timeOut(world: World, timer: Process, step: number): void {
  const waiter = world.waiters.find((candidate) => candidate.timer === timer)
  if (waiter === undefined) throw new Error('a timer without a wait')
  const undo = release(world, waiter, step, 'timed-out')
  timer.state = FINISHED
  world.history.undo[step] = () => {
    undo()
    timer.state = READY
  }
}

/** Ends a CPU: nothing of it takes a step any more, nobody wakes it. Its reaper comes into being. */
function kill(world: World, killer: Process, step: number): void {
  const { cpu } = killer
  killer.state = FINISHED
  const dying = world.processes.filter((other) => other.cpu === cpu && other !== killer)
  const states = dying.map(({ state }) => state)
  for (const process of dying) process.state = DEAD
  const waiters = world.waiters.slice()
  // For the search: whom it took out of the queues.
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

/** Sends an IPI: a handler that waits for its chance on the other CPU. */
function interrupt(world: World, process: Process, step: number, op: number): void {
  const { history } = world
  const [target, handler] = history.a[step] as [number, number]
  const declared = world.handlers[handler]
  const cpu = world.cpus.find(({ number, main }) => number === target && main.kind === 'cpu')
  if (declared === undefined || cpu === undefined)
    throw new RangeError(`there is no CPU ${target} to interrupt`)
  const { body, name } = declared
  const born = world.addProcess('ipi', `${name} on ${cpu.name}`, cpu, body, declared)
  born.cause = step
  if (op === IPI_SYNC) {
    fallAsleep(world, process, step)
    world.senders.set(born, process)
  } else world.log(process.cpu, step, undefined)
  history.undo[step] = () => {
    world.processes.pop()
    world.senders.delete(born)
  }
}

function leave(world: World, process: Process, step: number): void {
  process.state = FINISHED
  const sender = world.senders.get(process)
  if (sender?.state !== WAITING) return
  sender.state = READY
  sender.cause = step
  world.history.undo[step] = () => {
    sender.state = WAITING
    sender.cause = -1
  }
}

function addTask(world: World, process: Process, step: number): void {
  const { cpu } = process
  const id = cpu.tasks.length
  const kind = world.history.a[step] as Task['kind']
  cpu.tasks.push({ id, kind, cause: step, value: undefined, done: false })
  world.log(cpu, step, id)
  world.history.undo[step] = () => cpu.tasks.pop()
}

/** The event loop takes the oldest task that is ready; any timer may come first. */
function turn(world: World, process: Process, step: number): void {
  const { history } = world
  const ready = process.cpu.readyTasks()
  history.outcomes[step] = ready.length
  const outcome = (history.outcome[step] = world.chooseOutcome(ready.length))
  const task = ready[outcome] as Task
  task.done = true
  const { cause } = task
  if (cause !== undefined && cause >= 0) {
    join(history.dependence, step * CLOCK, cause * CLOCK, world.width)
    join(history.happened, step * CLOCK, cause * CLOCK, world.width)
  }
  world.log(process.cpu, step, task)
  history.undo[step] = () => (task.done = false)
}
