/** The bytes of a store are those of docs/table-log.md, from which this file was written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { StoreDamagedError } from '../../dist/errors.js'
import { Store } from '../../dist/store/store.js'
import { FakeDisk } from '../helpers/fake-disk.js'
import { recovered, silent } from '../helpers/store-model.js'

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const withChecksum = (bytes: Buffer) => Buffer.concat([bytes, u32(crc32(bytes))])
const header = (magic: string, sequence: number) =>
  withChecksum(Buffer.concat([Buffer.from(magic), u32(1), u64(sequence)]))
const frame = (kind: number, position: number, items: number, body: Buffer) =>
  Buffer.concat([
    withChecksum(Buffer.concat([u32(kind), u32(body.length), u64(position), u32(items), u32(crc32(body))])),
    body,
    Buffer.from('a55aa55a', 'hex'),
  ])
const record = (sequence: number, payload: string) =>
  Buffer.concat([u64(sequence), u32(payload.length), Buffer.from(payload)])
const entry = (payload: string) => Buffer.concat([u32(payload.length), Buffer.from(payload)])

test('the log and the snapshot are as they are described', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  const large = 2 ** 52 + 3
  await store.append([{ sequence: 7, payload: Buffer.from('seven') }])
  await store.append([
    { sequence: 8, payload: Buffer.from('') },
    { sequence: large, payload: Buffer.from('large') },
  ])
  const log = header('PCPU-LOG', 0)
  const first = frame(1, 24, 1, record(7, 'seven'))
  const second = frame(1, 24 + first.length, 2, Buffer.concat([record(8, ''), record(large, 'large')]))
  assert.deepEqual([...disk.files], [['log-0000000000000001', Buffer.concat([log, first, second])]])

  const long = 'x'.repeat(2 ** 16)
  await store.writeSnapshot(
    large,
    ['', 'b', long, 'c'].map((text) => Buffer.from(text)),
  )
  const block = frame(2, 24, 3, Buffer.concat([entry(''), entry('b'), entry(long)]))
  const rest = frame(2, 24 + block.length, 1, entry('c'))
  const end = frame(3, 24 + block.length + rest.length, 1, u64(4))
  assert.deepEqual(
    disk.files,
    new Map([
      ['log-4503599627370500', header('PCPU-LOG', large)],
      ['snapshot-4503599627370499', Buffer.concat([header('PCPU-SNP', large), block, rest, end])],
    ]),
  )
})

test('what has good checksums, and contradicts itself, is damage', async () => {
  const entries = Buffer.concat([entry('1:'), entry('2:')])
  const end = (position: number, items: number) => frame(3, position, 1, u64(items))
  const [log, snapshot] = ['log-0000000000000001', 'snapshot-0000000000000000']
  const inLog = (items: number, ...records: Buffer[]) => frame(1, 24, items, Buffer.concat(records))
  const inSnapshot = (items: number, body: Buffer, told = items) => {
    const block = frame(2, 24, items, body)
    return Buffer.concat([block, end(24 + block.length, told)])
  }
  const cases: readonly (readonly [name: string, frames: Buffer, what: RegExp])[] = [
    [log, inLog(1, record(0, '')), /do not ascend/],
    [log, inLog(2, record(5, ''), record(5, '')), /do not ascend/],
    [log, inLog(1, record(2 ** 53, '')), /do not ascend/],
    [log, inLog(2, record(1, 'one')), /fewer records than it says/],
    [log, inLog(1, record(1, 'one'), record(2, '')), /more bytes than its records/],
    [log, inLog(1, u64(1), u32(1)), /a record is longer than its frame/],
    [log, frame(2, 24, 2, entries), /has the kind 2/],
    [log, frame(1, 25, 0, Buffer.alloc(0)), /not where it was written/],
    [snapshot, inSnapshot(2, entries, 3), /has 2 entries, and says it has 3/],
    [snapshot, inSnapshot(3, entries), /fewer entries than it says/],
    [snapshot, inSnapshot(1, entries), /more bytes than its entries/],
    [snapshot, inSnapshot(1, u32(1)), /an entry is longer than its frame/],
    [snapshot, frame(1, 24, 1, record(1, '')), /has the kind 1/],
    [snapshot, frame(3, 24, 1, u32(0)), /has 0 entries, and says it has undefined/],
  ]
  const nobody = { snapshot: () => undefined, entry: () => undefined, record: () => undefined }
  for (const [name, frames, what] of cases) {
    const disk = new FakeDisk()
    disk.put(log, header('PCPU-LOG', 0))
    disk.put(name, Buffer.concat([header(name === log ? 'PCPU-LOG' : 'PCPU-SNP', 0), frames]))
    const store = new Store(disk, { sync: 'always', logger: silent })
    await assert.rejects(store.recover(nobody), (error: Error) => {
      assert.ok(error instanceof StoreDamagedError)
      assert.match(error.message, what)
      return true
    })
  }
})

test('files of the log that overlap are damage', async () => {
  const disk = new FakeDisk()
  disk.put(
    'log-0000000000000001',
    Buffer.concat([header('PCPU-LOG', 0), frame(1, 24, 1, record(5, '5:5:5:5:5:5:'))]),
  )
  disk.put('log-0000000000000004', header('PCPU-LOG', 3))
  await assert.rejects(
    recovered(disk),
    /log-0+4: it begins after record 3, and the file before it ends with 5/,
  )
})
