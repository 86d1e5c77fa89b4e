/** The segments beside a model that keeps a cookie with each callback. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'

const { accelerate, advance, emptySegments, waitsFor } = await import('../../dist/rcu/segcblist.js')
const { FIRST_SEQUENCE, endOf, isDone, isIdle, nextPhase, snap } = await import('../../dist/cpus/sequence.js')

type Step = 'queue' | 'sequence' | 'turn' | 'late turn' | 'run'

/** A list at a position and a sequence, both of which wrap around soon, and what it should be. */
class Modelled {
  sequence = FIRST_SEQUENCE | 0
  head = -6 | 0
  tail = this.head
  segments = emptySegments(this.head)
  /** Of each callback that has not run: at which sequence it was queued, and its cookie. */
  model: { queued: number; cookie?: number }[] = []

  queue(): void {
    this.tail = (this.tail + 1) | 0
    this.model.push({ queued: this.sequence })
  }
  /** The grace period under way ends, or the next one begins. */
  move(): void {
    this.sequence = isIdle(this.sequence) ? nextPhase(this.sequence) : endOf(this.sequence)
  }
  /** `moves` between the cookie and the look at what is done. */
  turn(moves: number): void {
    const cookie = snap(this.sequence)
    for (let i = 0; i < moves; i++) this.move()
    advance(this.segments, (other) => isDone(this.sequence, other))
    accelerate(this.segments, cookie, this.tail)
    for (const callback of this.model) callback.cookie ??= cookie
    this.check()
  }
  run(): void {
    while (this.head !== this.segments.done) {
      const callback = this.model.shift() ?? assert.fail()
      const { queued, cookie } = callback
      assert.ok(cookie !== undefined && isDone(this.sequence, cookie))
      // A whole grace period since it was queued.
      assert.ok(isDone(this.sequence, snap(queued)))
      this.head = (this.head + 1) | 0
    }
  }
  check(): void {
    const { done, wait, nextReady, waitCookie, nextReadyCookie } = this.segments
    const ends = [done, wait, nextReady, this.tail].map((end) => (end - this.head) | 0)
    assert.deepEqual(
      ends,
      [...ends].sort((a, b) => a - b),
    )
    assert.equal(nextReady, this.tail, 'none is without a cookie')
    assert.ok(wait !== done || nextReady === wait, 'NEXT_READY moves up')
    const at = (end: number) => (end - this.head) | 0
    for (const [index, { cookie = 0 }] of this.model.entries()) {
      if (index < at(done)) assert.ok(isDone(this.sequence, cookie))
      else
        assert.equal(cookie, index < at(wait) ? waitCookie : nextReadyCookie, 'as late as its own, no later')
    }
  }
}

const steps = fc.array(
  fc.constantFrom<Step>('queue', 'queue', 'sequence', 'sequence', 'turn', 'late turn', 'run'),
  { maxLength: 60 },
)

describe('the segments of a list of callbacks', () => {
  it('give each callback a whole grace period, in order, and strand none', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const modelled = new Modelled()
        for (const step of sequence) {
          if (step === 'queue') modelled.queue()
          else if (step === 'sequence') modelled.move()
          else if (step === 'run') modelled.run()
          else modelled.turn(step === 'turn' ? 0 : 3)
        }
        // Whatever happened, two more grace periods are enough for all.
        modelled.turn(0)
        for (let i = 0; i < 5; i++) modelled.move()
        modelled.turn(0)
        modelled.run()
        assert.equal(modelled.model.length, 0)
      }),
      { numRuns: 2000 },
    )
  })

  it('let callbacks wait too long, never too short, when three cookies are not done', () => {
    const segments = emptySegments(0)
    for (const [cookie, tail] of [
      [4, 1],
      [8, 2],
      [12, 3],
    ] as const)
      accelerate(segments, cookie, tail)
    assert.deepEqual([segments.wait, segments.nextReady, segments.nextReadyCookie], [1, 3, 12])
    advance(segments, (cookie) => cookie <= 8)
    assert.deepEqual([segments.done, waitsFor(segments)], [1, 12])
    advance(segments, () => true)
    assert.deepEqual([segments.done, waitsFor(segments)], [3, undefined])
  })

  it('say whether anything changed', () => {
    const segments = emptySegments(0)
    assert.equal(
      advance(segments, () => true),
      false,
    )
    assert.equal(accelerate(segments, 4, 0), false)
    assert.equal(accelerate(segments, 4, 1), true)
    assert.equal(accelerate(segments, 4, 1), false)
    assert.equal(
      advance(segments, () => false),
      false,
    )
    assert.equal(
      advance(segments, () => true),
      true,
    )
  })
})
