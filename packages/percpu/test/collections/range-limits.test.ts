/** What a map of ranges refuses, how long its views last, and what happens when memory is full. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { RangeView, SharedRangeMap } from 'percpu'
import { forEachAccessAsync, fresh, interrupt, joinAs, mem, percpu } from '../support/hooked-percpu.js'
import { muteKilled } from './support/victims.js'

const {
  ArgumentError,
  EntryTooLargeError,
  MapMismatchError,
  OfflineError,
  OutOfMemoryError,
  UnansweredError,
  ViewEndedError,
} = percpu
const { fillBytes: fill } = mem
const texts = { key: 'u32', value: 'string' } as const
const numbers = { key: 'u32', value: 'u32' } as const

/** The class whose methods fail in some tests. */
const callbacksModule = async (): Promise<{
  Callbacks: { prototype: { free: unknown; reserve: unknown } }
}> =>
  (await import(new URL('rcu/callbacks.js', import.meta.resolve('percpu')).href)) as Awaited<
    ReturnType<typeof callbacksModule>
  >

/** How much there is, beside the pages of lists of what is to be freed. */
const sizes = ({ heap }: { heap: ReturnType<typeof fresh>['heap'] }): number =>
  heap.allocations().filter(({ size }) => size < 4096).length

describe('a map of ranges refuses', () => {
  it('what is no range, and changes nothing', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.rangeMap('m', texts)
    map.set(10, 20, 'a')
    await map.barrier()
    const before = sizes(machine)
    assert.throws(() => map.set(5, 4, 'x'), ArgumentError)
    assert.throws(() => map.set(5, 6, undefined as never), ArgumentError)
    assert.throws(() => map.entries({ from: 5, to: 4 }), ArgumentError)
    assert.throws(
      () =>
        map.load([
          [5, 6, 'a'],
          [6, 7, 'b'],
        ]),
      ArgumentError,
    )
    assert.throws(
      () =>
        map.replace([
          [5, 6, 'a'],
          [1, 2, 'b'],
        ]),
      ArgumentError,
    )
    assert.throws(
      () =>
        map.batch([
          [1, 2, 'c'],
          [3, -1, 'd'],
        ]),
      ArgumentError,
    )
    assert.throws(() => map.batch((async () => Promise.resolve()) as never), ArgumentError)
    assert.throws(() => map.snapshot(() => Promise.resolve()), ArgumentError)
    const failing = function* (): Generator<[number, number, string]> {
      for (let i = 0; i < 200; i++) yield [i * 2, i * 2, 'x']
      throw new RangeError('in the middle')
    }
    assert.throws(() => map.load(failing()), RangeError)
    assert.throws(() => map.batch(failing()), RangeError)
    assert.throws(() => machine.rangeMap('m', numbers), MapMismatchError)
    const bytes = machine.rangeMap('bytes', { key: 'bytes', value: 'i32' })
    assert.throws(() => bytes.lookup(new Uint8Array(256)), EntryTooLargeError)
    assert.deepEqual([...map], [{ from: 10, to: 20, value: 'a' }])
    assert.equal(map.version, 1)
    map.verify()
    await map.barrier()
    // The other map.
    assert.ok(sizes(machine) <= before + 1)
    await machine.offline()
    assert.throws(() => map.lookup(5), OfflineError)
    assert.throws(() => map.set(5, 5, 'a'), OfflineError)
  })

  it('a list of three without a value, which is no list of two', () => {
    const map = fresh({ memory: '1 MiB' }).rangeMap('m', texts)
    map.set(10, 20, 'a')
    assert.throws(() => map.batch([[10, 20, undefined as never]]), ArgumentError)
    assert.equal(map.lookup(15), 'a')
    map.batch([[12, 14]])
    assert.deepEqual([map.lookup(13), map.lookup(15)], [undefined, 'a'])
  })

  it('what memory has no room for, and changes nothing', async () => {
    const machine = fresh({ memory: '512 KiB' })
    const map = machine.rangeMap('m', texts)
    let count = 0
    const one = (i: number): readonly [number, number, string] => [
      i * 10,
      i * 10 + 3,
      'x'.repeat(400) + String(i),
    ]
    assert.throws(() => {
      for (; count < 5000; count++) map.set(...one(count))
    }, OutOfMemoryError)
    assert.throws(() => map.set(...one(count)), /map\.barrier\(\)/)
    assert.ok(count > 20)
    map.verify()
    assert.equal(map.size, count)
    assert.equal(map.last()?.value, one(count - 1)[2])
    assert.throws(() => map.load(Array.from({ length: 3000 }, (_, i) => one(i))), OutOfMemoryError)
    assert.equal(map.size, count)
    await map.barrier()
    map.clear()
    await map.barrier()
    machine.heap.verify({ quiet: true })
    assert.equal(sizes(machine), 1)
  })
})

describe('a key of 128 bits', () => {
  it('may be given as words, and is the bigint that they make', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.rangeMap('m', { key: 'u128', value: 'u32' })
    const words = (key: bigint): Uint32Array =>
      Uint32Array.from([96n, 64n, 32n, 0n], (bits) => Number((key >> bits) & 0xffffffffn))
    // Some share their upper bits, or their words.
    const keys = [0n, 1n, 2n ** 32n - 1n, 2n ** 64n, 2n ** 75n - 1n, 2n ** 75n, 2n ** 127n, 2n ** 128n - 1n]
    const many = [...keys, ...Array.from({ length: 200 }, (_, i) => (0x20010db8n << 96n) + BigInt(i * 3))]
    for (const [i, key] of many.entries()) map.set(words(key), words(key), i)
    map.verify()
    for (const [i, key] of many.entries()) {
      assert.equal(map.lookup(words(key)), i)
      assert.equal(map.lookup(key), i)
      assert.deepEqual(map.find(words(key)), { from: key, to: key, value: i })
      assert.deepEqual(map.before(words(key)), map.before(key))
      assert.deepEqual(map.after(words(key)), map.after(key))
      assert.deepEqual(map.nearest(words(key)), map.nearest(key))
      assert.deepEqual([...map.entries({ from: words(key), to: words(key) })].length, 1)
      const next = key + 1n
      if (next < 2n ** 128n) assert.equal(map.lookup(words(next)), map.find(next)?.value)
    }
    map.batch([[words(5n), words(6n), 7]])
    assert.equal(map.delete(words(5n), words(5n)), true)
    assert.deepEqual(map.find(6n), { from: 6n, to: 6n, value: 7 })
    map.load([[words(1n), words(2n ** 100n), 8]])
    assert.deepEqual([...map], [{ from: 1n, to: 2n ** 100n, value: 8 }])
    for (const wrong of [new Uint32Array(3), new Uint32Array(5), new Int32Array(4), [0, 0, 0, 1], 1])
      for (const call of ['lookup', 'find', 'before', 'after', 'nearest'] as const)
        assert.throws(() => map[call](wrong as never), ArgumentError)
    await machine.offline()
  })
})

describe('a change of a map of ranges', () => {
  it('that was published stays, also if what frees the version before fails behind it', async () => {
    const { Callbacks } = (await import(new URL('rcu/callbacks.js', import.meta.resolve('percpu')).href)) as {
      Callbacks: { prototype: { free: unknown } }
    }
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.rangeMap('m', texts)
    const list = Array.from({ length: 30 }, (_, i) => [i * 10, i * 10 + 4, `value ${i}`] as const)
    map.load(list)
    const { free } = Callbacks.prototype
    Callbacks.prototype.free = () => {
      throw new RangeError('full')
    }
    try {
      assert.throws(() => map.set(1000, 1001, 'new'), RangeError)
      assert.throws(() => map.load([...list, [2000, 2001, 'newer']]), RangeError)
    } finally {
      Callbacks.prototype.free = free
    }
    for (let i = 0; i < 50; i++) fill(machine.memory, machine.heap.alloc(64, { align: 64 }), 64, 0xff)
    map.verify()
    assert.equal(map.lookup(1000), undefined)
    assert.equal(map.lookup(2000), 'newer')
    assert.equal(map.lookup(54), 'value 5')
    map.set(1000, 1000, 'after')
    await map.barrier()
    map.verify()
    machine.heap.verify({ quiet: true })
  })
})

describe('with memory full a map of ranges', () => {
  const fillUp = ({ heap }: ReturnType<typeof fresh>): number[] => {
    const taken: number[] = []
    for (const bytes of [65536, 4096, 512, 64, 8])
      for (;;)
        try {
          taken.push(heap.alloc(bytes))
        } catch (error) {
          assert.ok(error instanceof OutOfMemoryError)
          break
        }
    return taken
  }
  it('ends them also if there is no room for what is to be freed', async () => {
    const { Callbacks } = await callbacksModule()
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.rangeMap('m', texts)
    map.load(Array.from({ length: 40 }, (_, i) => [i * 10, i * 10 + 3, `value ${i}`] as const))
    const { reserve } = Callbacks.prototype
    Callbacks.prototype.reserve = () => false
    try {
      assert.throws(() => map.set(0, 5, 'new'), OutOfMemoryError)
      assert.ok(map.delete(0, 5))
      assert.equal(map.size, 39)
      map.clear()
    } finally {
      Callbacks.prototype.reserve = reserve
    }
    assert.equal(map.size, 0)
    await map.barrier()
    assert.equal(sizes(machine), 1)
    machine.heap.verify({ quiet: true })
  })

  const ends: Readonly<Record<string, (map: SharedRangeMap<number, string>) => unknown>> = {
    clear: (map) => {
      map.clear()
    },
    'delete of all': (map) => map.delete(0, 2 ** 32 - 1),
    'a batch that ends with nothing': (map) =>
      map.batch([
        [5, 6, 'x'],
        [0, 2 ** 32 - 1],
      ]),
  }
  for (const [name, end] of Object.entries(ends))
    it(`loses all its ranges by ${name}`, async () => {
      const machine = fresh({ memory: '2 MiB' })
      const map = machine.rangeMap('m', texts)
      const before = sizes(machine)
      for (const count of [3000, 40, 1]) {
        map.load(Array.from({ length: count }, (_, i) => [i * 10, i * 10 + 3, `value ${i}`] as const))
        await map.barrier()
        const taken = fillUp(machine)
        assert.throws(() => map.set(5, 6, 'y'.repeat(5000)), OutOfMemoryError)
        const { version } = map
        end(map)
        assert.equal(map.size, 0)
        assert.equal(map.lookup(0), undefined)
        assert.equal(map.version, version + 1)
        map.verify()
        for (const address of taken) machine.heap.free(address)
        await map.barrier()
        // The version without ranges.
        assert.equal(sizes(machine), before + 1)
        machine.heap.verify({ quiet: true })
      }
    })
})

describe('a view of a map of ranges', () => {
  it('is of one version, and ends with its callback', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const other = joinAs(machine, 100)
    const map = machine.rangeMap('m', texts)
    const writer = other.rangeMap('m', texts)
    map.set(0, 9, 'a')
    let kept: RangeView<number, string> | undefined
    map.snapshot((view) => {
      kept = view
      writer.set(0, 9, 'b')
      assert.equal(view.lookup(5), 'a')
      assert.equal(map.lookup(5), 'b')
      assert.deepEqual([...view], [{ from: 0, to: 9, value: 'a' }])
      assert.equal(view.version + 1, map.version)
    })
    assert.throws(() => kept?.lookup(5), ViewEndedError)
    assert.throws(() => kept?.size, ViewEndedError)

    let end: () => void = () => undefined
    const work = new Promise<void>((resolve) => (end = resolve))
    const held = map.hold(async (view) => {
      await work
      const found = [...view.entries({ reverse: true })]
      return [view.lookup(5), found.length, view.size] as const
    })
    writer.set(5, 5, 'c')
    writer.clear()
    await assert.rejects(writer.barrier({ timeout: 50 }), UnansweredError)
    end()
    assert.deepEqual(await held, ['b', 1, 1])
    await writer.barrier()
    assert.equal(sizes(machine), 1)
    await assert.rejects(
      map.hold(() => Promise.reject(new RangeError('mine'))),
      RangeError,
    )
  })

  it('is not needed to go through the ranges while they are changed', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.rangeMap('m', numbers)
    for (let i = 0; i < 200; i++) map.set(i * 10, i * 10 + 4, i)
    const seen: number[] = []
    // In one stretch it is one version.
    for (const { from, to, value } of map) {
      seen.push(value)
      map.delete(from, to)
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 200 }, (_, i) => i),
    )
    assert.equal(map.size, 0)
    for (let i = 0; i < 200; i++) map.set(i * 10, i * 10 + 4, i)
    for (const reverse of [false, true]) {
      seen.length = 0
      for (const { value } of map.entries({ reverse })) {
        seen.push(value)
        if (value % 40 === 0) {
          map.set(995, 996, 1000 + value)
          await map.barrier()
        }
      }
      assert.deepEqual(
        seen.filter((value) => value < 1000).sort((a, b) => a - b),
        Array.from({ length: 200 }, (_, i) => i),
      )
    }
  })
})

describe('going through a map of ranges', () => {
  before(muteKilled)
  it('begins with a version that is replaced meanwhile, or with that after it', async () => {
    const points = await forEachAccessAsync(async (at) => {
      const machine = fresh({ memory: '512 KiB', cpus: 2 })
      const other = joinAs(machine, 100)
      const map: SharedRangeMap<number, number> = machine.rangeMap('m', numbers)
      const writer = other.rangeMap('m', numbers)
      map.load([
        [0, 4, 1],
        [5, 9, 2],
        [20, 29, 3],
      ])
      let ranges: Iterable<{ value: number }> = []
      const isThere = interrupt(
        () => (ranges = map.entries()),
        at,
        () => {
          writer.load([
            [0, 4, 11],
            [5, 9, 12],
            [20, 29, 13],
          ])
          // Its grace period begins before this thread goes on.
          void other.rcu.startPoll()
        },
      )
      await writer.barrier()
      // What was freed is something else now.
      for (let i = 0; i < 40; i++) fill(machine.memory, machine.heap.alloc(64, { align: 64 }), 64, 77)
      const found = [...ranges].map(({ value }) => value).join()
      assert.ok(found === '1,2,3' || found === '11,12,13', `access ${at}: ${found}`)
      return isThere
    })
    assert.ok(points >= 2)
  })
})

it('a change before a large gap does not go through the gap, nor one of a large range through it', async () => {
  const machine = fresh({ memory: '16 MiB', cpus: 2 })
  const map = machine.rangeMap('m', numbers)
  map.load(Array.from({ length: 3000 }, (_, i) => [i * 10, i * 10 + 4, i] as const))
  await map.barrier()
  const last = countAccesses(() => map.set(29_990, 29_994, 7))
  await map.barrier()
  const large = countAccesses(() => map.set(2 ** 28, 2 ** 32 - 1, 7))
  assert.equal(map.lookup(2 ** 31), 7)
  // Some are those of 4096 words that a version has, and of a page with 3000 steps.
  for (const count of [last, large]) assert.ok(count < 60_000, `${count} accesses`)
})

function countAccesses(run: () => unknown): number {
  let count = 0
  mem.control.before = () => {
    count++
  }
  try {
    run()
  } finally {
    mem.control.before = undefined
  }
  return count
}
