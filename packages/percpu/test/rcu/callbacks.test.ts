/** What `rcu.free`, `rcu.call` and `rcu.barrier` promise, on CPUs of one thread. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { join, type Machine } from 'percpu'
import { addAtomic32, loadAtomic32, openMemory, orAtomic32, storeAtomic32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { insideOf } from '../support/inside.js'
import { fresh, joinAs } from '../support/machines.js'
import { mapOf, queued } from './support/lists.js'

const { REASON_CALLBACKS } = await import('../../dist/cpus/ringer.js')
const { pendingBytes } = await import('../../dist/rcu/pressure.js')

const isAllocated = (machine: Machine, address: number): boolean =>
  machine.heap.allocations().some((allocation) => allocation.address === address)
const { Cpu, Header, RcuNode } = await import('../../dist/machine/layouts.js')
const { readMap } = await import('../../dist/machine/memory-map.js')
const sequenceOf = (machine: Machine): number => loadAtomic32(machine.memory.i32, Header.words.rcuSequence)

describe('rcu.free', () => {
  it('frees memory of the heap after a grace period, and not before', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [small, large] = [machine.heap.alloc(40), machine.heap.alloc(10000)]
    const shared = machine.heap.alloc(40, { persist: true })
    void machine.rcu.free(small)
    void machine.rcu.free(large)
    void other.rcu.free(shared)
    for (const address of [small, large, shared]) assert.ok(isAllocated(machine, address))
    await Promise.all([machine.rcu.barrier(), other.rcu.barrier()])
    for (const address of [small, large, shared]) assert.ok(!isAllocated(machine, address))
    machine.heap.verify({ quiet: true })
  })

  it('frees what has red zones', async () => {
    const machine = fresh({ debugHeap: true })
    const addresses = [machine.heap.alloc(40), machine.heap.alloc(10000)]
    for (const address of addresses) void machine.rcu.free(address)
    throwsCode(() => machine.rcu.free(addresses[0] ?? 0), 'PERCPU_DOUBLE_FREE')
    await machine.rcu.barrier()
    for (const address of addresses) assert.ok(!isAllocated(machine, address))
    machine.heap.verify({ quiet: true })
  })

  it('frees per-CPU memory, by its object or its pointer', async () => {
    const machine = fresh()
    const number = machine.percpu.i32()
    const pointer = machine.percpu.alloc(100)
    void machine.rcu.free(number)
    void machine.rcu.free({ pointer })
    throwsCode(() => number.local, 'PERCPU_POINTER')
    throwsCode(() => machine.rcu.free(number), 'PERCPU_POINTER')
    assert.equal(machine.percpu.sizeOf(pointer), 100)
    await machine.rcu.barrier()
    throwsCode(() => machine.percpu.sizeOf(pointer), 'PERCPU_POINTER')
    throwsCode(() => machine.rcu.free({ pointer }), 'PERCPU_POINTER')
    machine.percpu.verify()
  })

  it('frees what a CPU has queued whose number was given up since', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const address = machine.heap.alloc(40, { persist: true })
    void other.rcu.free(address)
    await other.offline()
    assert.equal(queued(machine).length, 1)
    machine.cpus.limit(1)
    await machine.rcu.barrier({ timeout: 5000 })
    assert.ok(!isAllocated(machine, address))
  })

  it('refuses per-CPU memory of another machine', async () => {
    const machine = fresh()
    const number = machine.percpu.i32()
    const other = fresh()
    const others = other.percpu.i32()
    assert.equal(others.pointer, number.pointer)
    throwsCode(() => machine.rcu.free(others), 'PERCPU_ARGUMENT', /another machine/)
    await machine.rcu.barrier()
    assert.deepEqual([number.local, others.local], [0, 0])
  })

  it('refuses what is no such memory, or about to be freed, and changes nothing', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const address = machine.heap.alloc(40)
    throwsCode(() => other.rcu.free(address), 'PERCPU_FOREIGN_ADDRESS')
    throwsCode(() => machine.rcu.free(address + 8), 'PERCPU_FOREIGN_ADDRESS')
    throwsCode(() => machine.rcu.free(1.5), 'PERCPU_FOREIGN_ADDRESS')
    throwsCode(() => machine.rcu.free({} as never), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.rcu.free(undefined as never), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.rcu.free(machine.percpu.i32({ name: 'named' })), 'PERCPU_NAMED_MEMORY')
    void machine.rcu.free(address)
    throwsCode(() => machine.rcu.free(address), 'PERCPU_DOUBLE_FREE')
    await machine.rcu.barrier()
    throwsCode(() => machine.rcu.free(address), 'PERCPU_DOUBLE_FREE')
    machine.heap.verify({ quiet: true })
  })

  it('lets nobody free meanwhile what waits to be freed', async () => {
    const machine = fresh()
    const address = machine.heap.alloc(40)
    void machine.rcu.free(address)
    throwsCode(() => machine.heap.free(address), 'PERCPU_DOUBLE_FREE', /about to be freed/)
    throwsCode(() => void machine.rcu.free(address), 'PERCPU_DOUBLE_FREE')
    assert.notEqual(machine.heap.alloc(40), address)
    await machine.rcu.barrier()
    assert.ok(!isAllocated(machine, address))
  })

  it('works through several blocks, and past the end of all positions', async () => {
    const machine = fresh({ memory: '4 MiB' })
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 2500; i++) void machine.rcu.free(machine.heap.alloc(8))
      assert.equal(queued(machine).length, 2500)
      await machine.rcu.barrier()
    }
    machine.heap.trim()
    assert.equal(machine.heap.allocations().length, 1, 'the last block')
    machine.heap.verify({ quiet: true })
  })

  it('asks to wait while too much is pending', async () => {
    const machine = fresh({ memory: '4 MiB' })
    const blocks = Array.from({ length: 9 }, () => machine.heap.alloc(128 * 1024))
    let isRelieved = 0
    for (const block of blocks.slice(0, 8)) void machine.rcu.free(block).then(() => isRelieved++)
    const last = machine.rcu.free(blocks[8] ?? 0)
    await Promise.resolve()
    assert.ok(isRelieved >= 7 && isRelieved <= 8, `${isRelieved} were told to go on at once`)
    await last
    const list = mapOf(machine).lists[0] ?? 0
    assert.equal(pendingBytes(machine.memory, list), 0)
    assert.deepEqual(
      machine.heap.allocations().filter(({ size }) => size > 4096),
      [],
    )
  })

  it('takes what it has no room for a list for', async () => {
    const machine = fresh({ memory: '512 KiB' })
    const blocks: number[] = []
    assert.throws(() => {
      for (;;) blocks.push(machine.heap.alloc(4096))
    })
    for (const block of blocks.slice(1)) void machine.rcu.free(block)
    await machine.rcu.barrier()
    assert.deepEqual(
      machine.heap
        .allocations()
        .map(({ address }) => address)
        .filter((address) => blocks.includes(address)),
      blocks.slice(0, 1),
    )
    machine.heap.verify({ quiet: true })
  })

  it('gives memory back at once that is due, when there is no other', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const objects: number[] = []
    for (let i = 0; i < 9000; i++) objects.push(machine.heap.alloc(24))
    for (const object of objects) void machine.rcu.free(object)
    const free = (): number => queued(machine).length
    // The pump pauses between two batches.
    while (free() === 9000) await Promise.resolve()
    assert.ok(free() > 0)
    const taken: number[] = []
    assert.throws(() => {
      for (;;) taken.push(machine.heap.alloc(24))
    })
    assert.equal(free(), 0)
    assert.ok(taken.length >= 9000)
  })
})

describe('rcu.call', () => {
  it('calls functions after a grace period, in order, on this thread', async () => {
    const machine = fresh()
    joinAs(machine, 101)
    const called: number[] = []
    for (let i = 0; i < 5; i++) void machine.rcu.call(() => called.push(i))
    void machine.rcu.call(() => {
      void machine.rcu.call(() => called.push(99))
    })
    await Promise.resolve()
    assert.deepEqual(called, [])
    await machine.rcu.barrier()
    assert.deepEqual(called, [0, 1, 2, 3, 4])
    await machine.rcu.barrier()
    assert.equal(called.length, 6)
  })

  it('calls what a function queues, though nobody queues anything else', async () => {
    const machine = fresh()
    const before = sequenceOf(machine)
    await new Promise<void>((resolve) => {
      const lap = (left: number): void => {
        if (left === 0) resolve()
        else void machine.rcu.call(() => lap(left - 1))
      }
      lap(5)
    })
    // Each one waited for a grace period of its own.
    assert.ok(sequenceOf(machine) - before >= 5 * 4)
  })

  it('reports what a function throws, and calls the others', async () => {
    const machine = fresh()
    let called = 0
    const error = uncaught()
    void machine.rcu.call(() => {
      throw new Error('thrown by a callback')
    })
    void machine.rcu.call(() => {
      called++
    })
    await machine.rcu.barrier()
    assert.match((await error).message, /thrown by a callback/)
    assert.equal(called, 1)
    throwsCode(() => machine.rcu.call(5 as never), 'PERCPU_ARGUMENT')
  })

  it('calls them before the CPU goes offline', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    let called = 0
    for (let i = 0; i < 3; i++)
      void leaver.rcu.call(() => {
        called++
      })
    await leaver.offline()
    assert.equal(called, 3)
    throwsCode(() => leaver.rcu.call(() => undefined), 'PERCPU_OFFLINE')
    throwsCode(() => leaver.rcu.free(8), 'PERCPU_OFFLINE')
    await rejectsCode(leaver.rcu.barrier(), 'PERCPU_OFFLINE')
  })
})

describe('rcu.barrier', () => {
  it('begins no grace period if nothing is pending', async () => {
    const machine = fresh()
    joinAs(machine, 101)
    await machine.rcu.barrier()
    assert.equal(sequenceOf(machine), sequenceOf(fresh()))
    void machine.rcu.free(machine.heap.alloc(8))
    await machine.rcu.barrier()
    const after = sequenceOf(machine)
    await machine.rcu.barrier()
    assert.equal(sequenceOf(machine), after)
  })

  it('waits for the callbacks of other CPUs', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    let called = 0
    const address = other.heap.alloc(40)
    void other.rcu.call(() => {
      called++
    })
    void other.rcu.free(address)
    await machine.rcu.barrier()
    assert.equal(called, 1)
    assert.ok(!isAllocated(machine, address))
  })

  it('gives up at its time-out, and names the CPUs', async () => {
    const machine = fresh()
    // CPU 1 counts as reading, and answers nothing.
    const { rcuNodes } = readMap(machine.memory)
    orAtomic32(machine.memory.i32, rcuNodes + RcuNode.words.active, 1 << 1)
    void machine.rcu.call(() => undefined)
    await rejectsCode(machine.rcu.barrier({ timeout: 5 }), 'PERCPU_UNANSWERED', /CPU 0/)
    await rejectsCode(machine.rcu.synchronize({ timeout: 5 }), 'PERCPU_UNANSWERED', /CPU 1/)
    await rejectsCode(machine.rcu.barrier({ timeout: -1 }), 'PERCPU_ARGUMENT')
    await joinAs(machine, 101).offline()
    await machine.rcu.barrier()
  })
})

describe('callbacks of a CPU that is gone', () => {
  it('are run by others if it went offline', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const address = leaver.heap.alloc(40)
    const pointer = leaver.percpu.alloc(40)
    lastThing(leaver, () => {
      void leaver.rcu.free(address)
      void leaver.rcu.free({ pointer })
    })
    await leaver.offline()
    assert.ok(isAllocated(machine, address))
    await machine.rcu.barrier()
    assert.ok(!isAllocated(machine, address))
    throwsCode(() => machine.percpu.sizeOf(pointer), 'PERCPU_POINTER')
    assert.deepEqual(queued(machine), [])
  })

  it('are run without a word by whoever is online', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const address = leaver.heap.alloc(40)
    lastThing(leaver, () => void leaver.rcu.free(address))
    await leaver.offline()
    while (isAllocated(machine, address)) await new Promise(setImmediate)
  })

  for (const [what, end] of Object.entries({
    'one that comes back from an idle stretch': (machine: Machine) => machine.cpus.deaf(() => undefined),
    'another one if the first that was rung has died': (machine: Machine, rung: number) =>
      machine.cpus.declareDead(rung),
  }))
    it(`are run by ${what}`, async () => {
      const machine = fresh()
      const leaver = joinAs(machine, 101)
      const { table } = insideOf(machine.memory)
      // A thread that does not get to answer.
      const rung = table.claim(102)
      const address = leaver.heap.alloc(40, { persist: true })
      lastThing(leaver, () => {
        addAtomic32(machine.memory.i32, table.record(machine.cpu) + Cpu.words.idle, 1)
        if (end.length > 1) table.setState(rung, 1, 'online')
        void leaver.rcu.free(address)
      })
      await leaver.offline()
      addAtomic32(machine.memory.i32, table.record(machine.cpu) + Cpu.words.idle, 1)
      assert.ok(isAllocated(machine, address))
      end(machine, rung)
      for (let turns = 0; isAllocated(machine, address); turns++) {
        assert.ok(turns < 1000, 'somebody frees it')
        await new Promise(setImmediate)
      }
    })

  it('wait for the next CPU that comes online if there is none', async () => {
    const machine = fresh()
    const { handle } = machine
    const seen = { memory: openMemory(handle.buffer) }
    const address = machine.heap.alloc(40)
    lastThing(machine, () => void machine.rcu.free(address))
    await machine.offline()
    assert.equal(queued(seen).length, 1)
    const next = join(handle)
    while (isAllocated(next, address)) await new Promise(setImmediate)
  })
})

describe('a CPU that is idle', () => {
  /** Whether the CPU was asked to look at callbacks, and has not done so. */
  const isRung = (machine: Machine, cpu: number): boolean => {
    const { table } = insideOf(machine.memory)
    const reasons = loadAtomic32(machine.memory.i32, table.record(cpu) + Cpu.words.bell)
    return (reasons & REASON_CALLBACKS) !== 0
  }
  it('has freed by others what it queues in its idle stretch', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const address = machine.heap.alloc(40)
    machine.cpus.deaf(() => {
      assert.equal(isRung(machine, other.cpu), false)
      void machine.rcu.free(address)
      assert.equal(isRung(machine, other.cpu), true)
    })
    await machine.rcu.barrier()
    assert.equal(isAllocated(machine, address), false)
  })
  it('passes on what it was rung for, and has not answered', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    // By another CPU, which is about to ring this one.
    storeAtomic32(machine.memory.i32, mapOf(machine).leftOver, 1)
    machine.cpus.deaf(() => assert.equal(isRung(machine, other.cpu), true))
    await other.offline()
  })
})

/** Does it when nothing else of the CPU is done any more, in the last stretch before it leaves. */
function lastThing(machine: Machine, run: () => void): void {
  machine.cpus.addHotplug({ name: 'the last thing', teardown: run })
}

/** The next error that nobody catches. */
function uncaught(): Promise<Error & { code?: string }> {
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  return new Promise((resolve) => {
    process.once('uncaughtException', (error) => {
      for (const listener of listeners) process.on('uncaughtException', listener)
      resolve(error)
    })
  })
}
