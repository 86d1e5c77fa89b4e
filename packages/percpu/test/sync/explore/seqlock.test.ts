/**
 * Seqlocks: readers see one state of the data, by plain loads that may be as stale as the memory
 * model allows.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openSeqlock } from './support/locks.js'

const { struct, racy, i32 } = percpu
/** What a reader reads while it is written is thrown away: any value is tolerated. */
const Data = struct('Data', { a: racy(i32), b: racy(i32) })

function setUp(t: Scenario, cpus: number): { locks: Locks; word: number; data: number } {
  const locks = new Locks(t, cpus)
  return { locks, word: locks.seqlock(), data: locks.lock(Data, 'data') }
}

/** CPU 0 writes `writes` times, the others read. */
function readAndWrite(t: Scenario, cpus: number, writes: number): Locks {
  const { locks, word, data } = setUp(t, cpus)
  const view = locks.memory.i32
  t.cpu(0, (cpu) => {
    const seqlock = openSeqlock(locks.state(cpu), word)
    for (let i = 1; i <= writes; i++)
      seqlock.write((section) => {
        section.write32(data, i)
        section.write32(data + 1, i)
      })
  })
  for (let n = 1; n < cpus; n++)
    t.cpu(n, (cpu) =>
      openSeqlock(locks.state(cpu), word).read(() => [mem.load32(view, data), mem.load32(view, data + 1)]),
    )
  t.finally((results) => {
    for (const [a, b] of results.slice(1) as [number, number][]) assert.equal(a, b, `torn: ${a} and ${b}`)
    const [a, b] = [mem.load32(view, data), mem.load32(view, data + 1)]
    assert.equal(a, b, `left torn: ${a} and ${b}`)
    locks.assertIdle()
  })
  return locks
}

describe('a seqlock', () => {
  it('shows its reader one state', async (test) => {
    await explore(test, (t) => void readAndWrite(t, 2, 1), { weak: true })
  })

  it('shows its reader one state while it is written twice', async (test) => {
    await explore(test, (t) => void readAndWrite(t, 2, 2), {
      weak: true,
      mode: 'random',
      executions: 3000,
      seed: 2,
    })
  })

  it('shows one state when its writer is killed anywhere', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = readAndWrite(t, 2, 1)
        t.kill(0, { reaper: () => void locks.recover(0) })
      },
      { weak: true, preemptions: 0 },
    )
  })
})
