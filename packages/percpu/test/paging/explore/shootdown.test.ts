/** The pages of a round, read while the next round is begun: they are of that round, or unknown. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { mem } from 'percpu-lab'
import { check, prepare } from '../../support/world.js'

const { SpaceCpu, SpaceTable } = await import('../../../dist/pagetable/layouts.js')
const { noteShot, publishShot, shotPages } = await import('../../../dist/pagetable/shootdown.js')

const ROUNDS = 3

it('the pages of a round are those of that round', async (test) => {
  let space = 0
  const world = await prepare({ cpus: 2 }, ({ heap }) => {
    space = heap.alloc(SpaceTable.stride + SpaceCpu.stride, { zero: true, persist: true })
  })
  const { memory } = world
  const table = space / 4
  const generation = table + SpaceTable.words.generation
  await check(world, test, (t) => {
    t.name(memory, space, SpaceTable, 'space')
    t.cpu(0, () => {
      for (let round = 1; round <= ROUNDS; round++) {
        noteShot(memory, table, { from: round * 10, to: round * 10 + round })
        const number = mem.addAtomic32(memory.i32, generation, 1) + 1
        publishShot(memory, table, number)
      }
    })
    t.cpu(1, () => {
      const number = mem.loadAtomic32(memory.i32, generation)
      const pages = shotPages(memory, table, number)
      if (pages !== undefined && number > 0)
        assert.deepEqual(pages, { from: number * 10, to: number * 10 + number })
    })
  })
})
