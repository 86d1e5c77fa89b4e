/** Short runs of `percpu torture --walk`: what is right passes, also while threads are killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from '../helpers/command.js'
import type { AddressSpace } from 'percpu'
import type { BoardView } from '../../dist/torture/walk/board.js'
import type { WalkOptions, WalkResult } from '../../dist/torture/walk/run.js'

const { judge } = await import('../../dist/torture/walk/check.js')
const { MAPPED, MAPPING, UNMAPPED, UNMAPPING, valueOf } = await import('../../dist/torture/walk/board.js')
const { Mapper } = await import('../../dist/torture/walk/roles.js')
const { tortureWalks } = await import('../../dist/torture/walk/run.js')

const few: WalkOptions = { milliseconds: 3000, readers: 2, writers: 1, kill: false, seed: 3 }

function passes({ verdict, failures, notes, counts }: WalkResult): void {
  assert.deepEqual([verdict, failures, notes], ['SUCCESS', {}, []])
  const { reads, deafReads, faults, maps, unmaps, pins } = counts
  assert.ok(Math.min(reads, deafReads, faults, maps, unmaps, pins) > 0, JSON.stringify(counts))
}

describe('a torture run of walks', () => {
  it('finds nothing wrong with the page tables', async () => {
    passes(await tortureWalks(few))
  })

  it('finds nothing wrong with them while threads are killed', async () => {
    const result = await tortureWalks({ ...few, milliseconds: 4000, kill: true })
    assert.deepEqual([result.verdict, result.failures, result.notes], ['SUCCESS', {}, []])
    assert.ok(result.kills > 0 && result.counts.threads > 7)
  })

  it('ends early when it is told to', async () => {
    const result = await tortureWalks({ ...few, milliseconds: 60_000 }, AbortSignal.timeout(500))
    assert.ok(result.seconds < 30)
  })

  it('is what the command does with --walk', async () => {
    const args = ['torture', '--walk', '--seconds', '1', '--readers', '1', '--writers', '1', '--json']
    const { code, stdout } = await percpu(args)
    assert.equal(code, 0)
    assert.equal((JSON.parse(stdout) as WalkResult).verdict, 'SUCCESS')
    const refused = await percpu(['torture', '--walk', '--writers', '3'])
    assert.match(refused.stderr, /--writers 3: at most 2/)
    assert.notEqual(refused.code, 0)
    const mixed = await percpu(['torture', '--walk', '--onoff'])
    assert.match(mixed.stderr, /--walk takes no --flavour, and no --onoff/)
  })
})

describe('a mapper that takes the place of a terminated one', () => {
  it('tells what may still be read until its pages are unmapped', async () => {
    for (const phase of [UNMAPPED, MAPPING, MAPPED, UNMAPPING]) {
      const states = new Map<number, number>()
      let isUnmapped = false
      const board = {
        state: (page: number) => states.get(page) ?? 7 * 4 + phase,
        setState: (page: number, version: number, next: number) => states.set(page, version * 4 + next),
      } as unknown as BoardView
      const space = {
        unmap: () => {
          const state = board.state(3)
          // What a change of version 7 has left, or not yet written.
          const there = { [UNMAPPED]: [], [MAPPING]: [6, 7], [MAPPED]: [7], [UNMAPPING]: [6] }[phase] ?? []
          for (const version of there) assert.equal(judge(3, valueOf(3, version), state, state), undefined)
          assert.equal(judge(3, valueOf(3, 5), state, state), 'stale')
          isUnmapped = true
          return Promise.resolve()
        },
      } as unknown as AddressSpace
      await new Mapper(
        { machine: undefined as never, random: undefined as never, board, spaces: [space] },
        0,
      ).begin()
      assert.ok(isUnmapped)
      assert.equal(board.state(3) & 3, UNMAPPED)
      assert.equal(judge(3, valueOf(3, 7), board.state(3), board.state(3)), 'stale')
    }
  })
})

describe('the verdict on a read', () => {
  const state = (version: number, phase: number): number => version * 4 + phase
  const page = 5
  it('accepts what was mapped meanwhile, and nothing else', () => {
    const mapped = state(7, MAPPED)
    const cases = [
      [valueOf(page, 7), mapped, mapped, undefined],
      [valueOf(page, 6), mapped, mapped, 'stale'],
      [valueOf(page, 8), mapped, state(8, MAPPED), undefined],
      [valueOf(page, 6), state(7, UNMAPPING), state(7, UNMAPPED), undefined],
      [valueOf(page, 6), state(7, UNMAPPED), state(7, UNMAPPED), 'stale'],
      [valueOf(page + 1, 7), mapped, mapped, 'foreign'],
      [0xffffffff, mapped, mapped, 'poison'],
      [0, mapped, mapped, 'lost'],
      [0, state(7, MAPPING), mapped, undefined],
      ['fault', mapped, mapped, 'unmapped'],
      ['fault', mapped, state(8, UNMAPPING), undefined],
      ['fault', state(7, UNMAPPED), state(7, UNMAPPED), undefined],
      ['error', mapped, mapped, 'uncaught'],
    ] as const
    for (const [found, before, after, expected] of cases)
      assert.equal(judge(page, found, before, after), expected, `${found} ${before} ${after}`)
  })
})
