/** Hits and misses: counted by the threads that were told to. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { fresh, joinAs } from '../support/machines.js'

const kinds = { key: 'string', value: 'i32', hold: true } as const

it('look-ups that find something, and that find nothing, are counted', async () => {
  const machine = fresh()
  const [other, silent] = [joinAs(machine, 101), joinAs(machine, 102)]
  const map = machine.map('m', { ...kinds, stats: true })
  const counted = (): readonly [number, number] => {
    const { hits, misses } = map.report()
    return [hits, misses]
  }
  assert.deepEqual(counted(), [0, 0])
  map.set('a', 1)
  map.get('a')
  map.has('a')
  map.view('a', () => 0)
  await map.hold('a', () => 0)
  assert.equal(map.getOrInsert('a', 5), 1)
  assert.equal(
    map.getOrInsertComputed('a', () => 5),
    1,
  )
  assert.deepEqual(counted(), [6, 0])
  map.get('b')
  map.has('b')
  map.view('b', () => 0)
  await map.hold('b', () => 0)
  map.getOrInsert('b', 5)
  map.getOrInsertComputed('c', () => 5)
  assert.deepEqual(counted(), [6, 6])
  // Others count for themselves, and what they keep decoded counts; what writes does not.
  const cached = other.map('m', { ...kinds, stats: true, cache: 10 })
  for (let i = 0; i < 5; i++) cached.get('a')
  cached.compareAndSet('a', 1, 2)
  cached.update('a', () => 3)
  cached.delete('c')
  cached.take('d')
  silent.map('m', kinds).get('a')
  assert.deepEqual(counted(), [11, 6])
  await other.offline()
  assert.deepEqual(counted(), [11, 6])
  await silent.offline()
})
