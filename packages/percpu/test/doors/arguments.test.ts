/**
 * Wrong arguments: every operation refuses them with a typed error, in its own form, and has
 * changed nothing. A valid call works before and after.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PercpuError, type BootOptions } from 'percpu'
import { attempt, hasSucceeded, type Outcome } from './outcome.js'
import type { Row, Use } from './row.js'
import { Snapshot } from './snapshot.js'
import { table } from './table.js'
import { World } from './world.js'
import { wrongArguments, type Wrong } from './wrong.js'

/** They return promises, and throw at once: docs/errors.md. */
const throwAtOnce = new Set(['Rcu.free', 'Rcu.call', 'Srcu.free', 'Srcu.call'])
/** Characters of a message, however long what it quotes is. */
const LONGEST = 600

const rows = table.filter(({ exempt, takes }) => exempt === undefined && takes.length > 0)

describe('wrong arguments are refused', () => {
  for (const row of rows) it(`by ${row.door}`, () => run(row))
})
describe('wrong arguments are refused in debug mode', () => {
  for (const row of rows)
    if (/^(?:Heap|Cache|Srcu|Machine\.(?:srcu|initSrcu))/.test(row.door))
      it(`by ${row.door}`, () => run(row, { debugHeap: true, debugRcu: true }))
})

async function run(row: Row, options: BootOptions = {}): Promise<void> {
  const world = new World(options)
  try {
    const made = row.make(world)
    assert.deepEqual(await check(row, made instanceof Promise ? await made : made, world), [])
  } finally {
    await world.end()
  }
}

/** What went wrong, at most a few of it. One stretch, unless the operation returns promises. */
async function check(row: Row, use: Use, world: World): Promise<string[]> {
  const faults: string[] = []
  const first = succeed(use)
  const before = first instanceof Promise ? await first : first
  if (!hasSucceeded(before)) return [`a valid call ${before.ended} ${describeError(before.value)}`]
  const form = before.ended === 'resolved' && !throwAtOnce.has(row.door) ? 'rejected' : 'threw'
  // All of it before the first look: what is another's is made for it.
  const wrongs = [...wrongArguments(row, use, world)]
  let snapshot = new Snapshot(world.machine)
  const held = JSON.stringify(world.machine.locks.heldBy(world.machine.cpu))
  for (const wrong of wrongs) {
    if (faults.length > 4) break
    const trying = attempt(use.call, wrong.args)
    const outcome = trying instanceof Promise ? await trying : trying
    const fault = faultOf(form, wrong, outcome)
    if (fault !== undefined) faults.push(`${wrong.label}: ${fault}`)
    if (hasSucceeded(outcome)) {
      const undone = use.undo(outcome.value)
      if (undone instanceof Promise) await undone
      snapshot = new Snapshot(world.machine)
    } else {
      let difference = snapshot.difference()
      if (difference !== undefined && form === 'rejected') {
        // It may be what an earlier call still does in the background.
        await new Promise((resolve) => setTimeout(resolve, 5))
        snapshot = new Snapshot(world.machine)
        await attempt(use.call, wrong.args)
        difference = snapshot.difference()
      }
      if (difference !== undefined) {
        faults.push(`${wrong.label}: refused, but ${difference}`)
        snapshot = new Snapshot(world.machine)
      }
    }
  }
  assert.equal(JSON.stringify(world.machine.locks.heldBy(world.machine.cpu)), held)
  const last = succeed(use)
  const after = last instanceof Promise ? await last : last
  if (!hasSucceeded(after))
    faults.push(`a valid call ${after.ended} afterwards: ${describeError(after.value)}`)
  world.close()
  world.machine.heap.verify()
  world.machine.percpu.verify()
  return faults
}

/** A valid call, taken back. */
function succeed(use: Use): Outcome | Promise<Outcome> {
  const trying = attempt(use.call, use.args)
  const conclude = (outcome: Outcome): Outcome | Promise<Outcome> => {
    if (!hasSucceeded(outcome)) return outcome
    const undone = use.undo(outcome.value)
    return undone instanceof Promise ? undone.then(() => outcome) : outcome
  }
  return trying instanceof Promise ? trying.then(conclude) : conclude(trying)
}

function faultOf(form: string, { verdict }: Wrong, { ended, value }: Outcome): string | undefined {
  if (ended === 'pending') return 'neither resolved nor rejected'
  if (ended === 'returned' || ended === 'resolved') return verdict === 'maybe' ? undefined : `accepted`
  if (!(value instanceof PercpuError)) return `${ended} ${describeError(value)}, which is not typed`
  if (!value.code.startsWith('PERCPU_')) return `has code ${value.code}`
  if (value.message.length > LONGEST) return `has a message of ${value.message.length} characters`
  return ended === form ? undefined : `${ended} instead of having ${form}`
}

function describeError(error: unknown): string {
  return error instanceof Error
    ? (error.stack ?? error.message).split('\n').slice(0, 3).join(' |')
    : typeof error
}
