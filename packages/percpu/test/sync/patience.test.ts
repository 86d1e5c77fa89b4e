/** For how long a lock of a layer is waited for: as long as its owner lives. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'

type State = 'running' | 'waiting' | 'asleep' | 'gone' | undefined
const { Patience } = await import('../../dist/sync/patience.js')

/** After how many steps of so many ms the wait ends for an owner in this state, 1000 at most. */
function stepsUntilOver(
  state: State,
  step = 10,
  owner: (at: number) => number = () => 7,
  rescue: (owner: number) => void = () => undefined,
): number {
  let now = 0
  const clock = mock.method(performance, 'now', () => now)
  try {
    const patience = new Patience(2000, () => state, rescue)
    for (let steps = 1; steps < 10_000; steps++) {
      now += step
      if (patience.isOver(owner(steps))) return steps
    }
    return Infinity
  } finally {
    clock.mock.restore()
  }
}

describe('the wait for a lock of a layer', () => {
  it('ends when nothing is known of the owner, or it has ended', () => {
    for (const state of [undefined, 'gone'] as const) assert.equal(stepsUntilOver(state), 200)
  })

  it('goes on while the owner runs', () => {
    assert.equal(stepsUntilOver('running'), Infinity)
  })

  it('ends at some time if the owner lives, and does nothing', () => {
    for (const state of ['waiting', 'asleep'] as const) assert.equal(stepsUntilOver(state), 3000)
  })

  it('does not count the time in which this thread stood still, too', () => {
    assert.equal(stepsUntilOver(undefined, 60_000), 40)
  })

  it('begins anew when the lock gets another owner', () => {
    assert.equal(
      stepsUntilOver('gone', 10, (at) => (at < 150 ? 7 : 8)),
      149 + 200,
    )
    assert.equal(
      stepsUntilOver('gone', 10, (at) => Math.floor(at / 100)),
      Infinity,
    )
  })

  it('asks every 20 ms for the lock to be freed, unless it is free', () => {
    const asked: number[] = []
    stepsUntilOver(
      'running',
      10,
      (at) => (at <= 6 ? 7 : at <= 12 ? 0 : 8),
      (owner) => asked.push(owner),
    )
    assert.deepEqual(asked.slice(0, 6), [7, 7, 7, 8, 8, 8])
  })
})
