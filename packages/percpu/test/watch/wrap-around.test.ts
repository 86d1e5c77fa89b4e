/** Counts of the watch layer that pass their largest value: each starts shortly before it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { storeAtomic32, storeBigU32, loadAtomic32 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'

const { readDispatchLog } = await import('../../dist/watch/dispatch-log.js')
const { CpuWatch, DispatchEntry, LOG_ENTRIES, LOG_SIZE, LOG_WRAP } =
  await import('../../dist/watch/vpa-layout.js')

describe('the dispatch log', () => {
  it('is read in its order when the number of its entries begins anew', () => {
    const machine = fresh()
    const { memblock } = machine.heap
    const log = memblock.alloc({ size: LOG_SIZE, align: 4096 })
    const watch = memblock.alloc({ size: CpuWatch.stride }) / 4
    const { bytes, i32 } = machine.memory
    // Entry number n has kind 4 and subject n mod 85.
    for (let i = 0; i < LOG_ENTRIES; i++) {
      storeBigU32(bytes, log + i * DispatchEntry.size, 4 << 24)
      storeBigU32(bytes, log + i * DispatchEntry.size + DispatchEntry.offsets.srr0 + 4, i)
    }
    const read = (entries: number, since?: number): readonly [readonly number[], number, number] => {
      storeAtomic32(i32, watch + CpuWatch.words.entries, entries)
      const reading = readDispatchLog(machine.memory, log, watch, since)
      return [reading.entries.map(({ subject }) => subject), reading.next, reading.lost]
    }
    assert.deepEqual(read(LOG_WRAP - 1, LOG_WRAP - 3), [[82, 83], LOG_WRAP - 1, 0])
    assert.deepEqual(read(2, LOG_WRAP - 1), [[84, 0, 1], 2, 0])
    assert.deepEqual(read(3, 2), [[2], 3, 0])
    assert.deepEqual(read(50, LOG_WRAP - 60)[2], 110 - 84)
  })
})

describe('a heartbeat', () => {
  for (const start of [2 ** 31 - 2, -2])
    it(`answers pings that are counted past ${start}`, async () => {
      const machine = fresh()
      joinAs(machine, 101)
      const { address = 0 } = machine.watch.structs().find(({ name }) => name === 'cpu[1].watch') ?? {}
      const watch = address / 4
      const { i32 } = machine.memory
      const word = (name: 'ping' | 'pong'): number => loadAtomic32(i32, watch + CpuWatch.words[name])
      storeAtomic32(i32, watch + CpuWatch.words.ping, start)
      storeAtomic32(i32, watch + CpuWatch.words.pong, start)
      const monitor = machine.watch.monitor({ interval: 2, blockedAfter: 60_000 })
      const isPast = (): boolean => start < 0 !== word('pong') < 0
      for (let i = 0; i < 2000 && !isPast(); i++) await new Promise((resolve) => setTimeout(resolve, 1))
      monitor.stop()
      assert.ok(isPast())
    })
})
