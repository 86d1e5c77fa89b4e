/**
 * The process, or the power, stops at each operation on the disk in turn. What was acknowledged is
 * there afterwards, in its order, and of an append under way all or nothing.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Store, StoreOptions } from '../../dist/store/store.js'
import { FakeDisk, LOSSES, type Loss } from '../helpers/fake-disk.js'
import { entriesOf, range, recovered, recordsOf } from '../helpers/store-model.js'

/** What a run was told until it was stopped. */
interface Progress {
  acknowledged: number
  /** What the append under way would make it. */
  attempted: number
  /** Up to here, it is on the disk in any mode. */
  durable: number
}

/** A small life: appends of one and several records, new files, snapshots, a restart. */
async function live(disk: FakeDisk, options: Partial<StoreOptions>, progress: Progress): Promise<void> {
  const append = async (store: Store, count: number) => {
    const from = progress.acknowledged
    progress.attempted = from + count
    await store.append(recordsOf(...range(from + 1, from + count)))
    progress.acknowledged = from + count
  }
  /** Meanwhile, there is one append of so many records, if any. */
  const snapshot = async (store: Store, sequence: number, count: number) => {
    const written = store.writeSnapshot(sequence, entriesOf(sequence))
    const outcomes = await Promise.allSettled([written, count > 0 ? append(store, count) : undefined])
    if (outcomes[0].status === 'fulfilled') progress.durable = Math.max(progress.durable, sequence)
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }
  const first = await recovered(disk, options)
  for (const count of [1, 3, 2, 1]) await append(first.store, count)
  await snapshot(first.store, progress.acknowledged, 2)
  await append(first.store, 4)
  await first.store.close()
  if (first.store.report().failed !== undefined) throw new Error('stopped in close')
  progress.durable = progress.acknowledged
  const second = await recovered(disk, options)
  assert.deepEqual(second.told.sequences, range(1, progress.acknowledged))
  await append(second.store, 3)
  // Older than the last record.
  await snapshot(second.store, progress.acknowledged - 1, 1)
  await append(second.store, 2)
  await snapshot(second.store, progress.acknowledged, 0)
  await second.store.close()
}

/** Fails its n-th operation, and all after that. */
function stoppedAt(n: number, disk = new FakeDisk()): FakeDisk {
  const from = disk.operations.length
  disk.failure = () => (disk.operations.length - from >= n ? new Error('stopped') : undefined)
  return disk
}

/**
 * Stops a life at each operation, with each loss. Gives the number of different states, each of
 * which was checked once.
 */
async function stopEverywhere(
  options: Partial<StoreOptions>,
  check: (disk: FakeDisk, progress: Progress, loss: Loss) => Promise<void>,
): Promise<number> {
  const states = new Set<string>()
  for (let n = 1; ; n++) {
    const disk = stoppedAt(n)
    const progress = { acknowledged: 0, attempted: 0, durable: 0 }
    const isStopped = await live(disk, options, progress).then(
      () => disk.operations.length >= n,
      (error: unknown) => {
        if (disk.operations.length < n) throw error
        return true
      },
    )
    // It may go on for a moment with what it had begun.
    await new Promise(setImmediate)
    for (const loss of LOSSES) {
      const left = disk.after(loss)
      const state = JSON.stringify([progress, left.state])
      if (states.has(state)) continue
      states.add(state)
      await check(left, progress, loss).catch((error: unknown) => {
        const where = `stopped at operation ${n}, ${String(disk.operations[n - 1])}, lost: ${loss}`
        throw new Error(where, { cause: error })
      })
    }
    if (isStopped) continue
    assert.equal(disk.openFiles, 0)
    return states.size
  }
}

test('what was acknowledged survives a stop at each operation', async () => {
  const options = { sync: 'always', segmentBytes: 150 } as const
  const states = await stopEverywhere(options, async (disk, { acknowledged, attempted }, loss) => {
    const before = disk.after('none')
    const { store, told, last } = await recovered(disk, options)
    assert.ok([acknowledged, attempted].includes(last), `${last}, not ${acknowledged} or ${attempted}`)
    assert.deepEqual(told.sequences, range(1, last))
    // What was told of stays, whatever happens right after that.
    const again = await recovered(disk.after('all'), options)
    assert.deepEqual(again.told.sequences, told.sequences)
    await store.append(recordsOf(last + 1, last + 2))
    await store.writeSnapshot(last + 1, entriesOf(last + 1))
    await store.append(recordsOf(last + 3))
    const end = await recovered(disk.after('all'), options)
    assert.deepEqual(end.told.sequences, range(1, last + 3))
    assert.deepEqual(
      [...disk.after('all').files.keys()].filter((name) => name.endsWith('.tmp')),
      [],
    )
    if (loss === 'none') await stopInRecovery(before, told.sequences)
  })
  assert.ok(states > 100, `${states} states`)
})

/** Recovery itself is stopped at each of its operations that change the disk. */
async function stopInRecovery(disk: FakeDisk, expected: readonly number[]): Promise<void> {
  const whole = disk.after('none')
  await recovered(whole)
  for (const [index, operation] of whole.operations.entries()) {
    if (/^(list|open|read|close)/.test(operation)) continue
    const stopped = stoppedAt(index + 1, disk.after('none'))
    // What may stay is left, and does not stop it.
    await recovered(stopped).catch(() => undefined)
    assert.deepEqual((await recovered(stopped.after('none'))).told.sequences, expected)
    // What was not synced when it began may be lost, as it told nobody of it.
    const { told } = await recovered(stopped.after('all'))
    assert.deepEqual(told.sequences, expected.slice(0, told.sequences.length))
  }
}

test('with an interval, an older state is whole, and has what was synced', async () => {
  const options = { sync: { intervalMilliseconds: 1e6 }, segmentBytes: 150 } as const
  await stopEverywhere(options, async (disk, { acknowledged, attempted, durable }) => {
    const { store, told, last } = await recovered(disk, options)
    assert.ok(last >= durable && last <= Math.max(acknowledged, attempted), `${durable}: ${last}`)
    assert.deepEqual(told.sequences, range(1, last))
    await store.append(recordsOf(last + 1))
    await store.close()
    const end = await recovered(disk.after('all'), options)
    assert.deepEqual(end.told.sequences, range(1, last + 1))
  })
})

test('with an interval, the end of the process loses nothing', async () => {
  const options = { sync: { intervalMilliseconds: 1e6 }, segmentBytes: 150 } as const
  const disk = new FakeDisk()
  const { store } = await recovered(disk, options)
  for (const sequence of range(1, 20)) await store.append(recordsOf(sequence))
  assert.ok(store.report().unsynced)
  const { told } = await recovered(disk.after('none'), options)
  assert.deepEqual(told.sequences, range(1, 20))
})
