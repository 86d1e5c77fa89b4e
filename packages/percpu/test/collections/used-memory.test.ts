/** Entries in memory that had something else before: nothing of that is part of them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { fresh } from '../support/machines.js'

/** Bytes of keys: with each number in their last word, short ones, and those copied as a whole. */
const LENGTHS = [...[1, 2, 3, 5, 100, 255, 256], ...[257, 258, 259, 260, 509, 1023, 2049, 4093, 4094, 4095]]
const EACH = 3

/** Frees memory of all these sizes, all of whose bits are set. */
async function dirty(machine: Machine): Promise<void> {
  const map = machine.map('before', { key: 'i32', value: 'bytes' })
  for (const [i, length] of LENGTHS.entries())
    for (let copy = 0; copy < EACH; copy++) map.set(i * EACH + copy, new Uint8Array(length + 8).fill(0xff))
  map.clear()
  await map.barrier()
}

async function findAll<K>(
  machine: Machine,
  map: SharedMap<K, number>,
  keyOf: (length: number, copy: number) => K,
): Promise<void> {
  await dirty(machine)
  for (const length of LENGTHS)
    for (let copy = 0; copy < EACH; copy++) {
      const key = keyOf(length, copy)
      map.set(key, length)
      assert.equal(map.get(key), length, `a key of ${length} bytes`)
      map.set(key, copy)
      assert.equal(map.get(key), copy, `a key of ${length} bytes, set again`)
    }
  map.verify({ quiet: true })
  assert.equal(map.size, LENGTHS.length * EACH)
  for (const length of LENGTHS)
    for (let copy = 0; copy < EACH; copy++) assert.ok(map.delete(keyOf(length, copy)), `${length} bytes`)
  assert.equal(map.size, 0)
}

describe('keys of all lengths are found where other entries were', () => {
  it('keys of text', () => {
    const machine = fresh({ memory: '8 MiB' })
    const map = machine.map('m', { key: 'string', value: 'i32' })
    return findAll(machine, map, (length, copy) => String(copy).repeat(length))
  })
  it('keys of bytes', () => {
    const machine = fresh({ memory: '8 MiB' })
    const map = machine.map('m', { key: 'bytes', value: 'i32' })
    return findAll(machine, map, (length, copy) => new Uint8Array(length).fill(copy))
  })
})
