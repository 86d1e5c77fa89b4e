/** Batches that are made before some work, and seen after it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OutOfMemoryError, type Machine, type SharedRangeMap } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { fillUp } from './support/full.js'

function mapOf(machine: Machine): SharedRangeMap<Uint8Array, string> {
  return machine.rangeMap('map', { key: 'bytes', value: 'string' })
}
const key = (n: number): Uint8Array => Buffer.from(String(n).padStart(4, '0'))
const some = (count: number, value: string): [Uint8Array, Uint8Array, string][] =>
  Array.from({ length: count }, (_, i) => [key(i), key(i), value])
const used = (machine: Machine): number =>
  machine.heap.report().caches.reduce((sum, { allocated }) => sum + allocated, 0)
const none = (): Promise<void> => Promise.resolve()

describe('a batch around some work', () => {
  it('is seen when the work has ended, and not before', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 1 })
    const map = mapOf(machine)
    map.load(some(100, 'old'))
    const seen: (string | undefined)[] = []
    const changes = [...some(50, 'new'), [key(99), key(99)] as const]
    await map.batchAround(changes, async () => {
      await none()
      seen.push(map.lookup(key(7)), map.lookup(key(99)))
    })
    assert.deepEqual([...seen, map.lookup(key(7)), map.lookup(key(99))], ['old', 'old', 'new', undefined])
    map.verify()
    const { version } = map
    await map.batchAround(some(50, 'new'), none)
    assert.equal(map.version, version, 'nothing differs')
    await map.batchAround((batch) => {
      batch.clear()
    }, none)
    assert.equal(map.size, 0)
    map.verify()
  })

  it('has changed and taken nothing if the work fails', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 1 })
    const map = mapOf(machine)
    map.load(some(100, 'old'))
    const error = new Error('the disk is full')
    const failing = async () => {
      await none()
      throw error
    }
    await assert.rejects(map.batchAround(some(50, 'new'), failing), error)
    const before = used(machine)
    await assert.rejects(map.batchAround(some(50, 'new'), failing), error)
    await assert.rejects(
      map.batchAround(some(50, 'new'), () => {
        throw error
      }),
      error,
    )
    assert.equal(used(machine), before)
    assert.equal(map.lookup(key(7)), 'old')
    map.verify()
  })

  it('does no work without memory, and takes none after the work', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 1 })
    const map = mapOf(machine)
    map.load(some(100, 'old'))
    let taken: readonly number[] = []
    await map.batchAround(some(100, 'new'), () => {
      taken = fillUp(machine)
      return none()
    })
    assert.equal(map.lookup(key(7)), 'new')
    let isDone = false
    const work = () => {
      isDone = true
      return none()
    }
    await assert.rejects(map.batchAround(some(100, 'no room for it'.repeat(10)), work), OutOfMemoryError)
    assert.ok(!isDone)
    assert.equal(map.lookup(key(7)), 'new')
    for (const address of taken) machine.heap.free(address)
    map.verify()
  })

  it('is made anew if others change the map meanwhile', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 2 })
    const map = mapOf(machine)
    const other = mapOf(joinAs(machine, 100))
    map.load(some(100, 'old'))
    await map.batchAround(some(2, 'new'), () => {
      other.set(key(1), key(2), 'other')
      return none()
    })
    assert.deepEqual(
      [0, 1, 2].map((n) => map.lookup(key(n))),
      ['new', 'new', 'other'],
    )
    map.verify()
  })
})
