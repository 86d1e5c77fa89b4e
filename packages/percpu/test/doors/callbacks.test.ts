/**
 * Functions that users pass and that throw, or that exhaust the stack: the error comes out as it
 * is, or as the cause of a typed one. Nothing stays locked, and the operation works afterwards.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HotplugError } from 'percpu'
import type { Kind } from './kinds.js'
import { attempt, hasSucceeded } from './outcome.js'
import type { Row, Use } from './row.js'
import { table } from './table.js'
import { World } from './world.js'

/** The functions of these are called later, as jobs of their own, or not at all. */
const later = new Set([
  ...['Machine.on', 'Monitor.on', 'Monitor.once', 'Cpus.onRing', 'Cpus.registerFunction'],
  ...['SharedMap.on', 'SharedMap.watch', 'Rcu.call', 'Rcu.callBlocking', 'Srcu.call', 'Srcu.callBlocking'],
])

const faults: Readonly<Record<string, () => never>> = {
  'throws an error': () => {
    throw new Error('of the user')
  },
  'throws no error at all': () => {
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    throw undefined
  },
  'exhausts the stack': exhaust,
}
function exhaust(): never {
  return exhaust()
}

describe('a function that', () => {
  for (const [fault, run] of Object.entries(faults))
    for (const row of table) {
      const at = row.takes.findIndex(isFunction)
      if (row.exempt !== undefined || at < 0 || later.has(row.door)) continue
      it(`${fault} leaves no trace in ${row.door}`, async () => {
        const world = new World()
        try {
          await check(row, world, (use) => use.args.with(at, run))
        } finally {
          await world.end()
        }
      })
    }

  it('is an option comes out as the cause', () => {
    const world = new World()
    const startup = faults['exhausts the stack'] as () => never
    assert.throws(
      () => world.machine.cpus.addHotplug({ name: 'mine', startup }),
      (error) => {
        assert.ok(error instanceof HotplugError && error.cause instanceof RangeError)
        return true
      },
    )
    world.machine.cpus.addHotplug({ name: 'mine' })()
  })
})

async function check(row: Row, world: World, wrong: (use: Use) => readonly unknown[]): Promise<void> {
  const use = await row.make(world)
  const held = JSON.stringify(world.machine.locks.heldBy(0))
  const outcome = await attempt(use.call, wrong(use))
  assert.ok(outcome.ended === 'threw' || outcome.ended === 'rejected', outcome.ended)
  const { value } = outcome
  assert.ok(
    value === undefined || value instanceof RangeError || (value as Error).message === 'of the user',
    String(value),
  )
  assert.equal(JSON.stringify(world.machine.locks.heldBy(0)), held)
  world.machine.heap.verify()
  world.machine.percpu.verify()
  assert.deepEqual(world.machine.watch.inspect().cpus[0]?.work, undefined)
  const after = await attempt(use.call, use.args)
  assert.ok(hasSucceeded(after), String(after.value))
  await use.undo(after.value)
}

function isFunction({ name }: Kind): boolean {
  return name === 'function'
}
