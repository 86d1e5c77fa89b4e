/**
 * The way from a state to the next: {@link takeStep} takes the next step of a process, {@link
 * takeBack} takes steps back. The search (search/) knows which steps are worth taking, and the
 * runner (runner.ts) how code is brought to its next step.
 */
import { restore } from './access.js'
import { takeEffect } from './effects/effect.js'
import { footprintOf } from './footprint.js'
import { order } from './ordering.js'
import { type Process, READY } from './process.js'
import type { World } from './world.js'

/** Takes the next step of `process`, which must be enabled. Returns its number. */
export function takeStep(world: World, process: Process): number {
  const { history } = world
  const { cpu } = process
  const step = history.append()
  history.process[step] = process.id
  history.sequence[step] = ++process.sequence
  history.previous[step] = process.last
  const agent = process.runs ? cpu.main.id : process.id
  history.agent[step] = agent
  history.code[step] = process.code
  history.view[step] = process.view
  history.index[step] = process.index
  history.a[step] = process.a
  history.b[step] = process.b
  history.word[step] = process.word
  history.words[step] = process.words
  history.mask[step] = process.mask
  history.cause[step] = process.cause
  history.logged[step] = 0
  history.result[step] = undefined
  if (process.runs) {
    history.agentPrevious[step] = cpu.last
    history.agentSequence[step] = ++cpu.sequence
    cpu.last = step
  } else {
    history.agentPrevious[step] = process.last
    history.agentSequence[step] = process.sequence
  }
  order(world, process, step)
  if (process.territory?.add(footprintOf(history, step)) === true) world.territoryGrew = true
  process.last = step
  process.code = -1
  process.cause = -1
  takeEffect(world, process, step)
  return step
}

/** Takes steps back until `length` are left. */
export function takeBack(world: World, length: number): void {
  const { history } = world
  while (history.length > length) undoStep(world, history.length - 1)
  if (world.race !== undefined && world.race.second >= length) world.race = undefined
}

function undoStep(world: World, step: number): void {
  const { history } = world
  const process = world.processes[history.process[step] as number] as Process
  const { cpu } = process
  history.undo[step]?.()
  history.undo[step] = undefined
  const code = history.code[step] as number
  const view = history.view[step]
  const words = history.words[step] as number
  if (view !== undefined) {
    if (history.changed[step] === 1)
      restore(view, history.index[step] as number, history.before[step], history.b[step])
    const queued = history.queue[step] as number
    if (queued >= 0) history.detach(view.shadow.queues, queued)
    const word = history.word[step] as number
    for (let i = words - 1; i >= 0; i--) history.detach(view.shadow.accesses, word + i)
  }
  if (history.logged[step] === 1) cpu.logLength--
  process.sequence--
  process.last = history.previous[step] as number
  process.state = READY
  process.code = code
  process.view = view
  process.index = history.index[step] as number
  process.a = history.a[step]
  process.b = history.b[step]
  process.word = history.word[step] as number
  process.words = words
  process.mask = history.mask[step] as number
  process.cause = history.cause[step] as number
  if (process.runs) {
    cpu.last = history.agentPrevious[step] as number
    cpu.sequence--
  }
  history.length = step
}
