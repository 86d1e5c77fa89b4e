/** Judges executions that take too many steps: whether they repeat a loop that changes nothing. */
import { changesNothing } from '../engine/turns.js'
import type { World } from '../engine/world.js'
import type { Names } from '../scenario/names.js'
import type { Verdict } from './verdict.js'
import { wordsOf } from './words.js'

/** Equal turns at the end of an execution that make a loop: one that does not end soon. */
const TURNS = 100
/** The most steps of a turn. */
const LONGEST = 64

/**
 * The verdict on an execution of `most` steps that has not ended. A process that gets the same
 * values in each turn, changes nothing, and has nobody beside it who could go on, has starved.
 */
export function judgeEndless(world: World, names: Names, most: number): Verdict {
  const { history, processes } = world
  const last = history.length - 1
  const process = processes[history.process[last] as number]
  const turn = process === undefined ? undefined : lastTurn(world)
  if (process === undefined || turn === undefined)
    return {
      kind: 'limit',
      message: `an execution takes more than ${most} steps: it has a loop that never ends, or maxSteps is too low`,
      repeats: { from: Math.max(0, last - LONGEST), to: last },
    }
  const steps = Array.from({ length: turn.length }, (_, i) => turn.from + i)
  const words = wordsOf(world, names, steps)
  const times = Math.floor((last + 1 - turn.from) / turn.length)
  const repeats = { from: turn.from, to: turn.from + turn.length - 1 }
  const others = processes.filter((other) => other.cpu !== process.cpu && world.isEnabled(other))
  if (others.length > 0)
    return {
      kind: 'limit',
      message:
        `an execution takes more than ${most} steps: ${process.name} looks at ${words} ${times} times, and ` +
        `finds nothing new. ${ADVICE}`,
      repeats,
    }
  const stuck = [{ process: process.id, waitsFor: `a change of ${words}` }]
  return {
    kind: 'starvation',
    message: `nobody can end it: ${process.name} waits for a change of ${words}, which it has looked at ${times} times.`,
    stuck,
    repeats,
  }
}

const ADVICE =
  'Write the loop as mem.awaitUntil(() => …), with a predicate that changes nothing. In instrumented code ' +
  'a loop is one that waits if a turn leaves nothing behind: no call but those of Atomics, no counter.'

/** The first of the equal turns that end the execution. */
function lastTurn(world: World): { readonly from: number; readonly length: number } | undefined {
  const { history } = world
  for (let length = 1; length <= LONGEST; length++) {
    let at = history.length - 1
    while (at >= length && isSameStep(world, at, at - length)) at--
    const from = at + 1 - length
    if (history.length - from < TURNS * length) continue
    for (let step = from; step < from + length; step++) if (!changesNothing(world, step)) return undefined
    return { from, length }
  }
  return undefined
}

function isSameStep({ history }: World, one: number, other: number): boolean {
  return (
    history.process[one] === history.process[other] &&
    history.code[one] === history.code[other] &&
    history.view[one] === history.view[other] &&
    history.index[one] === history.index[other] &&
    Object.is(history.a[one], history.a[other]) &&
    Object.is(history.b[one], history.b[other]) &&
    Object.is(history.result[one], history.result[other])
  )
}
