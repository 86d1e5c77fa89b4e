/**
 * A flipped bit, a cut, or a missing file: it is told, or what was acknowledged is there all the
 * same.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { StoreDamagedError } from '../../dist/errors.js'
import { FakeDisk } from '../helpers/fake-disk.js'
import { entriesOf, range, recovered, recordsOf } from '../helpers/store-model.js'

const options = { segmentBytes: 150 }

/** A snapshot of 8, and three files of the log, the first of which begins before it: 1 to 14. */
async function filled(): Promise<FakeDisk> {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, options)
  await store.append(recordsOf(...range(1, 6)))
  await store.writeSnapshot(6, entriesOf(6))
  await store.append(recordsOf(7, 8, 9))
  await store.writeSnapshot(8, entriesOf(8))
  for (const sequence of range(10, 14)) await store.append(recordsOf(sequence))
  await store.close()
  return disk
}

/** Another content for one file, all of it on the disk. */
function changed(disk: FakeDisk, name: string, bytes: Uint8Array): FakeDisk {
  const copy = disk.after('none')
  copy.put(name, bytes)
  return copy
}

/** What recovery tells of; undefined: damage, of which nothing on the disk was changed. */
async function toldBy(disk: FakeDisk): Promise<readonly number[] | undefined> {
  const before = disk.files
  try {
    return (await recovered(disk, options)).told.sequences
  } catch (error) {
    assert.ok(error instanceof StoreDamagedError, String(error))
    assert.deepEqual(disk.files, before)
    assert.equal(disk.openFiles, 0)
    return undefined
  }
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
  return copy
}

/** Bits from one that is flipped to the next: each byte has its turn, at all places in a byte. */
const STEP = 5

test('a flipped bit of any file is told', async () => {
  const disk = await filled()
  assert.ok([...disk.files.keys()].filter((name) => name.startsWith('log-')).length >= 3)
  assert.deepEqual(await toldBy(disk.after('none')), range(1, 14))
  for (const [name, bytes] of disk.files)
    for (let bit = 0; bit < bytes.length * 8; bit += STEP) {
      const copy = changed(disk, name, flipped(bytes, bit))
      const error = await recovered(copy, options).then(
        () => assert.fail(`bit ${bit} of ${name} is not noticed`),
        (reason: unknown) => reason,
      )
      assert.ok(error instanceof StoreDamagedError, String(error))
      assert.equal(error.details['file'], name)
      assert.ok(Number(error.details['offset']) * 8 <= bit)
    }
})

test('a cut end of the log loses the append that it cuts, and is told; any other cut is damage', async () => {
  const disk = await filled()
  const last = [...disk.files.keys()]
    .filter((name) => name.startsWith('log-'))
    .sort()
    .at(-1)
  for (const [name, bytes] of disk.files) {
    let most = 0
    for (let length = 0; length < bytes.length; length++) {
      const told = await toldBy(changed(disk, name, bytes.subarray(0, length)))
      if (name !== last || length < 24) {
        assert.equal(told, undefined, `${name} with ${length} bytes`)
        continue
      }
      assert.ok(told && told.length < 14 && told.length >= most)
      assert.deepEqual(told, range(1, told.length))
      most = told.length
      // The same with zeros in place of what is missing.
      const zeros = Buffer.concat([bytes.subarray(0, length), Buffer.alloc(bytes.length - length + 3)])
      assert.deepEqual(await toldBy(changed(disk, name, zeros)), told)
    }
    if (name === last) assert.equal(most, 13)
    else
      for (const other of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.alloc(5)])])
        await assert.rejects(
          recovered(changed(disk, name, other), options),
          (error) => error instanceof StoreDamagedError && error.details['file'] === name,
        )
  }
})

test('a flipped bit before a torn end, or in it, loses nothing that was acknowledged', async () => {
  const disk = await filled()
  const name =
    [...disk.files.keys()]
      .filter((file) => file.startsWith('log-'))
      .sort()
      .at(-1) ?? ''
  const bytes = disk.files.get(name) ?? Buffer.alloc(0)
  const whole = Buffer.concat([bytes, Buffer.alloc(0)])
  const { store } = await recovered(disk, options)
  await store.append(recordsOf(15, 16))
  const longer = disk.files.get(name)
  assert.ok(longer && longer.length > whole.length, 'the append went to another file')
  const cut = Math.floor((whole.length + longer.length) / 2)
  const ends = [
    longer.subarray(0, cut),
    Buffer.concat([longer.subarray(0, cut), Buffer.alloc(longer.length - cut)]),
    Buffer.concat([longer.subarray(0, whole.length + 3), Buffer.alloc(10)]),
  ]
  for (const end of ends) {
    assert.deepEqual(await toldBy(changed(disk, name, end)), range(1, 14))
    for (let bit = 0; bit < end.length * 8; bit += STEP) {
      const told = await toldBy(changed(disk, name, flipped(end, bit)))
      if (told) assert.deepEqual(told, range(1, 14))
      if (bit < whole.length * 8) assert.equal(told, undefined)
    }
  }
})

test('a missing file is damage, unless it is the last one of the log', async () => {
  const disk = await filled()
  const names = [...disk.files.keys()].sort()
  const last = names.filter((name) => name.startsWith('log-')).at(-1)
  for (const name of names) {
    const copy = disk.after('none')
    copy.take(name)
    const told = await toldBy(copy)
    if (name === last) assert.ok(told && told.length < 14)
    else assert.equal(told, undefined, name)
  }
  const noLog = disk.after('none')
  for (const name of names.filter((each) => each.startsWith('log-'))) noLog.take(name)
  const [first = '', second = ''] = names
  const gap = disk.after('none')
  gap.take(second)
  await assert.rejects(recovered(gap, options), /records 10 to 1\d are missing before it/)
  assert.equal(first, 'log-0000000000000007')
  await assert.rejects(recovered(noLog, options), { code: 'PERCPU_STORE_DAMAGED', message: /log-0+9/ })
})

test('a frame that is missing, twice there, or elsewhere is damage', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  const name = 'log-0000000000000001'
  const ends: number[] = []
  for (const sequence of range(1, 3)) {
    await store.append(recordsOf(sequence))
    ends.push(disk.files.get(name)?.length ?? 0)
  }
  const [one = 0, two = 0, three = 0] = ends
  const bytes = disk.files.get(name) ?? Buffer.alloc(0)
  const [first, second, third] = [
    bytes.subarray(0, one),
    bytes.subarray(one, two),
    bytes.subarray(two, three),
  ]
  for (const pieces of [
    [first, third],
    [first, second, third, third],
    [first, third, second],
  ])
    assert.equal(await toldBy(changed(disk, name, Buffer.concat(pieces))), undefined)
})

test('a snapshot without its end, or with more behind it, is damage', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  await store.writeSnapshot(1, entriesOf(1))
  const name = 'snapshot-0000000000000001'
  const bytes = disk.files.get(name) ?? Buffer.alloc(0)
  // Header, a frame of 8 bytes, and the frame of the end.
  const start = bytes.length - 40
  for (const other of [bytes.subarray(0, start), Buffer.concat([bytes, bytes.subarray(start)])])
    await assert.rejects(recovered(changed(disk, name, other)), { code: 'PERCPU_STORE_DAMAGED' })
  await assert.rejects(recovered(changed(disk, name, bytes.subarray(0, start))), /the end .* is missing/)
})

test('a file of another version of the format is told as such', async () => {
  const disk = new FakeDisk()
  await recovered(disk)
  const [name = '', bytes = Buffer.alloc(0)] = [...disk.files][0] ?? []
  const newer = Buffer.from(bytes)
  newer.writeUInt32LE(2, 8)
  newer.writeUInt32LE(crc32(newer.subarray(0, 20)), 20)
  await assert.rejects(recovered(changed(disk, name, newer)), /has version 2 of the format/)
})

test('a file under the name of another is damage', async () => {
  const disk = await filled()
  const [first = '', second = ''] = [...disk.files.keys()].filter((name) => name.startsWith('log-')).sort()
  const bytes = disk.files.get(first) ?? Buffer.alloc(0)
  assert.equal(await toldBy(changed(disk, second, bytes)), undefined)
  const [snapshot = ''] = [...disk.files.keys()].filter((name) => name.startsWith('snapshot-'))
  assert.equal(await toldBy(changed(disk, snapshot, bytes)), undefined)
})
