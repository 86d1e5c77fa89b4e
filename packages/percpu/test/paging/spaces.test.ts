/** What `machine.spaces()` tells of spaces, arrays and snapshots. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AddressSpace, SpaceReport, TableReport } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const PAGE = 4096
const BLOCK = 1024 * PAGE
const REGION = 1024 * BLOCK

const boot = () => fresh({ memory: '64 MiB', cpus: 3 })
/** Level, address, entries, and of these blocks and shared ones. */
const brief = ({ level, address, present, blocks, shared }: TableReport) => [
  level,
  address,
  present,
  blocks,
  shared,
]
function only(spaces: readonly SpaceReport[], name: string): SpaceReport {
  const found = spaces.filter((space) => space.name === name)
  assert.equal(found.length, 1)
  return found[0] as SpaceReport
}
/** A page at either end of a region, and a block in the middle. */
function fill(space: AddressSpace): void {
  space.map(0, 2 * PAGE)
  space.map(4 * BLOCK, BLOCK, { huge: true })
  space.map(REGION - PAGE, 2 * PAGE)
  for (const address of [PAGE, REGION - PAGE, REGION]) space.write(address, 1)
  space.write(4 * BLOCK, 1)
}

describe('machine.spaces', () => {
  it('lists nothing where nothing was made, and makes nothing', () => {
    const machine = boot()
    const before = machine.heap.report()
    assert.deepEqual(machine.spaces(), [])
    assert.deepEqual(machine.heap.report(), before)
    assert.deepEqual(fresh({ mmu: false }).spaces(), [])
  })

  it('tells of every table, those above first, and of what its entries lead to', () => {
    const machine = boot()
    fill(machine.space('filled'))
    machine.space('empty')
    const other = joinAs(machine, 101)
    const { kind, tables, blocks } = only(other.spaces(), 'filled')
    assert.equal(kind, 'space')
    assert.deepEqual(tables.map(brief), [
      [2, 0, 2, 0, 0],
      [1, 0, 3, 1, 0],
      [0, 0, 1, 0, 0],
      [0, REGION - BLOCK, 1, 0, 0],
      [1, REGION, 1, 0, 0],
      [0, REGION, 1, 0, 0],
    ])
    assert.deepEqual(
      tables.map(({ bytes }) => bytes),
      [2 ** 42, REGION, BLOCK, BLOCK, REGION, BLOCK],
    )
    assert.deepEqual([tables[1]?.dirty, tables[2]?.dirty], [1, 1])
    const block = { address: 4 * BLOCK, isShared: false, isDirty: true, isAccessed: true }
    assert.deepEqual(blocks, [block])
    assert.deepEqual(only(other.spaces(), 'empty'), {
      kind: 'space',
      name: 'empty',
      areas: [],
      tables: [],
      blocks: [],
    })
  })

  it('tells of areas as the space itself does', () => {
    const machine = boot()
    const space = machine.space('filled')
    fill(space)
    const { areas } = only(machine.spaces(), 'filled')
    assert.deepEqual(areas, space.maps())
    assert.deepEqual(
      areas.map(({ address, bytes, huge, resident }) => [address, bytes, huge, resident]),
      [
        [0, 2 * PAGE, false, PAGE],
        [4 * BLOCK, BLOCK, true, BLOCK],
        [REGION - PAGE, 2 * PAGE, false, 2 * PAGE],
      ],
    )
  })

  it('tells what forks share, until they write', async () => {
    const machine = boot()
    const space = machine.space('origin')
    fill(space)
    const fork = await space.fork('fork')
    for (const name of ['origin', 'fork']) {
      const { tables, blocks } = only(machine.spaces(), name)
      for (const { isShared, present, shared } of tables)
        assert.deepEqual([isShared, shared], [true, present])
      assert.deepEqual(
        blocks.map(({ isShared }) => isShared),
        [true],
      )
    }
    fork.write(PAGE, 2)
    const [root, middle, table] = only(machine.spaces(), 'fork').tables
    assert.deepEqual([root?.isShared, middle?.isShared, table?.isShared], [false, false, false])
    assert.deepEqual([root?.shared, middle?.shared, table?.shared], [1, 2, 0])
    const snapshot = await fork.fork()
    assert.deepEqual(
      machine.spaces().map(({ kind }) => kind),
      ['space', 'space', 'snapshot'],
    )
    await snapshot.drop()
    await fork.drop()
    for (const { isShared } of only(machine.spaces(), 'origin').tables) assert.equal(isShared, false)
  })

  it('tells of sparse arrays', async () => {
    const machine = boot()
    machine.sparseArray('array', { value: 'f64' }).set(2 ** 35, 0.5)
    const { kind, areas, tables } = only(machine.spaces(), 'array')
    assert.deepEqual([kind, areas.length, areas[0]?.resident], ['sparseArray', 1, PAGE])
    assert.deepEqual(
      tables.map(({ level }) => level),
      [2, 1, 0],
    )
    await machine.remove('sparseArray', 'array')
    assert.deepEqual(machine.spaces(), [])
  })
})
