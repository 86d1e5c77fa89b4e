/** The store on a real folder, and on a disk that is full or fails. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { open, readdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pino } from 'pino'
import { StoreFailedError, StoreFullError } from '../../dist/errors.js'
import { folderAt, makeFolder } from '../../dist/store/folder.js'
import { Store, type StoreOptions } from '../../dist/store/store.js'
import { FakeDisk } from '../helpers/fake-disk.js'
import { temporaryFolder } from '../helpers/files.js'
import { entriesOf, range, recovered, recordsOf, silent, Told } from '../helpers/store-model.js'

const always: StoreOptions = { sync: 'always', logger: silent }

test('records and entries come back in order, from a folder that was not there', async (t) => {
  const directory = join(await temporaryFolder(t), 'a', 'data')
  const store = await Store.open(directory, always)
  assert.equal(await store.recover(new Told()), 0)
  await store.append(recordsOf(1, 2, 3))
  await store.append([])
  await store.append(recordsOf(4))
  await store.writeSnapshot(3, entriesOf(3))
  await store.append(recordsOf(5))
  const { bytes, ...report } = store.report()
  assert.ok(bytes > 0)
  assert.deepEqual(report, {
    segments: 2,
    lastSequence: 5,
    snapshotSequence: 3,
    unsynced: false,
    failed: undefined,
  })
  await store.close()

  const again = await Store.open(directory, always)
  const told = new Told()
  assert.equal(await again.recover(told), 5)
  assert.deepEqual([told.sequences, told.snapshotSequence], [range(1, 5), 3])
  assert.equal(again.report().bytes, bytes)
  await again.close()
  assert.deepEqual((await readdir(directory)).filter((name) => !name.startsWith('lock-')).sort(), [
    'log-0000000000000001',
    'log-0000000000000005',
    'snapshot-0000000000000003',
  ])
})

test('a long log and a long snapshot come back, in pieces of any length', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, { segmentBytes: 2 ** 21 })
  // Longer than what is read at once, and than a block of a snapshot.
  const lengths = [10, 2 ** 20, 70_000, 3 * 2 ** 20, 0, 1]
  const payloadOfLength = (sequence: number) => Buffer.alloc(lengths[sequence % 6] ?? 0, sequence)
  const told: string[] = []
  const add = (payload: Uint8Array) => void told.push(`${payload.length} × ${payload[0] ?? 'none'}`)
  for (const sequence of range(1, 30)) await store.append([{ sequence, payload: payloadOfLength(sequence) }])
  await store.writeSnapshot(15, range(1, 15).map(payloadOfLength))
  await store.close()
  await new Store(disk.after('all'), always).recover({
    snapshot: () => undefined,
    entry: add,
    record: ({ payload }) => add(payload),
  })
  const expected = range(1, 30).map((sequence) => payloadOfLength(sequence))
  assert.deepEqual(
    told,
    expected.map((payload) => `${payload.length} × ${payload[0] ?? 'none'}`),
  )
})

test('a real file, and a real folder, are synced when they are told to be', async (t) => {
  const directory = await temporaryFolder(t)
  const folder = folderAt(directory)
  const handle = await open(directory)
  const handles = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const descriptors = process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0
  const [whole, data] = [t.mock.method(handles, 'sync'), t.mock.method(handles, 'datasync')]
  const file = await folder.create('file')
  await file.write(Buffer.from('text'), 0)
  await file.sync()
  await file.close()
  assert.deepEqual([whole.mock.callCount(), data.mock.callCount()], [0, 1])
  await folder.sync()
  assert.deepEqual([whole.mock.callCount(), data.mock.callCount()], [1, 1])
  await makeFolder(join(directory, 'a', 'b'))
  // Each new folder is in the one above it.
  assert.equal(whole.mock.callCount(), 3)
  if (process.platform === 'linux') assert.equal(readdirSync('/proc/self/fd').length, descriptors)
})

test('sequence numbers may have gaps, and go up to the largest', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  const largest = Number.MAX_SAFE_INTEGER
  const payload = Buffer.from('last')
  await store.append(recordsOf(5, 70))
  await store.append([{ sequence: largest, payload }])
  const sequences: number[] = []
  const sink = {
    snapshot: () => undefined,
    entry: () => undefined,
    record: ({ sequence }: { sequence: number }) => void sequences.push(sequence),
  }
  assert.equal(await new Store(disk.after('all'), always).recover(sink), largest)
  assert.deepEqual(sequences, [5, 70, largest])
})

test('an append of many records is one write and one sync', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  const from = disk.operations.length
  await store.append(recordsOf(...range(1, 1000)))
  const name = 'log-0000000000000001'
  assert.deepEqual(disk.operations.slice(from), [`write ${name}`, `sync ${name}`])
})

test('what may not be appended is refused, and changes nothing', async () => {
  const { store } = await recovered(new FakeDisk())
  await store.append(recordsOf(1, 2))
  const before = store.report()
  for (const sequences of [[2], [3, 3], [4, 3], [0], [1.5], [2 ** 53]])
    await assert.rejects(
      store.append(sequences.map((sequence) => ({ sequence, payload: new Uint8Array() }))),
      { code: 'PERCPU_ARGUMENT' },
    )
  const large = new Uint8Array(2 ** 27)
  await assert.rejects(store.append([3, 4].map((sequence) => ({ sequence, payload: large }))), {
    code: 'PERCPU_ARGUMENT',
  })
  for (const sequence of [3, -1, 0.5])
    await assert.rejects(store.writeSnapshot(sequence, []), { code: 'PERCPU_ARGUMENT' })
  assert.deepEqual(store.report(), before)
})

test('a full disk refuses, keeps what there was, and takes more when there is room', async () => {
  for (let room = 0; room < 120; room++) {
    const disk = new FakeDisk()
    const options = { segmentBytes: 100 }
    const { store } = await recovered(disk, options)
    await store.append(recordsOf(1, 2, 3, 4, 5, 6))
    const used = store.report().bytes
    disk.capacity = used + room
    // The first one begins another file.
    await assert.rejects(store.append(recordsOf(...range(7, 20))), (error) => error instanceof StoreFullError)
    assert.equal(store.report().failed, undefined)
    assert.equal(store.report().lastSequence, 6)
    await assert.rejects(
      store.writeSnapshot(6, entriesOf(6).concat(entriesOf(6))),
      (error) => error instanceof StoreFullError,
    )
    assert.deepEqual((await recovered(disk.after('none'), options)).told.sequences, range(1, 6))
    disk.capacity = Infinity
    await store.append(recordsOf(...range(7, 20)))
    await store.writeSnapshot(20, entriesOf(20))
    assert.deepEqual((await recovered(disk.after('all'), options)).told.sequences, range(1, 20))
  }
})

test('what a full disk took of an append is cut off at once, also on the disk', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  disk.capacity = store.report().bytes + 10
  const from = disk.operations.length
  await assert.rejects(store.append(recordsOf(1)), { code: 'PERCPU_STORE_FULL' })
  const name = 'log-0000000000000001'
  assert.deepEqual(disk.operations.slice(from), [`write ${name}`, `truncate ${name}`, `sync ${name}`])
})

test('if what a full disk took cannot be cut off, nothing is accepted any more', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  disk.capacity = store.report().bytes + 10
  disk.failure = (operation) => (operation === 'truncate' ? new Error('EIO') : undefined)
  await assert.rejects(store.append(recordsOf(2)), (error) => error instanceof StoreFailedError)
  disk.capacity = Infinity
  await assert.rejects(store.append(recordsOf(2)), (error) => error instanceof StoreFailedError)
  assert.match(store.report().failed ?? '', /truncate/)
  assert.deepEqual((await recovered(disk.after('none'))).told.sequences, [1])
})

test('a write or a sync that fails ends the store; a restart tells what is there', async () => {
  for (const failing of ['write', 'sync'] as const) {
    const disk = new FakeDisk()
    const { store } = await recovered(disk)
    await store.append(recordsOf(1))
    disk.failure = (operation) =>
      operation === failing
        ? Object.assign(new Error('no'), { code: failing === 'sync' ? 'ENOSPC' : 'EIO' })
        : undefined
    await assert.rejects(store.append(recordsOf(2)), (error) => error instanceof StoreFailedError)
    disk.failure = () => undefined
    await assert.rejects(store.append(recordsOf(2)), { code: 'PERCPU_STORE_FAILED' })
    await assert.rejects(store.writeSnapshot(1, entriesOf(1)), { code: 'PERCPU_STORE_FAILED' })
    const from = disk.operations.length
    await store.close()
    // A sync after one that failed may well say that all is good.
    assert.ok(!disk.operations.slice(from).some((operation) => operation.startsWith('sync')))
    const { told } = await recovered(disk.after('all'))
    assert.deepEqual(told.sequences, [1])
  }
})

test('a file that cannot be made is refused, and no reason to stop', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  disk.failure = (operation) => (operation === 'create' ? new Error('EMFILE') : undefined)
  await assert.rejects(store.writeSnapshot(1, entriesOf(1)), { code: 'PERCPU_FILE' })
  await store.append(recordsOf(2))
  disk.failure = () => undefined
  await store.writeSnapshot(2, entriesOf(2))
})

test('with an interval each append is synced in time, and a failure is told to the next one', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, { sync: { intervalMilliseconds: 1 } })
  const from = disk.operations.length
  await store.append(recordsOf(1))
  assert.ok(store.report().unsynced)
  while (store.report().unsynced) await new Promise((resolve) => setTimeout(resolve, 1))
  assert.deepEqual(
    disk.operations.slice(from).map((operation) => operation.split(' ')[0]),
    ['write', 'sync'],
  )
  disk.failure = (operation) => (operation === 'sync' ? new Error('EIO') : undefined)
  await store.append(recordsOf(2))
  while (store.report().failed === undefined) await new Promise((resolve) => setTimeout(resolve, 1))
  await assert.rejects(store.append(recordsOf(3)), { code: 'PERCPU_STORE_FAILED' })
  await store.close()
})

test('a snapshot goes in place of the log before it, while appends go on', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, { segmentBytes: 400 })
  let last = 0
  const append = () => store.append(recordsOf(++last))
  while (!store.wantsSnapshot) await append()
  const count = last
  async function* entries() {
    for (const entry of entriesOf(count)) {
      await append()
      yield entry
    }
  }
  const running = store.writeSnapshot(count, entries())
  assert.ok(!store.wantsSnapshot)
  await running
  assert.equal(last, 2 * count)
  assert.equal(store.report().snapshotSequence, count)
  assert.ok(![...disk.files.keys()].includes('log-0000000000000001'))
  // The same one is not written again.
  const from = disk.operations.length
  await store.writeSnapshot(count, entriesOf(count))
  assert.equal(disk.operations.length, from)
  await store.writeSnapshot(last, entriesOf(last))
  assert.deepEqual([...disk.files.keys()].filter((name) => name.startsWith('snapshot')).length, 1)
  assert.ok(!store.wantsSnapshot)
  assert.equal(store.report().segments, 1)
  assert.deepEqual((await recovered(disk.after('all'))).told.sequences, range(1, last))
})

test('another snapshot is wanted after as much again; after one that failed, later', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, { segmentBytes: 400 })
  let last = 0
  const untilWanted = async () => {
    const from = last
    while (!store.wantsSnapshot) await store.append(recordsOf(++last))
    return last - from
  }
  assert.ok((await untilWanted()) > 3)
  disk.failure = (operation) => (operation === 'create' ? new Error('EMFILE') : undefined)
  await assert.rejects(store.writeSnapshot(last, entriesOf(last)), { code: 'PERCPU_FILE' })
  disk.failure = () => undefined
  assert.ok((await untilWanted()) > 3)
  await store.writeSnapshot(last, entriesOf(last))
  assert.ok((await untilWanted()) > 3)
})

test('after each snapshot that fails the next one is wanted later', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk, { segmentBytes: 400 })
  let last = 0
  const bytesUntilWanted = async () => {
    const { bytes } = store.report()
    while (!store.wantsSnapshot) await store.append(recordsOf(++last))
    return store.report().bytes - bytes
  }
  await bytesUntilWanted()
  const waits: number[] = []
  for (let attempt = 0; attempt < 7; attempt++) {
    disk.failure = (operation) => (operation === 'create' ? new Error('EMFILE') : undefined)
    await assert.rejects(store.writeSnapshot(last, entriesOf(last)), { code: 'PERCPU_FILE' })
    disk.failure = () => undefined
    waits.push(await bytesUntilWanted())
  }
  // What an append has more, and the headers of files.
  for (const [i, factor] of [1, 2, 4, 8, 16, 32, 32].entries())
    assert.ok(Math.abs((waits[i] ?? 0) - 400 * factor) < 200 + 24 * factor, waits.join())
  await store.writeSnapshot(last, entriesOf(last))
  const { bytes } = store.report()
  const snapshotBytes = bytes - 24
  assert.ok((await bytesUntilWanted()) < snapshotBytes + 400)
})

test('files that are not of the store stay', async () => {
  const disk = new FakeDisk()
  const others = ['notes.tmp', 'log-1', 'log-0000000000000001.bak', 'snapshot', 'log-9999999999999999']
  for (const name of others) disk.put(name, Buffer.from('of somebody else'))
  disk.put('log-0000000000000009.tmp', Buffer.alloc(3))
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  await store.writeSnapshot(1, entriesOf(1))
  await recovered(disk)
  const own = ['log-0000000000000002', 'snapshot-0000000000000001']
  assert.deepEqual([...disk.files.keys()].sort(), [...others, ...own].sort())
})

test('entries that throw, and a close, give up a snapshot; the one before stays', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  await store.writeSnapshot(1, entriesOf(1))
  await store.append(recordsOf(2))
  function* broken() {
    yield* entriesOf(1)
    throw new RangeError('of the caller')
  }
  await assert.rejects(store.writeSnapshot(2, broken()), RangeError)
  await store.append(recordsOf(3))
  async function* endless() {
    for (;;) {
      await new Promise(setImmediate)
      yield new Uint8Array(2 ** 15)
    }
  }
  const running = assert.rejects(store.writeSnapshot(3, endless()), { code: 'PERCPU_ABORTED' })
  await new Promise(setImmediate)
  await Promise.all([running, store.close(), store.close()])
  await assert.rejects(store.append(recordsOf(4)), { code: 'PERCPU_STORE_FAILED' })
  assert.deepEqual(
    [...disk.files.keys()].filter((name) => name.endsWith('.tmp')),
    [],
  )
  assert.deepEqual((await recovered(disk.after('all'))).told.sequences, range(1, 3))
})

test('a store is used once it was recovered, and recovered once', async () => {
  const store = new Store(new FakeDisk(), always)
  await assert.rejects(store.append(recordsOf(1)), { code: 'PERCPU_STORE_FAILED' })
  const throwing = new Told()
  throwing.snapshot = () => undefined
  await store.recover(throwing)
  await assert.rejects(store.recover(throwing), { code: 'PERCPU_STORE_FAILED' })
  await store.close()
})

test('what cannot be removed stays, with a warning; the next start removes it', async () => {
  const disk = new FakeDisk()
  let warnings = 0
  const logger = pino({}, { write: () => ++warnings })
  const { store } = await recovered(disk, { logger })
  await store.append(recordsOf(1))
  await store.writeSnapshot(1, entriesOf(1))
  await store.append(recordsOf(2))
  disk.failure = (operation) => (operation === 'remove' ? new Error('EACCES') : undefined)
  await store.writeSnapshot(2, entriesOf(2))
  assert.equal(warnings, 2)
  assert.equal(disk.files.size, 4)
  disk.failure = () => undefined
  assert.deepEqual((await recovered(disk)).told.sequences, [1, 2])
  assert.deepEqual([...disk.files.keys()].sort(), ['log-0000000000000003', 'snapshot-0000000000000002'])
})

test('a disk that fails while it is recovered leaves nothing open', async () => {
  for (const failing of ['read', 'sync', 'truncate'] as const) {
    const disk = new FakeDisk()
    const { store } = await recovered(disk)
    await store.append(recordsOf(1))
    await store.close()
    const name = 'log-0000000000000001'
    disk.put(name, disk.files.get(name)?.subarray(0, -1) ?? Buffer.alloc(0))
    disk.failure = (operation, file) =>
      operation === failing && file === name ? new Error('EIO') : undefined
    await assert.rejects(recovered(disk), {
      code: failing === 'read' ? 'PERCPU_FILE' : 'PERCPU_STORE_FAILED',
    })
    assert.equal(disk.openFiles, 0)
  }
})

test('a torn end is told with its bytes', async () => {
  const disk = new FakeDisk()
  const { store } = await recovered(disk)
  await store.append(recordsOf(1))
  await store.append(recordsOf(2))
  const name = 'log-0000000000000001'
  const bytes = disk.files.get(name) ?? Buffer.alloc(0)
  disk.put(name, bytes.subarray(0, -1))
  const lines: Record<string, unknown>[] = []
  const logger = pino({}, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) })
  await recovered(disk, { logger })
  assert.equal(lines.length, 1)
  const [{ level, file, offset, bytes: count } = {}] = lines
  assert.deepEqual([level, file, Number(offset) + Number(count)], [40, name, bytes.length - 1])
  assert.equal(disk.files.get(name)?.length, offset)
})

test('what a real disk cannot do is an error with the name of the file', async (t) => {
  const directory = await temporaryFolder(t)
  await assert.rejects(folderAt(join(directory, 'none')).list(), /cannot list .*none/)
  await assert.rejects(Store.open(join(directory, '\0'), always), { code: 'PERCPU_FILE' })
})
