/** Who listens to a map is told of changes, of whatever thread, also if that one is killed. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { SharedMap } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, killAt, percpu } from '../support/hooked-percpu.js'
import { keysOf, options } from './support/buckets.js'
import { bury, muteKilled } from './support/victims.js'

const { ArgumentError, OfflineError } = percpu
type Numbers = SharedMap<number, number>

/** Waits until `isSo`, for 10 s at most. */
async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!isSo()) {
    assert.ok(performance.now() < end, 'nobody was told')
    await sleep(1)
  }
}
/** What a listener was told of a key. */
function told(
  map: Numbers,
  key: number,
): { readonly values: (number | undefined)[]; readonly off: () => void } {
  const values: (number | undefined)[] = []
  const off = map.watch(key, (value) => {
    values.push(value)
  })
  return { values, off }
}

describe('a listener', () => {
  it('is told values that are set, replaced and deleted by others, and by its own thread', async () => {
    const machine = fresh()
    const map = machine.map('m', options)
    const other = joinAs(machine, 101).map('m', options)
    map.set(1, 1)
    const { values, off } = told(map, 1)
    const theirs = told(other, 1)
    const second = told(map, 2)
    for (const [writer, value] of [
      [other, 5],
      [map, 6],
      [other, undefined],
      [map, 7],
    ] as const) {
      if (value === undefined) writer.delete(1)
      else writer.set(1, value)
      await until(() => values.at(-1) === value && theirs.values.at(-1) === value)
    }
    other.set(1, 7)
    map.set(3, 1)
    other.clear()
    await until(() => values.at(-1) === undefined)
    assert.deepEqual(values.slice(0, 4), [5, 6, undefined, 7])
    assert.deepEqual(second.values, [])
    for (const end of [off, off, theirs.off, second.off]) end()
    map.set(1, 9)
    await sleep(20)
    assert.equal(values.at(-1), undefined)
  })

  it('hears that something has changed, once for all that changes in a row', async () => {
    const machine = fresh()
    const map = machine.map('m', options)
    const other = joinAs(machine, 101).map('m', options)
    let changes = 0
    const stop = new AbortController()
    map.on('change', () => changes++, { signal: stop.signal })
    for (let i = 0; i < 100; i++) other.set(i, i)
    await until(() => changes > 0)
    await sleep(20)
    assert.ok(changes <= 3, `${changes} times`)
    const before = changes
    map.get(5)
    map.delete(1000)
    await sleep(20)
    assert.equal(changes, before)
    map.compareAndSet(5, 5, undefined)
    await until(() => changes > before)
    stop.abort()
    const after = changes
    other.clear()
    await sleep(20)
    assert.equal(changes, after)
    map.on('change', () => changes++, { signal: stop.signal })
    other.set(1, 1)
    await sleep(20)
    assert.equal(changes, after)
  })

  it('is called no more once its thread has left, and nothing keeps that', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const map = leaver.map('m', options)
    let isTold = false
    map.on('change', () => (isTold = true))
    await leaver.offline()
    machine.map('m', options).set(1, 1)
    await sleep(10)
    assert.ok(!isTold)
    assert.throws(() => map.on('change', () => undefined), OfflineError)
    assert.throws(() => map.watch(1, () => undefined), OfflineError)
  })

  it('may listen anew, and to more, while it is told', async () => {
    const map = fresh().map('m', options)
    const values: unknown[] = []
    const stop = new AbortController()
    const off = map.watch(1, (value) => {
      off()
      values.push(value)
      const listener = (later: unknown): void => {
        values.push([later])
      }
      map.watch(1, listener, { signal: stop.signal })
      map.set(1, 2)
    })
    map.set(1, 1)
    await until(() => values.length === 2)
    assert.deepEqual(values, [1, [2]])
    map.set(1, 3)
    await until(() => values.length === 3)
    process.nextTick(() => map.clear())
    await until(() => values.length === 4)
    stop.abort()
  })

  it('is not told of what was before it listened', async () => {
    const map = fresh().map('m', options)
    const stop = new AbortController()
    let first = 0
    let second = 0
    const off = map.on('change', () => first++)
    map.set(1, 1)
    map.on('change', () => second++, { signal: stop.signal })
    await until(() => first === 1)
    off()
    map.on('change', () => second++, { signal: stop.signal })
    await sleep(20)
    assert.deepEqual([first, second], [1, 0])
    map.set(1, 2)
    await until(() => second === 2)
    stop.abort()
  })

  it('keeps no entry in a cache', async () => {
    const map = fresh().map('cache', { key: 'i32', value: 'i32', capacity: 10 })
    map.set(0, 7)
    const { values, off } = told(map, 0)
    for (let i = 1; i < 400 && values.length === 0; i++) {
      map.set(i, i)
      if (i % 10 === 0) await sleep(1)
    }
    await until(() => values.length === 1)
    assert.deepEqual(values, [undefined])
    off()
  })

  it('keeps a key of bytes as it was', async () => {
    const map = fresh().map('bytes', { key: 'bytes', value: 'i32' })
    const key = Uint8Array.of(1, 2)
    let found: unknown[] | undefined
    const off = map.watch(key, (value, own) => {
      found = [value, Uint8Array.from(own)]
      own[0] = 9
    })
    key[0] = 9
    for (const value of [5, 6]) {
      map.set(Uint8Array.of(1, 2), value)
      await until(() => found?.[0] === value)
      assert.deepEqual(found, [value, Uint8Array.of(1, 2)])
    }
    off()
  })

  it('must be one, and listen to something that there is', () => {
    const map = fresh().map('m', options)
    for (const listener of [undefined, null, 5, {}]) {
      assert.throws(() => map.on('change', listener as never), ArgumentError)
      assert.throws(() => map.watch(1, listener as never), ArgumentError)
    }
    assert.throws(() => map.on('set' as never, () => undefined), ArgumentError)
    assert.throws(() => map.watch('1' as never, () => undefined), ArgumentError)
    for (const wrong of [null, 5, { signal: 5 }, { once: true }]) {
      assert.throws(() => map.on('change', () => undefined, wrong as never), ArgumentError)
      assert.throws(() => map.watch(1, () => undefined, wrong as never), ArgumentError)
    }
  })

  it('hears what other threads do as fast as they can, to the last', async () => {
    const machine = percpu.boot({ cpus: 4, memory: '8 MiB' })
    const map = machine.map('m', { key: 'i32', value: 'i32' })
    const last = told(map, 0)
    const workers = [1, 2].map(
      (id) =>
        new Worker(new URL('./support/changing-worker.js', import.meta.url), {
          workerData: { handle: machine.handle, id, count: 20_000 },
        }),
    )
    for (const worker of workers) machine.supervise(worker)
    await Promise.all(workers.map((worker) => once(worker, 'exit')))
    await until(() => last.values.at(-1) === map.get(0))
    last.off()
    await machine.offline()
  })
})

describe('a thread killed before any access', () => {
  before(muteKilled)
  const [first = 0, second = 0] = keysOf(0, 2)
  const scenes: Readonly<Record<string, (map: Numbers) => unknown>> = {
    inserting: (map) => map.set(second, 5),
    replacing: (map) => map.set(first, 5),
    deleting: (map) => map.delete(first),
    taking: (map) => map.take(first),
  }
  for (const [name, change] of Object.entries(scenes))
    it(`of ${name} is heard if it has done it`, async () => {
      let heard = 0
      const points = await forEachAccessAsync(async (at) => {
        const machine = fresh({ memory: '512 KiB', cpus: 4 })
        const victim = joinAs(machine, 101)
        const map = machine.map('m', options)
        const dying = victim.map('m', options)
        dying.set(first, 1)
        const state = new Map(map)
        const watched = [first, second].map((key) => {
          const { values, off } = told(map, key)
          return { key, values, off }
        })
        const killed = killAt(() => change(dying), at, victim)
        if (killed) {
          bury(victim)
          machine.cpus.declareDead(1)
        }
        for (const { key, values, off } of watched) {
          const value = map.get(key)
          if (value !== state.get(key)) {
            heard++
            await until(() => values.length === 1 && values[0] === value)
          }
          off()
        }
        if (!killed) await victim.offline()
        return killed
      })
      assert.ok(points > 15 && heard > 1, JSON.stringify({ points, heard }))
    })
})
