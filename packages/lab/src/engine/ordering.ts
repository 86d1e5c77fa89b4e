/**
 * Orders a new step with the steps before it. It fills in the two clocks of the step, tells the
 * search of steps that the new one could be swapped with, and looks for data races.
 *
 * Two accesses conflict if they touch the same byte and one of them writes. The list of a word is
 * walked from the newest access to the oldest. A conflicting access that is not yet in the step's
 * clock could run after the step: if something ordered the two, it would have been met before, and
 * joined. Such a pair is a *race* in the sense of Source-DPOR (Abdulla, Aronsson, Jonsson, Sagonas
 * 2014). The walk ends at a write that covers the step's bytes, because all older accesses are
 * ordered through it.
 *
 * A data race (ECMA-262, Memory Model) is a pair of conflicting accesses that happens-before does
 * not order, unless both are atomic and of the same bytes. Racy words are exempt: their layout says
 * so.
 */
import { CLOCK, join } from './history.js'
import { footprintOf } from './footprint.js'
import { ATOMIC, ENTER, reads, touchesQueue, writes } from './ops.js'
import { FINISHED, type Process } from './process.js'
import { RACY, type LabView } from './views.js'
import type { World } from './world.js'

/** Conflicting steps of the step at hand, newest first. */
const conflicts = new Int32Array(4096)

export function order(world: World, process: Process, step: number): void {
  const { history } = world
  startClocks(world, process, step)
  const code = history.code[step] as number
  const view = history.view[step]
  const { onConflict } = world
  let count = process.runs && world.hasHandlers ? orderWithHandlers(world, process, step) : 0
  if (view !== undefined) {
    const word = history.word[step] as number
    const words = history.words[step] as number
    if (words === 1) count = walk(world, view, word, step, count)
    else if (words > 1) count = walkMany(world, view, word, words, step, count)
    if (touchesQueue(code)) count = walkQueue(world, view, word, step, count)
    for (let i = 0; i < words; i++) history.attach(step, view.shadow.accesses, word + i)
    if ((history.queue[step] as number) >= 0) history.attach(step, view.shadow.queues, word)
  }
  if (onConflict !== undefined) for (let i = 0; i < count; i++) onConflict(conflicts[i] as number)
}

function startClocks(world: World, process: Process, step: number): void {
  const { history } = world
  const { dependence, happened } = history
  const at = step * CLOCK
  const previous = process.last >= 0 ? process.last : process.born
  const agentPrevious = history.agentPrevious[step] as number
  const before = agentPrevious >= 0 ? agentPrevious : process.runs ? process.cpu.main.born : -1
  const { width, tracksDependence } = world
  if (!tracksDependence) {
    // No search looks at the clock of dependence.
  } else if (previous < 0) dependence.fill(0, at, at + width)
  else for (let i = 0; i < width; i++) dependence[at + i] = dependence[previous * CLOCK + i] as number
  if (before < 0) happened.fill(0, at, at + width)
  else for (let i = 0; i < width; i++) happened[at + i] = happened[before * CLOCK + i] as number
  dependence[at + process.id] = process.sequence
  happened[at + (history.agent[step] as number)] = history.agentSequence[step] as number
  const cause = history.cause[step] as number
  if (cause >= 0) {
    join(dependence, at, cause * CLOCK, width)
    join(happened, at, cause * CLOCK, width)
  }
  const { after } = process
  if (after !== undefined && process.sequence === 1) join(dependence, at, after.last * CLOCK, width)
  if (process.kind === 'kill') {
    const { born } = process.cpu.main
    if (born >= 0) {
      join(dependence, at, born * CLOCK, width)
      join(happened, at, born * CLOCK, width)
    }
    for (const { cpu, last } of world.processes) {
      if (cpu !== process.cpu || last < 0 || last === step) continue
      join(dependence, at, last * CLOCK, width)
      join(happened, at, last * CLOCK, width)
    }
  }
}

/** Walks the list of one word; appends its conflicts after the first `count`. */
function walk(world: World, view: LabView, word: number, step: number, count: number): number {
  const { history } = world
  const { dependence } = history
  const at = step * CLOCK
  const { width } = world
  const code = history.code[step] as number
  const mask = history.mask[step] as number
  const isWrite = writes(code)
  let other = (view.shadow.accesses[word] as number) - 1
  if (other < 0) return count
  if (code >= ATOMIC && reads(code)) readsFrom(world, other, word, step, mask)
  const mayRace = world.race === undefined && view.shadow.kinds[word] !== RACY
  const { tracksDependence } = world
  let ordered = false
  let safe = !mayRace
  while (other >= 0) {
    const otherCode = history.code[other] as number
    const otherMask = history.mask[other] as number
    if ((otherMask & mask) !== 0 && (isWrite || writes(otherCode))) {
      if (!ordered && tracksDependence && !world.isOrdered(other, step)) {
        conflicts[count++] = other
        join(dependence, at, other * CLOCK, width)
      }
      if (!safe) checkRace(world, other, step)
      if (writes(otherCode) && (otherMask & mask) === mask) {
        ordered = true
        if (safe || world.happensBefore(other, step)) break
      }
    }
    if (ordered && (safe ||= world.race !== undefined)) break
    other = next(world, other, word)
  }
  return count
}

/** The access of the word before step `other`. */
function next(world: World, other: number, word: number): number {
  const { history } = world
  const offset = word - (history.word[other] as number)
  return (history.links[(history.link[other] as number) + offset] as number) - 1
}

/** An atomic access synchronises with the atomic write of the same bytes that it reads from. */
function readsFrom(world: World, newest: number, word: number, step: number, mask: number): void {
  const { history } = world
  let other = newest
  while (other >= 0) {
    if (writes(history.code[other] as number) && ((history.mask[other] as number) & mask) !== 0) {
      history.readFrom[step] = other
      const isAtomic = (history.code[other] as number) >= ATOMIC
      if (isAtomic && sameBytes(world, other, step))
        join(history.happened, step * CLOCK, other * CLOCK, world.width)
      return
    }
    other = next(world, other, word)
  }
}

function sameBytes(world: World, one: number, other: number): boolean {
  const { history } = world
  return (
    history.word[one] === history.word[other] &&
    history.words[one] === history.words[other] &&
    history.mask[one] === history.mask[other]
  )
}

function checkRace(world: World, first: number, second: number): void {
  const { history } = world
  if (world.race !== undefined || history.agent[first] === history.agent[second]) return
  const firstAtomic = (history.code[first] as number) >= ATOMIC
  const secondAtomic = (history.code[second] as number) >= ATOMIC
  const both = firstAtomic && secondAtomic
  if (both && sameBytes(world, first, second)) return
  if (world.happensBefore(first, second)) return
  const rule = both ? 'unequal widths' : firstAtomic || secondAtomic ? 'atomic-plain' : 'plain-plain'
  world.race = { first, second, rule }
}

/** As {@link walk}, for several words. The conflicts stay in order. */
function walkMany(
  world: World,
  view: LabView,
  word: number,
  words: number,
  step: number,
  count: number,
): number {
  const { history } = world
  const found = new Set<number>()
  const { dependence } = history
  const at = step * CLOCK
  const own = dependence.slice(at, at + CLOCK)
  for (let i = 0; i < words; i++) {
    const end = walk(world, view, word + i, step, count)
    for (let k = count; k < end; k++) found.add(conflicts[k] as number)
    // Each word is judged by the clock before the walks. `settle` finds out the true order.
    dependence.set(own, at)
  }
  return settle(world, [...found], step, count)
}

/**
 * Joins `candidates` from the newest to the oldest. The ones that nothing else orders are in
 * `conflicts` afterwards.
 */
function settle(world: World, candidates: number[], step: number, begin: number): number {
  let count = begin
  candidates.sort((a, b) => b - a)
  for (const other of candidates) {
    if (world.isOrdered(other, step)) continue
    conflicts[count++] = other
    join(world.history.dependence, step * CLOCK, other * CLOCK, world.width)
  }
  return count
}

/**
 * Orders the step with the last one that changed who waits on the word: the two depend on each
 * other.
 */
function walkQueue(world: World, view: LabView, word: number, step: number, count: number): number {
  const { history } = world
  history.queue[step] = word
  const other = (view.shadow.queues[word] as number) - 1
  if (other < 0 || world.isOrdered(other, step)) return count
  return addConflict(world, other, step, count)
}

/**
 * Orders the entry of a handler after the steps of its CPU that conflict with its territory. Orders
 * such a step of the CPU after the whole handler.
 */
function orderWithHandlers(world: World, process: Process, step: number): number {
  const { history } = world
  const { cpu } = process
  if (history.code[step] === ENTER) return orderEntry(world, process, step)
  let found = 0
  for (let i = cpu.entered.length - 1; i >= 0; i--) {
    const handler = cpu.entered[i] as Process
    // The entry of this handler is ordered with a handler that had ended before.
    if (handler === process || handler.state !== FINISHED || handler.entry < process.entry) continue
    if (handler.territory?.conflicts(footprintOf(history, step)) !== true) continue
    if (!world.isOrdered(handler.entry, step)) found = addConflict(world, handler.entry, step, found)
    join(history.dependence, step * CLOCK, handler.last * CLOCK, world.width)
  }
  return found
}

function orderEntry(world: World, process: Process, step: number): number {
  const { history } = world
  const { territory } = process
  let found = 0
  if (territory === undefined) return found
  for (let other = history.agentPrevious[step] as number; other >= 0;) {
    const by = world.processes[history.process[other] as number] as Process
    const entered = history.code[other] === ENTER
    if (entered && by.territory?.overlaps(territory) === true) {
      if (!world.isOrdered(other, step)) found = addConflict(world, other, step, found)
      if (by.state === FINISHED) join(history.dependence, step * CLOCK, by.last * CLOCK, world.width)
    } else if (!entered && (by.territory === undefined || by.state !== FINISHED)) {
      if (territory.conflicts(footprintOf(history, other)) && !world.isOrdered(other, step))
        found = addConflict(world, other, step, found)
    }
    other = history.agentPrevious[other] as number
  }
  return found
}

function addConflict(world: World, other: number, step: number, count: number): number {
  conflicts[count] = other
  join(world.history.dependence, step * CLOCK, other * CLOCK, world.width)
  return count + 1
}
