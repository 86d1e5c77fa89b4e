/** Maps of ranges that are loaded in many stretches: all of it comes at once, or nothing. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, SharedRangeMap } from 'percpu'
import { fresh, joinAs, percpu } from '../support/hooked-percpu.js'
import { killAfter, muteKilled } from './support/victims.js'

const { ArgumentError, OutOfMemoryError, RemovedError } = percpu
const kinds = { key: 'u32', value: 'string' } as const
const open = (machine: Machine): SharedRangeMap<number, string> => machine.rangeMap('m', kinds)

type Loaded = [from: number, to: number, value: string]
function* some(count: number, text = 'value'): Generator<Loaded> {
  for (let i = 0; i < count; i++) yield [i * 10, i * 10 + 5, `${text} ${i}`]
}
async function* later(count: number, then: (i: number) => unknown): AsyncGenerator<Loaded> {
  let i = 0
  for (const range of some(count)) {
    if (i % 100 === 0) await then(i)
    yield range
    i++
  }
}
/** With a range, and nothing that is to be freed. */
async function mapOf(machine: Machine): Promise<SharedRangeMap<number, string>> {
  const map = open(machine).set(5, 6, 'old')
  await map.barrier()
  return map
}
/** How much there is, beside the pages of lists of what is to be freed. */
const inUse = ({ heap }: Machine): number => heap.allocations().filter(({ size }) => size < 4096).length

describe('a load of ranges in many stretches', () => {
  before(muteKilled)

  it('is one version, which comes at the end, and lets the event loop go on', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = await mapOf(machine)
    const seen = open(joinAs(machine, 101))
    const { version } = map.report()
    const found = new Set<string | undefined>()
    let turns = 0
    const turn = (): void => {
      turns++
      found.add(seen.lookup(5))
      timer = setImmediate(turn)
    }
    let timer = setImmediate(turn)
    assert.equal(await map.loadAsync(some(3000)), map)
    clearImmediate(timer)
    assert.ok(turns > 5, `${turns} turns`)
    assert.deepEqual([...found], ['old'])
    assert.equal(map.report().version, version + 1)
    assert.deepEqual(
      [...seen.entries()],
      [
        ...open(fresh({ memory: '2 MiB' }))
          .load(some(3000))
          .entries(),
      ],
    )
    await map.loadAsync(later(500, () => assert.equal(seen.size, 3000)))
    assert.equal(seen.size, 500)
    await map.loadAsync([])
    assert.equal(seen.size, 0)
    map.verify()
    await map.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('changes nothing, and leaves nothing, if it is told to stop, or something is wrong', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = await mapOf(machine)
    const used = inUse(machine)
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    const abort = new AbortController()
    const aborting = later(1000, (i) => {
      if (i === 500) abort.abort(reason)
    })
    const failing = later(1000, (i) => {
      if (i === 900) throw reason
    })
    function* unsorted(): Generator<Loaded> {
      yield* some(1000)
      yield [5, 6, 'behind']
    }
    await assert.rejects(map.loadAsync(some(1), { signal }), reason)
    await assert.rejects(map.loadAsync(aborting, { signal: abort.signal }), reason)
    await assert.rejects(map.loadAsync(failing), reason)
    await assert.rejects(map.loadAsync(unsorted()), ArgumentError)
    await assert.rejects(map.loadAsync([[50, 60, 'a'], 5 as never]), ArgumentError)
    await assert.rejects(map.loadAsync(5 as never), ArgumentError)
    await assert.rejects(map.loadAsync(some(20_000)), OutOfMemoryError)
    assert.deepEqual([...map.entries()], [{ from: 5, to: 6, value: 'old' }])
    assert.equal(inUse(machine), used)
  })

  it('waits where memory is short until what was replaced is free', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = await mapOf(machine)
    const text = 'long '.repeat(100)
    const fill = (): void => {
      for (let i = 0; ; i++) map.set(0, 5, `${text} ${i}`)
    }
    assert.throws(fill, OutOfMemoryError)
    assert.throws(() => map.load(some(300, text)), OutOfMemoryError)
    await map.loadAsync(some(300, text))
    assert.equal(map.size, 300)
    map.verify()
    await map.barrier()
    const used = inUse(machine)
    map.load(some(300, text))
    await map.barrier()
    assert.equal(inUse(machine), used)
    machine.heap.verify({ quiet: true })
  })

  it('ends with a map that is removed', async () => {
    const machine = fresh({ memory: '2 MiB' })
    await mapOf(machine)
    await machine.remove('rangeMap', 'm')
    const used = inUse(machine)
    const map = await mapOf(machine)
    let removed: Promise<void> | undefined
    const loading = map.loadAsync(
      later(1000, (i) => i === 500 && (removed = machine.remove('rangeMap', 'm'))),
    )
    await assert.rejects(loading, RemovedError)
    await removed
    await machine.rcu.barrier()
    assert.equal(inUse(machine), used)
    machine.heap.verify({ quiet: true })
  })

  it('is whole or not at all if its thread is killed, and its memory is free', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = await mapOf(machine)
    // The reserve of a larger version is handed on to smaller ones.
    map.load(some(600))
    map.load([[5, 6, 'old']])
    await map.barrier()
    const used = inUse(machine)
    const found = new Set<number>()
    for (let step = 1, isKilled = true; isKilled; step++) {
      const victim = joinAs(machine, 101)
      const its = open(victim)
      isKilled = await killAfter(victim, step ** 4, () => its.loadAsync(some(600)))
      if (isKilled) machine.cpus.declareDead(1)
      else await victim.offline()
      found.add(map.size)
      map.verify()
      map.load([[5, 6, 'old']])
      await map.barrier()
      machine.heap.verify({ quiet: true })
      assert.equal(inUse(machine), used)
    }
    assert.deepEqual([...found], [1, 600])
  })
})
