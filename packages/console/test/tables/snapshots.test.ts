/** Snapshots that are taken as a service runs. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Store } from '../../dist/store/store.js'
import { Snapshots } from '../../dist/tables/snapshots.js'
import type { Writer } from '../../dist/tables/writer.js'

test('a snapshot that cannot be written is told once, and again after one that was', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let isFull = true
  let attempts = 0
  const store = {
    wantsSnapshot: true,
    report: () => ({ lastSequence: 1, bytes: 5 }),
    writeSnapshot() {
      attempts++
      return isFull ? Promise.reject(new Error('the disk is full')) : Promise.resolve()
    },
  } as unknown as Store
  const writer = { exclusively: (work: (sequence: number) => unknown) => work(1) } as unknown as Writer
  const told: string[] = []
  const tell = (_details: unknown, text?: string) => void told.push(String(text))
  const snapshots = new Snapshots({ store, writer, tables: new Map(), logger: { info: tell, error: tell } })
  const later = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      t.mock.timers.tick(1000)
      await setImmediate()
    }
  }
  const failed = 'a snapshot could not be written; the log goes on'
  await later(3)
  assert.deepEqual([attempts, told], [3, [failed]])
  assert.equal(snapshots.failure?.message, 'the disk is full')
  isFull = false
  await later(1)
  assert.equal(snapshots.failure, undefined)
  isFull = true
  await later(2)
  assert.deepEqual(told, [failed, 'snapshot written', failed])
  await snapshots.close()
  await later(2)
  assert.equal(attempts, 6)
})
