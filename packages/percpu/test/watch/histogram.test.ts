/** Percentiles of durations: never too low, and at most 25 % too high. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh } from '../support/machines.js'

const { bucketOf, clear, count, percentiles, upperBound } = await import('../../dist/watch/histogram.js')
const { BUCKETS } = await import('../../dist/watch/vpa-layout.js')

describe('a histogram', () => {
  it('has a bucket for each duration, whose bound is at most 25 % above it', () => {
    for (let us = 0; us < 2 ** 31; us = Math.ceil(us * 1.01) + 1) {
      const bucket = bucketOf(us / 1000)
      assert.ok(bucket >= 0 && bucket < BUCKETS, `${us} µs: bucket ${bucket}`)
      const bound = upperBound(bucket) * 1000
      assert.ok(bound > us && bound <= us * 1.25 + 1, `${us} µs: up to ${bound} µs`)
      assert.equal(bucketOf((bound - 0.5) / 1000), bucket)
    }
    assert.deepEqual([-1, 0, 10 ** 12, Infinity].map(bucketOf), [0, 0, BUCKETS - 1, BUCKETS - 1])
  })

  it('gives percentiles of one or of several together', () => {
    const machine = fresh()
    const { u32 } = machine.memory
    const [one, other] = [0, 0].map(() => machine.heap.memblock.alloc({ size: BUCKETS * 4 }) / 4)
    assert.ok(one !== undefined && other !== undefined)
    assert.equal(percentiles(u32, one, other), undefined)
    for (let i = 1; i <= 50; i++) count(u32, one, i)
    for (let i = 51; i <= 100; i++) count(u32, other, i)
    const found = percentiles(u32, one, other)
    assert.ok(found)
    assert.equal(found.count, 100)
    for (const [share, value] of Object.entries({
      50: found.p50,
      90: found.p90,
      99: found.p99,
      100: found.max,
    }))
      assert.ok(value > Number(share) && value <= Number(share) * 1.25, `${share} %: ${value} ms`)
    assert.equal(percentiles(u32, one)?.count, 50)
    clear(u32, one)
    assert.equal(percentiles(u32, one), undefined)
    assert.equal(percentiles(u32, one, other)?.count, 50)
  })
})
