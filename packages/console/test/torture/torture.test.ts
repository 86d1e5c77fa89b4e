/** Short runs of `percpu torture`: what is right passes, and each fault is found. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from '../helpers/command.js'
import type { Failure } from '../../dist/torture/layout.js'
import type { FlavourName, TortureOptions } from '../../dist/torture/options.js'
import type { TortureResult } from '../../dist/torture/verdict.js'

const { torture } = await import('../../dist/torture/run.js')

const few: Omit<TortureOptions, 'flavour'> = {
  ...{ milliseconds: 1000, readers: 1, writers: 1, fakeWriters: 1 },
  ...{ kill: false, onoff: false, fanout: 2, seed: 3 },
}
async function run(flavour: FlavourName, options: Partial<TortureOptions> = {}): Promise<TortureResult> {
  let progress = 0
  const result = await torture({ ...few, ...options, flavour }, { progress: () => progress++ })
  assert.equal(result.flavour, flavour)
  for (const histogram of [result.readerPipe, result.readerBatch, result.freeBlockCirculation])
    assert.equal(histogram.length, 11)
  return result
}
function passes({ verdict, failures, notes, readerPipe, counts, gracePeriods }: TortureResult): void {
  assert.deepEqual([verdict, failures, notes], ['SUCCESS', {}, []])
  assert.ok(counts.reads > 0 && counts.versions > 0 && gracePeriods > 0)
  assert.deepEqual(readerPipe.slice(2), new Array(9).fill(0))
}

describe('a torture run', () => {
  for (const flavour of ['rcu', 'srcu', 'srcu-normal'] as const) {
    it(`finds nothing wrong with ${flavour} while threads are killed, come and go`, async () => {
      const result = await run(flavour, { kill: true, onoff: true })
      passes(result)
      assert.ok(result.kills > 0)
    })
  }

  it('finds nothing wrong with tiny, on one thread', async () => {
    const result = await run('tiny')
    passes(result)
    // Elements have gone all the way round, and none further.
    assert.ok((result.freeBlockCirculation[9] ?? 0) > 0)
    assert.equal(result.freeBlockCirculation[10], 0)
    assert.ok(result.counts.ups > 0)
    assert.equal(result.counts.ups, result.counts.downs)
  })

  it('finds nothing wrong with the stand-in that has no fault', async () => {
    passes(await run('stand-in'))
  })

  const tooShort: readonly Failure[] = ['short-grace-period', 'cookie']
  const found: readonly (readonly [FlavourName, readonly Failure[]])[] = [
    ['busted-no-gp', tooShort],
    ['busted-one-scan', tooShort],
    ['busted-locks-first', tooShort],
    ['busted-torn', [...tooShort, 'unbalanced']],
  ]
  for (const [flavour, failures] of found) {
    it(`finds the fault of ${flavour}`, async () => {
      const result = await run(flavour, { milliseconds: 30_000, readers: 2, fakeWriters: 0 })
      assert.equal(result.verdict, 'FAILURE')
      assert.ok(
        failures.some((failure) => (result.failures[failure] ?? 0) > 0),
        JSON.stringify(result.failures),
      )
      assert.ok(result.notes.length > 0)
    })
  }

  it('ends when it is told to', async () => {
    const observer = { progress: () => undefined, signal: AbortSignal.timeout(100) }
    const result = await torture({ ...few, milliseconds: 60_000, flavour: 'rcu' }, observer)
    assert.ok(result.seconds < 30)
    assert.deepEqual(result.failures, {})
  })
})

describe('percpu torture', () => {
  const options = ['--readers', '1', '--writers', '1', '--fake-writers', '0', '--seed', '7'] as const

  it('tells people its verdict, and why', async () => {
    const args = ['torture', '--flavour', 'busted-no-gp', ...options]
    const { code, stdout, stderr } = await percpu(args)
    assert.deepEqual([code, stderr], [1, ''])
    assert.match(stdout, /^busted-no-gp: 1 readers, 1 writers, 0 fake writers, fan-out 2, seed 7$/m)
    assert.match(stdout, /Reader Pipe: (\d+ ){10}\d+$/m)
    assert.match(stdout, /^!!! (short-grace-period|cookie): /m)
    assert.match(stdout, /^busted-no-gp: FAILURE: /m)
  })

  it('tells it to programs', async () => {
    const args = ['torture', '--flavour', 'tiny', '--json', '--seconds', '0.5', ...options]
    const { code, stdout, stderr } = await percpu(args)
    assert.deepEqual([code, stderr], [0, ''])
    const { verdict, runs } = JSON.parse(stdout) as { verdict: string; runs: TortureResult[] }
    assert.deepEqual([verdict, runs.length], ['SUCCESS', 1])
    const [result] = runs
    assert.deepEqual([result?.verdict, result?.flavour, result?.options.seed], ['SUCCESS', 'tiny', 7])
    assert.ok((result?.counts.reads ?? 0) > 0)
  })

  it('refuses what a flavour cannot take', async () => {
    const refused = { code: 'PERCPU_USAGE' }
    await assert.rejects(run('tiny', { kill: true }), refused)
    await assert.rejects(run('busted-torn', { onoff: true }), refused)
    const { code, stderr } = await percpu(['torture', '--flavour', 'stand-in', '--kill'])
    assert.equal(code, 2)
    assert.match(stderr, /^percpu: --kill: flavour stand-in is a stand-in/)
  })

  it('refuses options out of range', async () => {
    const { code, stderr } = await percpu(['torture', '--readers', '0'])
    assert.equal(code, 2)
    assert.match(stderr, /Expected a whole number from 1 to 32/)
  })
})
