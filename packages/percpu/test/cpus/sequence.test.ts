/** Numbers of grace periods, near both places where they wrap around. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const {
  COMPLETED,
  drainingRankOf,
  endOf,
  FIRST_SEQUENCE,
  isDone,
  isDoneExact,
  isIdle,
  later,
  nextPhase,
  PERIOD,
  periodsOf,
  rankOf,
  snap,
} = await import('../../dist/cpus/sequence.js')

/** Idle sequences: the first one, and those around 0 and where the sign changes. */
const IDLE = [FIRST_SEQUENCE, -8, -4, 0, 4, 2 ** 31 - 8, 2 ** 31 - 4, -(2 ** 31), -(2 ** 31) + 4]

for (const idle of IDLE)
  describe(`the sequence ${idle}`, () => {
    const scan1 = nextPhase(idle)
    const scan2 = nextPhase(scan1)
    const end = endOf(scan2)

    it('goes through two phases to the next number', () => {
      assert.deepEqual([idle, scan1, scan2, end].map(isIdle), [true, false, false, true])
      assert.equal(end, (idle + PERIOD) | 0)
      assert.equal(endOf(scan1), end)
      assert.equal((periodsOf(end) - periodsOf(idle)) & 0x3fffffff, 1)
    })
    it('is asked for a whole grace period that begins later', () => {
      assert.equal(snap(idle), end)
      for (const running of [scan1, scan2]) assert.equal(snap(running), endOf(end))
    })
    it('changes the rank of readers between the two scans, and waits for the other one', () => {
      assert.equal(rankOf(idle), rankOf(scan1))
      assert.notEqual(rankOf(scan1), rankOf(scan2))
      assert.equal(rankOf(scan2), rankOf(end))
      assert.equal(drainingRankOf(scan1), rankOf(scan2))
      assert.equal(drainingRankOf(scan2), rankOf(idle))
    })
    it('comes as far as a cookie, and stays past it', () => {
      const cookie = snap(scan1)
      for (const sequence of [scan1, scan2, end, nextPhase(end)]) {
        assert.equal(isDone(sequence, cookie), false)
        assert.equal(isDoneExact(sequence, cookie), false)
        assert.equal(later(sequence, cookie), cookie)
        assert.equal(later(cookie, sequence), cookie)
      }
      const done = endOf(end)
      for (const sequence of [done, nextPhase(done), endOf(done), done + 2 ** 30]) {
        assert.equal(isDone(sequence, cookie), true)
        assert.equal(isDoneExact(sequence, cookie), true)
      }
    })
    it('takes a cookie of long ago for done', () => {
      const cookie = snap(idle)
      assert.equal(isDone(idle + 2 ** 31 + 8, cookie), false)
      assert.equal(isDoneExact(idle + 2 ** 31 + 8, cookie), true)
      assert.equal(isDoneExact(idle - 8, cookie), true)
    })
    it('has always come as far as the cookie that is always done', () => {
      for (const sequence of [idle, scan1, scan2, end]) assert.ok(isDoneExact(sequence, COMPLETED))
    })
    it('may be given signed or unsigned', () => {
      assert.equal(snap(idle >>> 0), snap(idle))
      assert.equal(rankOf(idle >>> 0), rankOf(idle))
      assert.equal(isDone(end >>> 0, end), true)
      assert.equal(isDoneExact(idle, end >>> 0), false)
      assert.equal(later(idle >>> 0, end >>> 0), end)
    })
  })
