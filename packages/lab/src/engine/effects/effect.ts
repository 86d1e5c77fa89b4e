/** The effects of a step: on memory, on waiters, on other processes. */
import {
  ALLOCATE,
  CALL,
  CHOOSE,
  CODE,
  ENTER,
  EXIT,
  FREE,
  IPI,
  IPI_SYNC,
  KILL,
  LEAVE,
  MASK,
  NOTIFY,
  RETURN,
  SAFEPOINT,
  TASK,
  TIMEOUT,
  TURN,
  WAIT,
  WAIT_ASYNC,
  WAKE,
} from '../ops.js'
import { FINISHED, type Process } from '../process.js'
import type { World } from '../world.js'
import { access } from './memory.js'
import { enter, interrupt, leave, mask } from './interrupts.js'
import { kill } from './kill.js'
import { addTask, turn } from './tasks.js'
import { notify, timeOut, wait } from './waiting.js'

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
    case CHOOSE:
      world.log(cpu, step, world.decide(step, a as number))
      return
    case ENTER:
      enter(world, process, step)
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
    case MASK:
      mask(world, process, step)
      return
    case TASK:
      addTask(world, process, step)
      return
    case TURN:
      turn(world, process, step)
      return
    case ALLOCATE:
    case FREE:
    case CALL:
    case RETURN:
      world.log(cpu, step, undefined)
      return
    default:
      access(world, process, step, code)
  }
}
