/**
 * After this thread has left: what needs a CPU is refused with an OfflineError. What ends something
 * has nothing to do any more, and does not throw.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OfflineError } from 'percpu'
import { attempt, hasSucceeded } from './outcome.js'
import type { Row } from './row.js'
import { table } from './table.js'
import { World } from './world.js'

const says = { refused: 'is refused', nothing: 'does nothing', works: 'works' } as const

describe('after offline', () => {
  for (const row of table) {
    if (row.exempt !== undefined || row.offline === 'over') continue
    it(`${row.door} ${says[row.offline]}`, async () => {
      const world = new World()
      try {
        await check(row, world)
      } finally {
        await world.end()
      }
    })
  }
})

it('what ends something that was added does nothing after offline', async () => {
  const world = new World()
  const { machine } = world
  const monitor = machine.watch.monitor()
  const ends = [
    machine.on('died', () => undefined),
    monitor.on('died', () => undefined),
    machine.cpus.onRing(1, () => undefined),
    machine.cpus.registerFunction('f', () => undefined),
    machine.cpus.addHotplug({ name: 'mine' }),
    () => {
      monitor.stop()
    },
  ]
  await machine.offline()
  for (const end of ends) end()
})

async function check(row: Row, world: World): Promise<void> {
  const use = await row.make(world)
  const { buffer } = world.machine.handle
  // What it holds is released as that of a dead CPU is; it is told of that.
  await world.machine.offline().catch(() => undefined)
  const before = Buffer.from(Buffer.from(buffer))
  const outcome = await attempt(use.call, use.args)
  if (row.offline === 'refused') {
    assert.ok(
      outcome.value instanceof OfflineError,
      `${row.door} ${outcome.ended}: ${String((outcome.value as Error | undefined)?.stack)}`,
    )
  } else {
    assert.ok(
      hasSucceeded(outcome),
      `${row.door} ${outcome.ended}: ${String((outcome.value as Error | undefined)?.stack)}`,
    )
    if (row.offline === 'works') await use.undo(outcome.value)
  }
  if (row.offline !== 'works') assert.ok(Buffer.from(buffer).equals(before), 'something was written')
}
