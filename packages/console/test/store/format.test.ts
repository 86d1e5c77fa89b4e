/** The bytes of a store are those of docs/table-log.md, from which this file was written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { FakeDisk } from '../helpers/fake-disk.js'
import { recovered } from '../helpers/store-model.js'

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
