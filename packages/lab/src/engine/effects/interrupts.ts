/** Interrupt handlers: they are sent, begin, end, and are kept out by a mask. */
import { ScenarioError } from '../../check.js'
import { IPI_SYNC } from '../ops.js'
import { FINISHED, READY, WAITING, type Process } from '../process.js'
import type { World } from '../world.js'
import { fallAsleep } from './sleep.js'

/** Sends an IPI. Its handler waits for its chance on the other CPU. */
export function interrupt(world: World, process: Process, step: number, op: number): void {
  const { history } = world
  const [target, handler] = history.a[step] as [number, number]
  const declared = world.handlers[handler]
  const cpu = world.cpus.find(({ number, main }) => number === target && main.kind === 'cpu')
  if (declared === undefined || cpu === undefined)
    throw new ScenarioError(`there is no CPU ${target} to interrupt, or no such handler`)
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

export function leave(world: World, process: Process, step: number): void {
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

export function enter(world: World, process: Process, step: number): void {
  const { cpu } = process
  cpu.entered.push(process)
  process.entry = step
  world.log(cpu, step, process)
  world.history.undo[step] = () => {
    cpu.entered.pop()
    process.entry = -1
  }
}

export function mask(world: World, { cpu }: Process, step: number): void {
  const { history } = world
  const level = cpu.maskLevel
  cpu.maskLevel = history.a[step] as number
  history.undo[step] = () => (cpu.maskLevel = level)
  world.log(cpu, step, level)
}
