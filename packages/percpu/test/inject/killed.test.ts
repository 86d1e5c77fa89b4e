/**
 * Every operation with its thread killed at some of its accesses: what it held is free, and nothing
 * is broken. The accesses are drawn; `PERCPU_SEED` and `PERCPU_INJECT` draw others, and more.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import {
  assertWhole,
  joinAs,
  killedAt,
  muteKilled,
  random,
  rows,
  samples,
  seed,
  unhook,
  World,
  type Row,
} from './worlds.js'

/** Kills before access `at` of the row's call. Returns how many it made. */
async function kill(row: Row, at: number): Promise<number> {
  const world = new World({ cpus: 5 })
  const survivor = joinAs(world.machine, 98)
  const { cpu } = world.machine
  try {
    const made = row.make(world)
    const use = made instanceof Promise ? await made : made
    const count = await killedAt(world, use, at)
    if (count <= at) return count
    assert.equal(survivor.cpus.declareDead(cpu), true)
    await assertWhole(survivor, cpu, `${row.door}, access ${at}, seed ${seed}`)
    return count
  } finally {
    unhook()
  }
}

describe('a thread killed in the middle of', () => {
  before(muteKilled)
  let kills = 0
  for (const row of rows) {
    it(row.door, async (t) => {
      for (let sample = 0; sample < samples; sample++) {
        // Most make few accesses, and some hundreds.
        const at = random(2) === 0 ? random(8) : random(300)
        const count = await kill(row, at)
        if (count === 0) return t.skip('it makes no access')
        if (count <= at) await kill(row, random(count))
        kills++
      }
    })
  }
  it('most of all', () => {
    assert.ok(kills > 150 * samples, `only ${kills} kills`)
  })
})
