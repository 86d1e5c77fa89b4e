/**
 * Locks of levels that two CPUs want at once, and their sections: all interleavings, with waits
 * that end by the lock's release or by giving up, a kill anywhere, and of the reaper.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { isTimeout, Locks } from './support/locks.js'

/** Two words that are equal outside sections. */
interface Pair {
  readonly locks: Locks
  readonly lock: number
  readonly words: number
  readonly value: () => number
}
function pair(t: Scenario): Pair {
  const locks = new Locks(t, 2)
  const lock = locks.spinlock()
  const words = locks.words(2)
  const value = (): number => {
    const [first, second] = [0, 1].map((i) => mem.load32(locks.memory.i32, words + i))
    assert.equal(first, second, 'a change is seen in parts')
    return first ?? 0
  }
  return { locks, lock, words, value }
}
function add({ words, value }: Pair, layerLock: ReturnType<Locks['layerLock']>): void {
  layerLock.section((section) => {
    const next = value() + 1
    section.write32(words, next)
    section.write32(words + 1, next)
  })
}
/** Adds 1 to both words, as CPU `number`. */
function change(both: Pair, number: number, naps = 2): string {
  const layerLock = both.locks.layerLock(number, naps)
  try {
    layerLock.locked(both.lock, () => add(both, layerLock))
    return 'changed'
  } catch (error) {
    if (!isTimeout(error)) throw error
    return 'gave up'
  }
}
const counted = (results: readonly unknown[]): number =>
  results.filter((result) => result === 'changed').length

describe('the lock of a layer', () => {
  it('keeps the sections of two CPUs apart', async (test) => {
    const outcomes = new Set<string>()
    await explore(test, (t) => {
      const both = pair(t)
      for (const number of [0, 1]) t.cpu(number, () => change(both, number))
      t.finally((results) => {
        outcomes.add(results.join())
        assert.equal(both.value(), counted(results))
        both.locks.assertIdle()
      })
    })
    assert.deepEqual([...outcomes].sort(), ['changed,changed', 'changed,gave up', 'gave up,changed'])
  })

  it('is free again, and the section whole, when its owner is killed anywhere', async (test) => {
    await explore(test, (t) => {
      const both = pair(t)
      for (const number of [0, 1]) t.cpu(number, () => change(both, number))
      t.kill(0, { reaper: () => void both.locks.recover(0) })
      t.finally((results) => {
        const value = both.value()
        const sure = counted(results)
        assert.ok(value === sure || (results[0] === undefined && value === sure + 1), `${value} of ${sure}`)
        both.locks.assertIdle()
      })
    })
  })

  it('is had by a CPU or by a reaper in the place of the dead owner, which may be killed as well', async (test) => {
    await explore(test, (t) => {
      const both = pair(t)
      const { locks, lock, words } = both
      const reaper = (): void => {
        locks.recoverLayerLocks(0)
        const layerLock = locks.layerLock(0)
        if (!layerLock.trySpin(lock)) return
        add(both, layerLock)
        layerLock.unlock()
      }
      t.cpu(0, (cpu) => {
        cpu.prepare(() => {
          // What CPU 0 left, which ended in the middle of its section.
          const layerLock = locks.layerLock(0)
          layerLock.lock(lock)
          layerLock.section((section) => section).write32(words, 7)
        })
        reaper()
        return 'reaped'
      })
      t.cpu(1, () => change(both, 1))
      t.kill(0, { reaper })
      t.finally((results) => {
        const more = both.value() - counted(results)
        assert.ok(more >= 0 && more <= (results[0] === undefined ? 2 : 1), String(more))
        locks.assertIdle()
      })
    })
  })
})
