/** What users have of per-CPU memory: handles, names, counters, reference counts, reader-writer locks and reports. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { boot, f64, i16, i32, join, struct, u32, u64, u8, type BootOptions, type Machine } from 'percpu'
import { loadAtomic32, store32 } from 'percpu/mem'
import { backendOf } from './support/inside.js'
import { kinds } from './support/kinds.js'

const Hits = struct('Hits', { count: i32, bytes: f64, last: u64 })
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
const fresh = (options: BootOptions = { cpus: 3 }): Machine => boot({ ...options, memory: '1 MiB' })

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
      const { length } = machine.possible
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
        for (const cpu of machine.possible) assert.equal(machine.percpu.address(pointer, cpu) % 4096, 0)
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
        for (const cpu of machine.possible) {
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
    number.free()
    hits.free()
    for (const use of [
      () => number.local,
      () => number.add(1),
      () => hits.local.count,
      () => (hits.local.count = 1),
    ])
      assert.throws(use, { code: 'PERCPU_POINTER' })
    assert.throws(() => number.free(), { code: 'PERCPU_POINTER' })
    assert.throws(() => number.of(0), { code: 'PERCPU_POINTER' })
    percpu.verify()
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
        code: 'PERCPU_PERCPU_USE',
        message: /is a name of this memory for good/,
      })
    hits.local.count = 5
    assert.notEqual(machine.percpu(Hits).pointer, hits.pointer)
    assert.equal(machine.percpu(Hits, { name: 'hits' }).local.count, 5)
  })
  it('of an allocation go to a word in the same step, once', () => {
    const machine = fresh()
    const address = machine.memblock.alloc({ size: 4 })
    const pointer = machine.percpu.alloc(16, { into: address })
    assert.equal(loadAtomic32(machine.memory.i32, address / 4), pointer)
    assert.equal(machine.percpu.alloc(16, { into: address }), pointer)
    for (const into of [0, 6, -4, machine.memory.byteLength])
      assert.throws(() => machine.percpu.alloc(16, { into }), { code: 'PERCPU_ARGUMENT', message: /into: / })
  })
})

describe('a counter', () => {
  it('counts integers', () => {
    const counter = fresh().percpu.counter('c')
    counter.add(3)
    for (const [wrong, shown] of [
      ['x', "'x'"],
      [undefined, 'undefined'],
      [1.5, '1.5'],
      [NaN, 'NaN'],
    ] as [never, string][])
      assert.throws(() => counter.add(wrong), {
        code: 'PERCPU_ARGUMENT',
        message: `amount: ${shown} is not an integer between -2^53 and 2^53`,
      })
    for (const wrong of ['x', NaN, undefined] as never[]) {
      assert.throws(() => counter.compare(wrong), { code: 'PERCPU_ARGUMENT' })
      assert.throws(() => counter.limitedAdd(wrong, 1), { code: 'PERCPU_ARGUMENT' })
    }
    assert.equal(counter.sum(), 3)
  })
  it('has the batch that it was made with', () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 10 })
    for (const again of [machine.percpu.counter('c'), machine.percpu.counter('c', { batch: 10 })])
      assert.equal(again.error, counter.error)
    assert.throws(() => machine.percpu.counter('c', { batch: 11 }), {
      code: 'PERCPU_ARGUMENT',
      message: "batch: counter 'c' has 10, not 11",
    })
  })
  it('is rough at once and exact on request', () => {
    const machine = fresh()
    const others = [joinAs(machine, 101), joinAs(machine, 102)]
    const counter = machine.percpu.counter('c', { batch: 10 })
    const all = [counter, ...others.map((other) => other.percpu.counter('c'))]
    let expected = 0
    for (let i = 0; i < 500; i++) {
      const amount = (i % 7) - 2
      all[i % 3]?.add(amount)
      expected += amount
      assert.ok(Math.abs(counter.rough - expected) <= counter.error)
    }
    assert.equal(counter.sum(), expected)
    for (const each of all) each.sync()
    assert.equal(counter.rough, expected)
    assert.deepEqual([all[1]?.batch, counter.error], [10, 30])
  })
  it('holds values beyond 32 bits, and below zero', () => {
    const counter = fresh().percpu.counter('c')
    counter.add(2 ** 40)
    counter.add(5)
    counter.add(-(2 ** 41))
    assert.equal(counter.sum(), 5 - 2 ** 40)
    assert.equal(counter.roughPositive, 0)
    assert.equal(counter.sumPositive(), 0)
    counter.set(-7)
    assert.equal(counter.sum(), -7)
    for (const amount of [0.5, NaN, Infinity, 2 ** 60])
      assert.throws(() => counter.add(amount), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), -7)
    counter.addLocal(1000)
    assert.equal(counter.sum(), 993)
    assert.throws(() => counter.addLocal(2 ** 31), { code: 'PERCPU_ARGUMENT' })
  })
  it('is compared, and limited, exactly', () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 8 })
    const other = joinAs(machine, 101).percpu.counter('c')
    for (let i = 0; i < 100; i++) (i % 2 === 0 ? counter : other).add(1)
    assert.deepEqual(
      [99, 100, 101, 0, 5000].map((than) => counter.compare(than)),
      [1, 0, -1, 1, -1],
    )
    let added = 0
    while (counter.limitedAdd(150, 1) && added < 1000) added++
    assert.deepEqual([added, counter.sum()], [50, 150])
    assert.equal(other.limitedAdd(150, 1), false)
    assert.equal(other.limitedAdd(0, -151), false)
    assert.equal(other.limitedAdd(0, -150), true)
    assert.equal(counter.sum(), 0)
    assert.equal(counter.limitedAdd(0, 0), true)
  })
  it('keeps what a CPU counted that goes offline, or dies', async () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 1000 })
    const [leaving, dying] = [joinAs(machine, 101), joinAs(machine, 102)]
    leaving.percpu.counter('c').add(3)
    dying.percpu.counter('c').add(4)
    await leaving.offline()
    assert.equal(counter.rough, 3)
    machine.declareDead(2)
    assert.equal(counter.rough, 7)
    joinAs(machine, 103).percpu.counter('c').add(5)
    assert.equal(counter.sum(), 12)
  })
})

describe('a reference count', () => {
  it('is released when all CPUs together have given back what they took', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), other.percpu.ref('r')]
    ref.get()
    ref.get(2)
    // Given back on another CPU: its own part is negative.
    same.put(2)
    assert.deepEqual([ref.isZero, ref.isAtomic, ref.isDying], [false, false, false])
    await ref.kill()
    assert.deepEqual([ref.isZero, ref.isAtomic, ref.isDying], [false, true, true])
    assert.deepEqual([same.tryGetLive(), same.tryGet()], [false, true])
    same.put()
    let isReleased = false
    const released = same.released().then(() => (isReleased = true))
    await new Promise(setImmediate)
    assert.equal(isReleased, false)
    ref.put()
    await released
    assert.deepEqual([ref.isZero, ref.tryGet(), ref.tryGetLive()], [true, false, false])
    await assert.rejects(ref.kill(), { code: 'PERCPU_PERCPU_USE' })
    assert.throws(() => ref.put(), { code: 'PERCPU_PERCPU_USE' })
  })
  it('that is finished for a dead thread does not keep the CPU that does so from going offline', async () => {
    const machine = fresh()
    const [dying, heir] = [joinAs(machine, 101), joinAs(machine, 102)]
    const ref = machine.percpu.ref('r')
    heir.percpu.ref('r')
    // Nobody answers before this task ends: the change is under way, and then that of the one who goes on.
    dying.percpu
      .ref('r')
      .kill()
      .catch(() => undefined)
    await Promise.resolve()
    heir.declareDead(dying.cpu)
    await heir.offline()
    await ref.switchToAtomic()
    assert.deepEqual([ref.isDying, ref.isZero], [true, true])
  })
  it('whose release was waited for in the middle of a change lets its waiter go offline', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), leaving.percpu.ref('r')]
    const killing = ref.kill()
    // Nobody answers before this task ends: the change is under way.
    while (!same.isAtomic) await Promise.resolve()
    const controller = new AbortController()
    const waiting = same.released({ signal: controller.signal })
    controller.abort()
    await assert.rejects(waiting, { name: 'AbortError' })
    await leaving.offline()
    await killing
    assert.equal(ref.isZero, true)
  })
  it('goes back and forth between its modes without losing any', async () => {
    const machine = fresh()
    const [ref, same] = [machine.percpu.ref('r'), joinAs(machine, 101).percpu.ref('r')]
    for (let round = 0; round < 5; round++) {
      ref.get(3)
      same.put(1)
      await same.switchToAtomic()
      same.get(2)
      ref.put(3)
      await ref.switchToPercpu()
      assert.equal(ref.isAtomic, false)
      ref.put()
    }
    await ref.kill()
    assert.equal(ref.isZero, true)
    await assert.rejects(ref.switchToPercpu(), { code: 'PERCPU_PERCPU_USE' })
    await ref.reinit()
    assert.deepEqual([ref.isZero, ref.isDying, ref.tryGetLive()], [false, false, true])
    await assert.rejects(ref.reinit(), { code: 'PERCPU_PERCPU_USE' })
    ref.put()
    await ref.kill()
    await ref.released()
  })
})

describe('a CPU that goes offline while readers are still let in again', () => {
  it('ends that, and reports nothing', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    ;(await leaving.percpu.rwSemaphore('s').writeLock()).unlock()
    const reported: unknown[] = []
    const note = (error: unknown): void => void reported.push(error)
    process.on('unhandledRejection', note)
    process.on('uncaughtException', note)
    await leaving.offline()
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
    assert.deepEqual(reported, [])
    machine.percpu.rwSemaphore('s').readLock().unlock()
  })
})

describe('a lock for many readers', () => {
  it('lets readers in together, and a writer alone', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [lock, same] = [machine.percpu.rwSemaphore('s'), other.percpu.rwSemaphore('s')]
    const readers = [lock.readLock(), same.readLock(), same.tryReadLock() ?? assert.fail()]
    assert.equal(lock.readers, 3)
    let isWriting = false
    const writing = same.writeLock().then((guard) => {
      isWriting = true
      return guard
    })
    for (const reader of readers) {
      await machine.synchronize()
      assert.equal(isWriting, false)
      reader.unlock()
    }
    const writer = await writing
    assert.equal(lock.tryReadLock(), undefined)
    assert.throws(() => lock.readLock({ timeout: 1 }), { code: 'PERCPU_LOCK_TIMEOUT' })
    const waiting = lock.readLockAsync()
    writer.unlock()
    const reader = await waiting
    assert.equal(same.readers, 1)
    assert.throws(() => readers[0]?.unlock(), { code: 'PERCPU_PERCPU_USE' })
    reader.unlock()
    await assert.rejects(
      async () => {
        const held = lock.readLock()
        try {
          await same.writeLock({ timeout: 1 })
        } finally {
          held.unlock()
        }
      },
      { code: 'PERCPU_LOCK_TIMEOUT' },
    )
    ;(await lock.writeLock()).unlock()
  })
  it('is fast again some time after the last writer', async () => {
    const machine = fresh()
    const lock = machine.percpu.rwSemaphore('s')
    ;(await lock.writeLock()).unlock()
    ;(await lock.writeLock()).unlock()
    for (let i = 0; i < 100 && lock.isSlow; i++) await machine.synchronize()
    assert.equal(lock.isSlow, false)
  })
  it('is unlocked by the reaper for a dead reader, and goes on after a dead writer', async () => {
    const machine = fresh()
    const [first, second] = [joinAs(machine, 101), joinAs(machine, 102)]
    const lock = machine.percpu.rwSemaphore('s')
    first.percpu.rwSemaphore('s').readLock()
    const writing = second.percpu.rwSemaphore('s').writeLock()
    await machine.synchronize()
    machine.declareDead(1)
    await writing
    machine.declareDead(2)
    const writer = await lock.writeLock()
    assert.equal(writer.predecessorDied, true)
    writer.unlock()
    lock.readLock().unlock()
  })
})

describe('a CPU that goes offline with a lock for many readers', () => {
  it('is told that it had it locked for reading, as of a mutex; it is unlocked', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const lock = leaver.percpu.rwSemaphore('s')
    const guards = [lock.readLock(), lock.readLock()]
    const error: unknown = await leaver.offline().then(
      () => assert.fail(),
      (thrown: unknown) => thrown,
    )
    assert.equal((error as { code?: string }).code, 'PERCPU_HOTPLUG')
    const { cause } = error as { cause?: { code?: string; details?: object } }
    assert.deepEqual([cause?.code, cause?.details], ['PERCPU_LOCK_HELD', { cpu: 1, readLocks: 2 }])
    assert.throws(() => guards[0]?.unlock(), { code: 'PERCPU_OFFLINE' })
    const own = machine.percpu.rwSemaphore('s')
    assert.equal(own.readers, 0)
    ;(await own.writeLock()).unlock()
    assert.deepEqual(machine.online, [0])
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
    assert.throws(() => machine.percpu.verify(), { code: 'PERCPU_PERCPU_CORRUPTION' })
  })
})

describe('units of the first chunk', () => {
  it('lie together by node, where units are mapped', () => {
    const machine = boot({ cpus: 4, nodes: 2, memory: '8 MiB' })
    const { unitBytes } = machine.percpu.report()
    const pointer = machine.percpu.alloc(4)
    const addresses = machine.possible.map((cpu) => machine.percpu.address(pointer, cpu))
    const half = 4 * 2 ** 20
    assert.deepEqual(
      addresses.map((address) => Math.floor(address / half)),
      [0, 0, 1, 1],
    )
    assert.equal((addresses[1] ?? 0) - (addresses[0] ?? 0), unitBytes)
    const large = machine.percpu.alloc(unitBytes)
    assert.deepEqual(
      machine.possible.map((cpu) => Math.floor(machine.percpu.address(large, cpu) / half)),
      [0, 0, 1, 1],
    )
  })
})
