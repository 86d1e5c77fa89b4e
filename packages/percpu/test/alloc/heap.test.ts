import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, PAGE_BYTES, struct, u32, u64, type Machine } from 'percpu'
import { load32, loadU8, store32, storeU8 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { bytes } from './support/bytes.js'
import { verify } from './support/verify.js'

const Route = struct('Route', { key: u32, port: u32, hits: u64 })
function whole(machine: Machine): void {
  assert.deepEqual(verify(machine).faults, [])
}
function times<Result>(count: number, run: (i: number) => Result): Result[] {
  return Array.from({ length: count }, (_, i) => run(i))
}

describe('pages', () => {
  it('are aligned to the size of their block, up to the end of 8 GiB', () => {
    const machine = boot({ memory: '8 GiB', cpus: 2 })
    const { pages } = machine.heap
    let highest = 0
    for (let order = 0; order <= 10; order++) {
      const address = pages.alloc(order)
      assert.equal(address % (PAGE_BYTES << order), 0)
    }
    for (;;) {
      const address = pages.tryAlloc(10)
      if (address === undefined) break
      highest = Math.max(highest, address)
    }
    assert.ok(highest > 8 * 2 ** 30 - 2 ** 25, `${highest}`)
    store32(machine.memory.i32, highest / 4, 7)
    pages.free(highest, 10)
    whole(machine)
  })

  it('of a large machine are not touched before they are used', () => {
    const before = process.memoryUsage().rss
    const machine = boot({ memory: '8 GiB' })
    for (let i = 0; i < 500; i++) machine.heap.pages.alloc(10, { zero: true })
    assert.ok(process.memoryUsage().rss - before < 64 * 2 ** 20)
  })

  it('are zero if asked for, also those used before', () => {
    const machine = boot({ memory: '1 MiB' })
    for (const order of [0, 2]) {
      for (let turn = 0; turn < 40; turn++) {
        const address = machine.heap.pages.alloc(order, { zero: true })
        for (let word = 0; word < (PAGE_BYTES << order) / 4; word += 64) {
          assert.equal(load32(machine.memory.i32, address / 4 + word), 0)
          store32(machine.memory.i32, address / 4 + word, -1)
        }
        machine.heap.pages.free(address, order)
      }
    }
  })

  it('come from the wanted node, and from the others when it has none', () => {
    const machine = boot({ memory: '8 MiB', nodes: 2, cpus: 4 })
    const nodeOf = (address: number): number => (address < 4 * 2 ** 20 ? 0 : 1)
    assert.equal(nodeOf(machine.heap.pages.alloc(0)), 0)
    assert.equal(nodeOf(machine.heap.pages.alloc(0, { node: 1 })), 1)
    const all = times(300, () => machine.heap.pages.tryAlloc(3, { node: 1 })).filter((at) => at !== undefined)
    assert.deepEqual([...new Set(all.map(nodeOf))], [1, 0])
    const firstOther = all.findIndex((at) => nodeOf(at) === 0)
    assert.ok(all.slice(firstOther).every((at) => nodeOf(at) === 0))
    whole(machine)
  })

  it('are counted as free until they are taken, also those that nobody has touched yet', () => {
    const machine = boot({ memory: '64 MiB' })
    const zone = () => machine.heap.report().zones[0] ?? assert.fail()
    let [compared, before] = [0, zone()]
    for (let i = 0; i < 300; i++) {
      machine.heap.pages.alloc(1)
      const { free, total } = zone()
      // It has not taken more memory for itself.
      if (total === before.total) {
        assert.equal(free, before.free - PAGE_BYTES * 2)
        compared++
      }
      before = { ...zone() }
    }
    assert.ok(compared > 10)
  })

  it('leave boot memory to others until they are needed', () => {
    const machine = boot({ memory: '4 MiB' })
    const free = machine.heap.memblock.report().free
    const large = machine.heap.memblock.alloc({ size: free - 2 ** 20 })
    machine.heap.memblock.free(large)
    for (;;) if (machine.heap.pages.tryAlloc(0) === undefined) break
    assert.ok(machine.heap.memblock.report().largestFree < PAGE_BYTES * 2)
    whole(machine)
  })

  it('that are given back wrongly are refused, and nothing changes', () => {
    const machine = boot({ memory: '2 MiB' })
    const { pages } = machine.heap
    const block = pages.alloc(2)
    const page = pages.alloc(0)
    pages.persist(block)
    const refuse = (run: () => void, code: string): void => {
      throwsCode(run, code)
      whole(machine)
    }
    refuse(() => pages.free(block, 1), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(block + PAGE_BYTES, 0), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(block + 8, 2), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(0, 0), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(2 ** 40, 0), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(NaN, 0), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(block, 11), 'PERCPU_ARGUMENT')
    refuse(() => pages.alloc(-1), 'PERCPU_ARGUMENT')
    refuse(() => pages.alloc(0, { node: 1 }), 'PERCPU_ARGUMENT')
    pages.free(page, 0)
    refuse(() => pages.free(page, 0), 'PERCPU_DOUBLE_FREE')
    pages.free(block, 2)
    refuse(() => pages.free(block, 2), 'PERCPU_DOUBLE_FREE')
    refuse(() => pages.persist(block), 'PERCPU_FOREIGN_ADDRESS')
    const slab = Math.floor(machine.heap.alloc(64) / PAGE_BYTES) * PAGE_BYTES
    refuse(() => pages.free(slab, 0), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => pages.free(machine.heap.alloc(PAGE_BYTES), 1), 'PERCPU_FOREIGN_ADDRESS')
  })
})

describe('alloc', () => {
  it('gives each size its own bytes, aligned as asked for', () => {
    const machine = boot({ memory: '64 MiB' })
    let end = 0
    for (let bytes = 1; bytes <= 2200; bytes += 7) {
      for (const align of [8, 16, 32, 64, 512, 8192]) {
        const address = machine.heap.alloc(bytes, { align })
        assert.equal(address % align, 0, `${bytes} bytes aligned to ${align}`)
        end = Math.max(end, address)
      }
      assert.equal(machine.heap.alloc(bytes) % 8, 0)
    }
    const large = machine.heap.alloc(3_000_000)
    assert.equal(large % (4 * 2 ** 20), 0)
    machine.heap.free(large)
    throwsCode(() => machine.heap.free(large), 'PERCPU_DOUBLE_FREE')
    throwsCode(() => machine.heap.alloc(2 ** 22 + 1), 'PERCPU_OUT_OF_MEMORY', /memblock/)
    for (const bytes of [0, -1, NaN, Infinity, 1.5, '8' as unknown as number])
      throwsCode(() => machine.heap.alloc(bytes, {}), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.heap.alloc(8, { align: 24 }), 'PERCPU_ARGUMENT')
    whole(machine)
  })

  it('zeroes if asked for', () => {
    const machine = boot()
    for (const bytes of [24, 64, 5000]) {
      for (let i = 0; i < 100; i++) {
        const address = machine.heap.alloc(bytes, { zero: true })
        for (let at = 0; at < bytes; at++) assert.equal(loadU8(machine.memory.bytes, address + at), 0)
        for (let at = 0; at < bytes; at++) storeU8(machine.memory.bytes, address + at, 0xff)
        machine.heap.free(address)
      }
    }
  })

  it('throws when there is no room, and goes on once there is', () => {
    const machine = boot({ memory: '512 KiB', cpus: 2 })
    const all: number[] = []
    throwsCode(
      () => {
        for (;;) all.push(machine.heap.alloc(128))
      },
      'PERCPU_OUT_OF_MEMORY',
      /size-128/,
    )
    assert.ok(all.length > 1500, `${all.length}`)
    whole(machine)
    for (const address of all.splice(0, 900)) machine.heap.free(address)
    machine.heap.trim()
    all.push(...times(500, () => machine.heap.alloc(128)))
    for (const address of all) machine.heap.free(address)
    whole(machine)
    machine.heap.trim()
    assert.deepEqual(machine.heap.allocations(), [])
    assert.deepEqual(
      machine.heap.report().caches.map(({ bytes }) => bytes),
      [0],
    )
  })

  it('refuses wrong frees, and nothing changes', () => {
    const machine = boot({ memory: '2 MiB' })
    const other = joinAs(machine, 77)
    const address = machine.heap.alloc(64)
    const refuse = (run: () => void, code: string): void => {
      throwsCode(run, code)
      whole(machine)
    }
    for (const wrong of [0, 8, 4096, address + 8, address + 1, address - 64 * 200, -8, 2 ** 40, NaN, 0.5])
      refuse(() => machine.heap.free(wrong), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => machine.heap.cache('other', Route).free(address), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => other.heap.persist(address), 'PERCPU_FOREIGN_ADDRESS')
    refuse(() => other.heap.adopt(address), 'PERCPU_FOREIGN_ADDRESS')
    machine.heap.persist(address)
    other.heap.free(address)
    refuse(() => machine.heap.free(address), 'PERCPU_DOUBLE_FREE')
    refuse(() => other.heap.free(address), 'PERCPU_DOUBLE_FREE')
    refuse(() => machine.heap.persist(address), 'PERCPU_DOUBLE_FREE')
  })

  it('inside a section that is taken back stays, and can be freed', () => {
    const machine = boot()
    const taken: number[] = []
    assert.throws(() =>
      machine.locks.mutex('m').run(() => {
        taken.push(...times(200, () => machine.heap.alloc(64)))
        throw new Error('no')
      }),
    )
    whole(machine)
    for (const address of taken) machine.heap.free(address)
    whole(machine)
  })
})

describe('a cache', () => {
  it('has objects of its struct, for all threads', () => {
    const machine = boot({ cpus: 3 })
    const other = joinAs(machine, 77)
    const routes = machine.heap.cache('route', Route)
    const address = routes.alloc({ zero: true })
    assert.equal(address % Route.align, 0)
    Route.at(machine.memory, address).port = 80
    routes.persist(address)
    assert.equal(other.heap.cache('route', Route).name, 'route')
    other.heap.cache('route', Route).free(address)
    throwsCode(() => routes.free(address), 'PERCPU_DOUBLE_FREE')
    const other4 = struct('Other', { a: u32 })
    const alike = struct('Other', { key: u32, port: u32, other: u64 })
    throwsCode(() => other.heap.cache('route', other4), 'PERCPU_CACHE_MISMATCH', /, not of 4 aligned to 8$/)
    throwsCode(() => other.heap.cache('route', alike), 'PERCPU_CACHE_MISMATCH', /, of another layout$/)
    throwsCode(() => machine.heap.cache('size-8', Route), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.heap.cache('', Route), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.heap.cache('big', bytes(2 ** 20)), 'PERCPU_ARGUMENT')
    whole(machine)
  })

  it('begins its slabs at different lines', () => {
    const machine = boot({ memory: '64 MiB' })
    const cache = machine.heap.cache('coloured', bytes(700))
    const slabs = new Map<number, number>()
    for (let i = 0; i < 3000; i++) {
      const address = cache.alloc()
      const slab = Math.floor(address / 32768)
      slabs.set(slab, Math.min(slabs.get(slab) ?? Infinity, address % 32768))
    }
    const starts = new Set(slabs.values())
    for (const start of starts) assert.equal(start % 64, 0)
    assert.equal(starts.size, 3)
    whole(machine)
  })

  it('gives the pages of empty slabs back', () => {
    const machine = boot({ memory: '16 MiB' })
    const cache = machine.heap.cache('c', bytes(64))
    const all = times(5000, () => cache.alloc())
    const most = machine.heap.report().caches[0]?.bytes ?? 0
    for (const address of all) cache.free(address)
    // One is kept, beside those of what is in the magazine.
    assert.ok((machine.heap.report().caches[0]?.bytes ?? Infinity) < most / 4)
    cache.trim()
    assert.equal(machine.heap.report().caches[0]?.bytes, 0)
    whole(machine)
  })

  it('of which a machine has too many is refused', () => {
    const machine = boot({ memory: '64 MiB', cpus: 1 })
    throwsCode(
      () => {
        for (let i = 0; ; i++) machine.heap.cache(`c${i}`, Route)
      },
      'PERCPU_OUT_OF_MEMORY',
      /256/,
    )
    whole(machine)
  })
})

describe('what is in flight', () => {
  it('ends with the incarnation of its CPU, what is kept does not', async () => {
    const machine = boot({ cpus: 3, memory: '8 MiB' })
    for (const dies of [true, false]) {
      const other = joinAs(machine, 77)
      const number = other.cpu
      const [kept, lost] = [other.heap.alloc(64), other.heap.alloc(64)]
      const [page, large] = [other.heap.pages.alloc(1), other.heap.alloc(10_000)]
      other.heap.persist(kept)
      assert.deepEqual(
        machine.heap
          .allocations()
          .map((each) => [each.address, each.cpu, each.persistent])
          .sort(),
        [
          [kept, number, true],
          [lost, number, false],
          [large, number, false],
        ].sort(),
      )
      if (dies) machine.cpus.declareDead(number)
      else await other.offline()
      whole(machine)
      assert.deepEqual(
        machine.heap.allocations().map(({ address }) => address),
        [kept],
      )
      throwsCode(() => machine.heap.pages.free(page, 1), 'PERCPU_DOUBLE_FREE')
      machine.heap.free(kept)
      assert.deepEqual(machine.heap.allocations(), [])
    }
  })
})

describe('the debug mode', () => {
  it('finds writes outside an object and into a free one', () => {
    const machine = boot({ debugHeap: true, memory: '8 MiB' })
    for (const at of [-1, 40, 41]) {
      const address = machine.heap.alloc(40, { label: 'victim' })
      const before = loadU8(machine.memory.bytes, address + at)
      storeU8(machine.memory.bytes, address + at, 1)
      throwsCode(() => machine.heap.free(address), 'PERCPU_HEAP_CORRUPTION', /victim/)
      throwsCode(() => machine.heap.allocations(), 'PERCPU_HEAP_CORRUPTION')
      storeU8(machine.memory.bytes, address + at, before)
      machine.heap.free(address)
      storeU8(machine.memory.bytes, address + 3, 1)
      throwsCode(() => machine.heap.alloc(40), 'PERCPU_HEAP_CORRUPTION', /after it was freed/)
      storeU8(machine.memory.bytes, address + 3, 0x6b)
      machine.heap.free(machine.heap.alloc(40))
      whole(machine)
    }
  })

  it('fills what it gives out and takes back, so that nobody takes it for zero', () => {
    const machine = boot({ debugHeap: true, memory: '8 MiB' })
    const address = machine.heap.alloc(40)
    const { bytes } = machine.memory
    for (let at = 0; at < 40; at++) assert.equal(loadU8(bytes, address + at), 0x5a)
    machine.heap.free(address)
    for (let at = 0; at < 40; at++) assert.equal(loadU8(bytes, address + at), 0x6b)
  })

  it('says whose object was written outside of, and that nobody holds a free one', () => {
    const machine = boot({ debugHeap: true, memory: '8 MiB' })
    const detailsOf = (call: () => unknown): object => {
      try {
        call()
      } catch (error) {
        return (error as { details: object }).details
      }
      return assert.fail()
    }
    const address = machine.heap.alloc(40, { label: 'victim' })
    storeU8(machine.memory.bytes, address + 40, 1)
    const found = { address, cache: 'size-48', label: 'victim' }
    const details = detailsOf(() => machine.heap.free(address))
    assert.deepEqual(details, { ...found, at: address + 40, cpu: 0, incarnation: 1 })
    storeU8(machine.memory.bytes, address + 40, 0xbb)
    machine.heap.free(address)
    storeU8(machine.memory.bytes, address, 1)
    assert.deepEqual(
      detailsOf(() => machine.heap.alloc(40)),
      { ...found, at: address },
    )
  })

  it('says who holds what for what', () => {
    const machine = boot({ debugHeap: true, cpus: 2 })
    const other = joinAs(machine, 77)
    const address = other.heap.cache('route', Route).alloc({ label: 'session', zero: true })
    machine.heap.alloc(16, { label: 'buffer' })
    assert.equal(load32(machine.memory.i32, address / 4), 0)
    assert.deepEqual(
      machine.heap
        .allocations()
        .map(({ cache, cpu, incarnation, label, size }) => ({ cache, cpu, incarnation, label, size })),
      [
        { cache: 'route', cpu: 1, incarnation: other.cpus.incarnation, label: 'session', size: 16 },
        { cache: 'size-16', cpu: 0, incarnation: 1, label: 'buffer', size: 16 },
      ],
    )
    throwsCode(() => machine.heap.alloc(8, { label: 'x'.repeat(45) }), 'PERCPU_ARGUMENT')
    for (let i = 0; i < 300; i++) machine.heap.free(machine.heap.alloc(8, { label: `label ${i}` }))
    whole(machine)
  })
})

describe('when an allocation finds no pages', () => {
  /** From the call with this number on, the page allocator has nothing; returns the way back. */
  function failFrom(machine: Machine, call: number): () => void {
    const { pages } = machine.heap
    const tryAlloc = pages.tryAlloc.bind(pages)
    let calls = 0
    pages.tryAlloc = (...request) => (calls++ < call ? tryAlloc(...request) : undefined)
    return () => void (pages.tryAlloc = tryAlloc)
  }
  const operations: Readonly<Record<string, (machine: Machine) => unknown>> = {
    'of objects': (machine) => times(700, () => machine.heap.alloc(64)),
    'of a new cache': (machine) => machine.heap.cache('new', Route),
    'of a large block': (machine) => machine.heap.alloc(100_000),
    'of a cache that exists': (machine) => machine.heap.cache('old', Route).alloc(),
  }
  for (const [name, run] of Object.entries(operations)) {
    it(`${name}, everything is as before`, () => {
      let failures = 0
      for (let calls = 0; ; calls++) {
        const machine = boot({ memory: '4 MiB' })
        machine.heap.cache('old', Route)
        const known = machine.heap.alloc(64, { persist: true })
        const before = verify(machine)
        const recover = failFrom(machine, calls)
        const taken: unknown[] = []
        let failed = false
        try {
          taken.push(run(machine))
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'PERCPU_OUT_OF_MEMORY')
          failed = true
        }
        recover()
        if (!failed) break
        failures++
        const own = machine.heap.allocations().filter(({ address }) => address !== known)
        for (const { address } of own) machine.heap.free(address)
        machine.heap.trim()
        const after = verify(machine)
        assert.deepEqual(after.faults, [])
        assert.deepEqual([...after.objects], [...before.objects])
        assert.deepEqual([...after.blocks], [...before.blocks])
      }
      assert.ok(failures > 0)
    })
  }
})
