/** What users have of per-CPU memory: handles, names and pointers, and reports. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { address, array, atomic, boot, f64, i16, i32, struct, u32, u64, u8 } from 'percpu'
import { loadAtomic32, store32 } from 'percpu/mem'
import { backendOf } from './support/inside.js'
import { kinds } from './support/kinds.js'
import { fresh, joinAs } from '../support/machines.js'

const Hits = struct('Hits', { count: i32, bytes: f64, last: u64 })

for (const { name, options } of kinds) {
  describe(`per-CPU memory, ${name}`, () => {
    it('has a copy for each possible CPU, all zero', () => {
      const machine = fresh(options)
      const hits = machine.percpu(Hits)
      for (const [cpu, copy] of hits) {
        assert.deepEqual(copy.toObject(), { count: 0, bytes: 0, last: 0n })
        copy.count = cpu + 1
        copy.last = 2n
      }
      assert.equal(hits.local.count, 1)
      const { length } = machine.cpus.possible
      assert.equal(hits.sum('count'), (length * (length + 1)) / 2)
      assert.equal(hits.sum('last'), 2n * BigInt(length))
      hits.local.count++
      assert.equal(hits.of(0).count, 2)
    })

    it('gives what it is asked for, up to a unit, at any alignment up to a page', () => {
      const machine = fresh(options)
      const { unitBytes } = machine.percpu.report()
      for (const bytes of [1, 4, 5, 4096, 4097, unitBytes]) {
        const pointer = machine.percpu.alloc(bytes, { align: 4096 })
        assert.ok(pointer > 0 && pointer < 2 ** 31)
        for (const cpu of machine.cpus.possible) assert.equal(machine.percpu.address(pointer, cpu) % 4096, 0)
        assert.equal(machine.percpu.sizeOf(pointer), Math.ceil(bytes / 4) * 4)
        machine.percpu.verify()
        machine.percpu.free(pointer)
      }
      const refused: [number, object?][] = [
        [0],
        [1.5],
        [unitBytes + 1],
        [NaN],
        [4, { align: 3 }],
        [4, { align: 8192 }],
      ]
      for (const [bytes, request] of refused)
        assert.throws(() => machine.percpu.alloc(bytes, request), { code: 'PERCPU_ARGUMENT' })
      for (const pointer of [0, 1, -1, 2 ** 31, 1.5, NaN])
        assert.throws(() => machine.percpu.free(pointer), { code: 'PERCPU_POINTER' })
      machine.percpu.verify()
    })

    it('is km where there is no MMU or one CPU, and vm elsewhere', () => {
      const expected = options.smp && options.mmu ? 'vm' : 'km'
      assert.equal(fresh(options).percpu.report().backend, expected)
    })

    it('keeps objects of up to a page in one piece', () => {
      const machine = fresh(options)
      for (let i = 0; i < 40; i++) {
        const pointer = machine.percpu.alloc(3000)
        for (const cpu of machine.cpus.possible) {
          const start = machine.percpu.address(pointer, cpu)
          assert.equal(machine.percpu.address(pointer, cpu, 2996), start + 2996)
        }
      }
    })
  })
}

describe('numbers', () => {
  it('are added, exchanged and compared on this CPU', () => {
    const machine = fresh()
    const number = machine.percpu.i32()
    number.local = 5
    number.local++
    number.add(-2)
    assert.equal(number.addReturn(10), 14)
    assert.equal(number.exchange(7), 14)
    assert.equal(number.compareExchange(8, 1), 7)
    assert.equal(number.compareExchange(7, 1), 7)
    assert.equal(number.local, 1)
    number.of(2).value = 100
    assert.deepEqual(
      [...number],
      [
        [0, 1],
        [1, 0],
        [2, 100],
      ],
    )
    assert.equal(number.sum(), 101)
  })
  it('wrap as their kind does', () => {
    const { percpu } = fresh()
    const cases = [
      [percpu.u8(), 255, 0],
      [percpu.i8(), 127, -128],
      [percpu.u16(), 65535, 0],
      [percpu.i16(), 32767, -32768],
      [percpu.u32(), 2 ** 32 - 1, 0],
      [percpu.i32(), 2 ** 31 - 1, -(2 ** 31)],
    ] as const
    for (const [number, most, next] of cases) {
      number.local = most
      assert.equal(number.addReturn(1), next)
    }
    assert.equal(percpu.f64().addReturn(0.5), 0.5)
    assert.equal(percpu.f32().addReturn(0.25), 0.25)
    const wide = percpu.u64()
    wide.local = 2n ** 64n - 1n
    assert.equal(wide.addReturn(2n), 1n)
    assert.equal(wide.sum(), 1n)
  })
  it('are shown in a few words', async () => {
    const machine = fresh()
    const number = machine.percpu.i32()
    const shown = `PercpuI32 { pointer: ${number.pointer} }`
    assert.equal(inspect(number), shown)
    await machine.offline()
    assert.equal(inspect(number), shown)
  })
  it('throw once they are freed', () => {
    const { percpu } = fresh()
    const number = percpu.i32()
    const hits = percpu(Hits)
    const { local } = hits
    const [otherNumber, otherHits] = [percpu.i32(), percpu(Hits)]
    number.free()
    hits.free()
    for (const use of [
      () => number.local,
      () => (number.local = 1),
      () => number.add(1),
      () => hits.local.count,
      () => (hits.local.count = 1),
      () => hits.local.toObject(),
      () => local.count++,
    ])
      assert.throws(use, { code: 'PERCPU_POINTER' })
    assert.throws(() => number.free(), { code: 'PERCPU_POINTER' })
    assert.throws(() => number.of(0), { code: 'PERCPU_POINTER' })
    otherNumber.add(1)
    otherHits.local.count++
    assert.deepEqual([otherNumber.sum(), otherHits.sum('count')], [1, 1])
    percpu.verify()
  })
  it('add up plain numbers only', () => {
    const { percpu } = fresh()
    const Mixed = struct('Mixed', { n: i32, hits: atomic(i32), next: address('self'), all: array(i32, 2) })
    const mixed = percpu(Mixed)
    assert.equal(mixed.sum('n'), 0)
    // @ts-expect-error: it has no value of its own.
    assert.throws(() => mixed.sum('hits'), { code: 'PERCPU_ARGUMENT' })
    // @ts-expect-error: it is no number.
    assert.throws(() => mixed.sum('next'), { code: 'PERCPU_ARGUMENT' })
    // @ts-expect-error: it has several.
    assert.throws(() => mixed.sum('all'), { code: 'PERCPU_ARGUMENT' })
    // @ts-expect-error: there is none.
    assert.throws(() => mixed.sum('nope'), { code: 'PERCPU_ARGUMENT' })
  })
  it('are what was asked for, or refused', () => {
    const { percpu } = fresh()
    assert.throws(() => percpu(5 as never), { code: 'PERCPU_ARGUMENT' })
    const Large = struct('Large', { first: i32, rest: i32, end: u8 }, { align: 8192 })
    assert.throws(() => percpu(Large), { code: 'PERCPU_ARGUMENT' })
    const small = percpu.alloc(4)
    assert.throws(() => percpu.at(small, Hits), { code: 'PERCPU_ARGUMENT' })
    assert.throws(() => percpu.i32().of(3), { code: 'PERCPU_ARGUMENT' })
  })
})

describe('names and pointers', () => {
  it('are the same memory for all threads', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const hits = machine.percpu(Hits, { name: 'hits' })
    other.percpu(Hits, { name: 'hits' }).local.count += 3
    hits.local.count += 4
    assert.equal(hits.of(1).count, 3)
    assert.equal(hits.sum('count'), 7)
    assert.equal(other.percpu.at(hits.pointer, Hits).sum('count'), 7)
    assert.throws(() => other.percpu.i16({ name: 'hits' }), { code: 'PERCPU_OBJECT_MISMATCH' })
    assert.throws(() => other.percpu(struct('Other', { a: u32 }), { name: 'hits' }), {
      code: 'PERCPU_OBJECT_MISMATCH',
    })
    assert.equal(machine.percpu(i16, { name: 'short' }).pointer, other.percpu.i16({ name: 'short' }).pointer)
    await other.offline()
    assert.throws(() => other.percpu.i32(), { code: 'PERCPU_OFFLINE' })
    assert.equal(hits.sum('count'), 7)
  })
  it('stay: the memory of a name cannot be freed, as others may come to have it', () => {
    const machine = fresh()
    const [hits, turns] = [machine.percpu(Hits, { name: 'hits' }), machine.percpu.i32({ name: 'turns' })]
    for (const named of [hits, turns])
      assert.throws(() => named.free(), {
        code: 'PERCPU_NAMED_MEMORY',
        message: /has the name '.*': free it by percpu.remove/,
      })
    hits.local.count = 5
    assert.notEqual(machine.percpu(Hits).pointer, hits.pointer)
    assert.equal(machine.percpu(Hits, { name: 'hits' }).local.count, 5)
  })
  it('of an allocation go to a word in the same step, once', () => {
    const machine = fresh()
    const address = machine.heap.memblock.alloc({ size: 4 })
    const pointer = machine.percpu.alloc(16, { into: address })
    assert.equal(loadAtomic32(machine.memory.i32, address / 4), pointer)
    assert.equal(machine.percpu.alloc(16, { into: address }), pointer)
    for (const into of [0, 6, -4, machine.memory.byteLength])
      assert.throws(() => machine.percpu.alloc(16, { into }), { code: 'PERCPU_ARGUMENT', message: /into: / })
  })
})

describe('a report', () => {
  it('says what there is, as JSON and as text', () => {
    const machine = fresh({ cpus: 3 })
    const { percpu } = machine
    const pointers = [100, 200, 5000].map((bytes) => percpu.alloc(bytes))
    percpu.free(pointers[0] ?? 0)
    const report = percpu.report()
    assert.equal(JSON.stringify(JSON.parse(JSON.stringify(report))), JSON.stringify(report))
    assert.deepEqual([report.allocations, report.frees, report.cpus], [3, 1, 3])
    const used = report.chunks
      .filter(({ kind }) => kind !== 'reserved')
      .reduce((sum, chunk) => sum + chunk.used, 0)
    assert.equal(used, 5200)
    assert.equal(report.usedBytes, 3 * 5200)
    assert.equal(
      report.chunks.reduce((sum, chunk) => sum + chunk.allocations, 0),
      2,
    )
    assert.ok(report.fragmentation > 0 && report.fragmentation < 1)
    const text = percpu.reportText()
    assert.match(text, /^per-CPU memory: vm, 3 units/)
    assert.match(text, /chunk 1 \(reserved, in no slot\)/)
    assert.match(text, /3 allocations, 1 frees, 0 failures/)
  })
  it('is made of units of the size asked for', () => {
    assert.equal(boot({ percpu: { unit: '64 KiB', reserved: '1 KiB' } }).percpu.report().unitBytes, 65536)
    const refused = [
      { unit: 3000 },
      { unit: 2048 },
      { unit: 2 ** 23 },
      { reserved: 100 },
      { unit: 4096, reserved: 4096 },
    ]
    for (const percpu of refused) assert.throws(() => boot({ percpu }), { code: 'PERCPU_ARGUMENT' })
    assert.throws(() => boot({ mmu: false, cpus: 256, memory: '1 GiB', percpu: { unit: '32 KiB' } }), /16384/)
    assert.equal(boot({ mmu: false, cpus: 256, memory: '1 GiB' }).percpu.report().unitBytes, 16384)
  })
  it('finds what was overwritten', () => {
    const machine = fresh()
    machine.percpu.verify()
    const [record = 0] = backendOf(machine).records()
    // In the middle of the bitmap of allocations.
    store32(machine.memory.i32, record / 4 + Math.floor(backendOf(machine).recordBytes / 12), 5)
    assert.throws(() => machine.percpu.verify(), { code: 'PERCPU_ALLOCATOR_CORRUPTION' })
  })
})

describe('units of the first chunk', () => {
  it('lie together by node, where units are mapped', () => {
    const machine = boot({ cpus: 4, nodes: 2, memory: '8 MiB' })
    const { unitBytes } = machine.percpu.report()
    const pointer = machine.percpu.alloc(4)
    const addresses = machine.cpus.possible.map((cpu) => machine.percpu.address(pointer, cpu))
    const half = 4 * 2 ** 20
    assert.deepEqual(
      addresses.map((address) => Math.floor(address / half)),
      [0, 0, 1, 1],
    )
    assert.equal((addresses[1] ?? 0) - (addresses[0] ?? 0), unitBytes)
    const large = machine.percpu.alloc(unitBytes)
    assert.deepEqual(
      machine.cpus.possible.map((cpu) => Math.floor(machine.percpu.address(large, cpu) / half)),
      [0, 0, 1, 1],
    )
  })
})
