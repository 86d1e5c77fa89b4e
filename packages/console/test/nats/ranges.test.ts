/** The last write of each range makes the table that all writes made. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { boot } from 'percpu'
import { BucketError, FollowedTables, rangeName, Table, type Heard, type TableSpec } from 'percpu-console'
import { contentsOf } from '../helpers/nodes.js'

const spec: TableSpec = { name: 'nets', keys: 'number', isRange: true }

test('a table that is gone may come back, not with another kind of keys', async (t) => {
  const machine = boot({ memory: '4 MiB', cpus: 1 })
  t.after(() => machine.offline())
  const seen = new Map<string, Table>()
  let lists = 0
  const followed = new FollowedTables(machine, seen, () => lists++)
  const hear = (revision: number, value: string | undefined, name = 'nets.spec') =>
    followed.apply([
      { name, revision, value: value === undefined ? value : Buffer.from(value), isLast: false },
    ])
  await hear(1, '{"node":"n","done":true}', 'nets.load')
  await hear(2, '{"keys":"number","isRange":true}')
  assert.deepEqual([lists, seen.get('nets')?.spec], [1, spec])
  await assert.rejects(hear(3, '{"keys":"text","isRange":false}'), BucketError)
  await hear(4, undefined)
  await hear(5, undefined)
  assert.deepEqual([lists, seen.size], [2, 0])
  await assert.rejects(hear(6, '{"keys":"text","isRange":false}'), BucketError)
  await hear(7, '{"keys":"number","isRange":false}')
  assert.deepEqual([lists, seen.get('nets')?.spec.isRange], [3, false])
})

test('a bucket keeps the last write of each range, and that is enough', async (t) => {
  const machine = boot({ memory: '16 MiB', cpus: 2 })
  t.after(() => machine.offline())
  const seen = new Map<string, Table>()
  const followed = new FollowedTables(machine, seen, () => undefined)
  const all = new Table(machine, { ...spec, name: 'all' })
  const point = fc.integer({ min: 0, max: 12 })
  const write = fc.tuple(point, point, fc.boolean(), fc.boolean())
  await fc.assert(
    fc.asyncProperty(fc.array(write, { maxLength: 25 }), async (writes) => {
      all.map.clear()
      const last = new Map<string, Heard>()
      const hear = (name: string, revision: number, value: Uint8Array | undefined) =>
        last.set(name, { name, revision, value, isLast: false })
      hear('nets.spec', 1, Buffer.from('{"keys":"number","isRange":true}'))
      hear('nets.load', 2, Buffer.from('{"node":"n","done":true}'))
      writes.forEach(([one, other, deletes, isMark], i) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)]
        const version = i + 3
        const value = deletes ? undefined : Buffer.from(String(i % 4))
        all.apply([{ from, to, version, value }])
        // Others may delete with a mark; this service writes an empty value.
        hear(rangeName(spec, all.codec, { from, to }), version, value ?? (isMark ? undefined : Buffer.of()))
      })
      const heard = [...last.values()].toSorted((one, other) => one.revision - other.revision)
      await followed.replace(heard)
      assert.deepEqual(contentsOf(seen.get('nets')), contentsOf(all))
      assert.equal(followed.names, last.size)
      // The same, as it is heard one after the other.
      await followed.replace(heard.slice(0, 2))
      await followed.apply(heard.slice(2))
      assert.deepEqual(contentsOf(seen.get('nets')), contentsOf(all))
    }),
    { numRuns: 60 },
  )
})
