/**
 * Every operation with an error thrown at one of its accesses, as where the stack is full: the
 * thread lives on. Nothing stays locked, everything is whole, and this thread and others can work.
 * The accesses are drawn; `PERCPU_SEED` and `PERCPU_INJECT` draw others, and more.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { control } from '../support/hooked-mem.js'
import {
  assertWhole,
  joinAs,
  Killed,
  muteKilled,
  random,
  rows,
  samples,
  seed,
  turns,
  unhook,
  World,
  type Row,
} from './worlds.js'

/** What is thrown: timers and promises of nobody's are not to report it. */
const thrown = (): RangeError => new RangeError('at an access', { cause: new Killed() })
/** The store that releases a lock of a layer: it has nothing that could be missing. */
const isRelease = (name: string, [, , value]: readonly unknown[]): boolean =>
  name === 'storeAtomic32' && value === 0

/** Throws at access `at` of the row's call, once. Returns how many accesses it made until then. */
async function throwAt(row: Row, at: number): Promise<number> {
  const world = new World({ cpus: 5 })
  const { machine } = world
  const other = joinAs(machine, 98)
  try {
    const made = row.make(world)
    const use = made instanceof Promise ? await made : made
    let count = 0
    let isDue = false
    control.before = (name, args) => {
      if (name === 'waitAsync32') return
      isDue ||= count++ === at
      if (!isDue || isRelease(name, args)) return
      control.before = undefined
      throw thrown()
    }
    let result: unknown
    try {
      result = use.call(...use.args)
    } catch (error) {
      // The thread waits for another one that is itself.
      if (count <= at && (error as { code?: string }).code !== 'PERCPU_UNANSWERED') throw error
    }
    if (!(result instanceof Promise)) {
      control.before = undefined
      if (count <= at) void use.undo(result)
      world.close()
    }
    if (result instanceof Promise)
      result = await Promise.race([result.catch((error: unknown) => error), turns()])
    await turns(1)
    control.before = undefined
    const when = `${row.door}, access ${at}, seed ${seed}`
    if (count > at) {
      await world.end().catch(() => undefined)
      await assertWhole(other, undefined, when)
      assert.deepEqual(other.locks.heldBy(machine.cpu), [], when)
    }
    return count
  } finally {
    unhook()
  }
}

describe('an error thrown in the middle of', () => {
  before(muteKilled)
  let errors = 0
  for (const row of rows) {
    // Half of them, drawn by the seed, unless more is wanted.
    if (samples === 1 && random(2) === 0) continue
    it(row.door, async (t) => {
      for (let sample = 0; sample < samples; sample++) {
        const at = random(2) === 0 ? random(8) : random(300)
        const count = await throwAt(row, at)
        if (count === 0) return t.skip('it makes no access')
        if (count <= at) await throwAt(row, random(count))
        errors++
      }
    })
  }
  it('most of all', () => {
    assert.ok(errors > 75 * samples, `only ${errors}`)
  })
})
