/** Choices of a torture run can be made again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const { Random } = await import('../../dist/torture/random.js')

const first = (seed: number, stream: number): number[] => {
  const random = new Random(seed, stream)
  return Array.from({ length: 1000 }, () => random.below(64))
}

describe('random choices of a torture run', () => {
  it('are the same for the same seed and thread, and others for others', () => {
    assert.deepEqual(first(1, 2), first(1, 2))
    assert.notDeepEqual(first(1, 2), first(1, 3))
    assert.notDeepEqual(first(1, 2), first(2, 2))
  })

  it('reach everything about as often', () => {
    for (const seed of [0, 1, 2 ** 31 - 1]) {
      const counts = new Array<number>(64).fill(0)
      const random = new Random(seed, 1)
      for (let i = 0; i < 64_000; i++) {
        const choice = random.below(64)
        counts[choice] = (counts[choice] ?? 0) + 1
      }
      assert.ok(
        counts.every((count) => count > 800 && count < 1200),
        String(counts),
      )
    }
  })
})
