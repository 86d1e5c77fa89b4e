/** What `free`, `call` and `barrier` of SRCU domains promise, on CPUs of one thread. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32, published, SrcuLayout, struct, type Machine, type Srcu } from 'percpu'
import { codeOf, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const isAllocated = (machine: Machine, address: number): boolean =>
  machine.heap.allocations().some((allocation) => allocation.address === address)
const Vm = struct('Vm', { id: published(i32), srcu: SrcuLayout })

interface Kind {
  readonly cpus: number
  readonly make: (machine: Machine) => Srcu
  readonly open: (machine: Machine, domain: Srcu) => Srcu
}
const embedded = (flavour: 'fast' | 'normal'): Omit<Kind, 'cpus'> => ({
  make: (machine) =>
    machine.initSrcu(machine.heap.alloc(Vm.size, { zero: true, persist: true }) + Vm.offsets.srcu, {
      flavour,
    }),
  open: (machine, { name }) => machine.srcuAt(Number(name.split(' ').at(-1))),
})
const kinds: Readonly<Record<string, Kind>> = {
  'fast domain': { cpus: 3, make: (machine) => machine.srcu('s'), open: (machine) => machine.srcu('s') },
  'normal domain': {
    cpus: 3,
    make: (machine) => machine.srcu('s', { flavour: 'normal' }),
    open: (machine) => machine.srcu('s'),
  },
  'fast domain in a struct': { cpus: 3, ...embedded('fast') },
  'normal domain in a struct': { cpus: 3, ...embedded('normal') },
  'tiny domain': { cpus: 1, make: (machine) => machine.srcu('s'), open: (machine) => machine.srcu('s') },
}

for (const [kind, { cpus, make, open }] of Object.entries(kinds))
  describe(`callbacks of a ${kind}`, () => {
    it('wait for sections that were under way, and run in order', async () => {
      const machine = fresh({ cpus })
      const domain = make(machine)
      const address = machine.heap.alloc(40)
      const pointer = machine.percpu.alloc(100)
      const order: number[] = []
      const token = domain.readLock()
      // Inside a section of the same domain.
      void domain.free(address)
      void domain.free({ pointer })
      for (const number of [1, 2, 3]) void domain.call(() => order.push(number))
      await machine.rcu.synchronize()
      await turn()
      assert.ok(isAllocated(machine, address))
      assert.equal(machine.percpu.sizeOf(pointer), 100)
      assert.deepEqual(order, [])
      await assert.rejects(domain.barrier({ timeout: 5 }), { code: 'PERCPU_UNANSWERED' })
      domain.readUnlock(token)
      await domain.barrier({ timeout: 5000 })
      assert.ok(!isAllocated(machine, address))
      throwsCode(() => machine.percpu.sizeOf(pointer), 'PERCPU_POINTER')
      assert.deepEqual(order, [1, 2, 3])
      machine.heap.verify({ quiet: true })
      await domain.cleanup()
    })

    it('begin no grace period for a barrier, and are refused as others are', async () => {
      const machine = fresh({ cpus })
      const domain = make(machine)
      await domain.barrier()
      const cookie = domain.getState()
      await domain.barrier()
      assert.ok(!domain.poll(cookie))
      throwsCode(() => domain.call(1 as never), 'PERCPU_ARGUMENT')
      throwsCode(() => domain.free(1.5), 'PERCPU_FOREIGN_ADDRESS')
      throwsCode(() => domain.free({} as never), 'PERCPU_ARGUMENT')
      const address = machine.heap.alloc(40)
      void domain.free(address)
      throwsCode(() => domain.free(address), 'PERCPU_DOUBLE_FREE')
      throwsCode(() => machine.rcu.free(address), 'PERCPU_DOUBLE_FREE')
      await domain.barrier()
      await machine.offline()
      throwsCode(() => domain.call(() => undefined), 'PERCPU_OFFLINE')
      throwsCode(() => domain.free(address), 'PERCPU_OFFLINE')
      await assert.rejects(domain.barrier(), { code: 'PERCPU_OFFLINE' })
    })

    it('take no memory before there are any, and throw if there is none, and change nothing', async () => {
      const machine = fresh({ cpus, memory: '4 MiB' })
      const domain = make(machine)
      const used = machine.percpu.report().usedBytes
      await domain.synchronize()
      assert.equal(machine.percpu.report().usedBytes, used)
      const [address, spare] = [machine.heap.alloc(40), machine.heap.alloc(40)]
      // All per-CPU memory, down to the last place for lists.
      const taken: number[] = []
      for (let size = 2 ** 14; size >= 4; size /= 2)
        while (codeOf(() => taken.push(machine.percpu.alloc(size))) === 'none');
      throwsCode(() => domain.free(address), 'PERCPU_OUT_OF_MEMORY')
      throwsCode(() => domain.call(() => assert.fail()), 'PERCPU_OUT_OF_MEMORY')
      await domain.barrier()
      assert.ok(isAllocated(machine, address))
      for (const pointer of taken) machine.percpu.free(pointer)
      void domain.free(address)
      machine.heap.free(spare)
      await domain.barrier()
      assert.ok(!isAllocated(machine, address))
      await domain.cleanup()
    })

    if (cpus === 1) return

    it('of a CPU that dies are run by others, once; its functions are lost and counted', async () => {
      const machine = fresh({ cpus })
      const other = joinAs(machine, 101)
      const domain = make(machine)
      const lost: unknown[] = []
      machine.on('callbacksLost', (event) => lost.push(event))
      const token = domain.readLock()
      const theirs = open(other, domain)
      const addresses = [1, 2].map(() => machine.heap.alloc(40, { persist: true }))
      for (const address of addresses) void theirs.free(address)
      for (let i = 0; i < 3; i++) void theirs.call(() => undefined)
      const waiting = domain.barrier({ timeout: 5000 })
      machine.cpus.declareDead(1)
      await turn()
      assert.deepEqual(lost, [{ cpu: 1, count: 3, domain: domain.name }])
      for (const address of addresses) assert.ok(isAllocated(machine, address))
      domain.readUnlock(token)
      await waiting
      for (const address of addresses) assert.ok(!isAllocated(machine, address))
      machine.heap.verify({ quiet: true })
      await domain.cleanup()
    })

    it('of a CPU that left, and whose number has a new thread, are run all the same', async () => {
      if (cpus === 1) return
      const machine = fresh({ cpus })
      const domain = make(machine)
      const other = joinAs(machine, 101)
      assert.equal(other.cpu, 1)
      const address = other.heap.alloc(40, { persist: true })
      const token = domain.readLock()
      void open(other, domain).free(address)
      await other.offline()
      // The first CPU looks after it now, and waits for the section.
      await turn()
      // The new one has nothing to do with the domain.
      const next = joinAs(machine, 102)
      assert.equal(next.cpu, 1)
      await turn()
      domain.readUnlock(token)
      await domain.barrier({ timeout: 5000 })
      assert.ok(!isAllocated(machine, address))
      await next.offline()
    })

    it('of a CPU that goes offline are freed by others, after its functions were called', async () => {
      const machine = fresh({ cpus })
      const other = joinAs(machine, 101)
      const domain = make(machine)
      const theirs = open(other, domain)
      const token = domain.readLock()
      const address = machine.heap.alloc(40, { persist: true })
      let calls = 0
      void theirs.free(address)
      void theirs.call(() => calls++)
      const leaving = other.offline()
      await turn()
      assert.equal(calls, 0)
      domain.readUnlock(token)
      await leaving
      assert.equal(calls, 1)
      await domain.barrier({ timeout: 5000 })
      assert.ok(!isAllocated(machine, address))
      await domain.cleanup()
    })

    it('of a CPU that is left without any other are freed by the next one to come', async () => {
      const machine = fresh({ cpus })
      const other = joinAs(machine, 101)
      const domain = make(machine)
      const address = machine.heap.alloc(40, { persist: true })
      // Handed over: no end of this thread's CPU ends it.
      const token = domain.downRead()
      void domain.free(address)
      await machine.offline()
      await turn()
      assert.ok(isAllocated(other, address))
      const theirs = open(other, domain)
      const cleaning = theirs.cleanup()
      await assert.rejects(cleaning, { code: 'PERCPU_SRCU_BUSY' })
      theirs.upRead(token)
      await theirs.barrier({ timeout: 5000 })
      assert.ok(!isAllocated(other, address))
    })

    it('give their memory back when the domain ends, and can be made there again', async () => {
      const machine = fresh({ cpus })
      const other = joinAs(machine, 101)
      const isEmbedded = kind.endsWith('struct')
      const sizes: number[] = []
      for (let round = 0; round < 3; round++) {
        const domain = make(machine)
        const theirs = open(other, domain)
        void domain.free(machine.heap.alloc(40, { persist: true }))
        void theirs.free(machine.heap.alloc(40, { persist: true }))
        void theirs.call(() => undefined)
        await domain.barrier()
        await domain.cleanup()
        if (isEmbedded) machine.heap.free(Number(domain.name.split(' ').at(-1)) - Vm.offsets.srcu)
        sizes.push(machine.percpu.report().usedBytes, machine.heap.allocations().length)
      }
      assert.deepEqual(sizes.slice(2, 4), sizes.slice(0, 2))
      assert.deepEqual(sizes.slice(4), sizes.slice(0, 2))
      machine.heap.verify({ quiet: true })
      await other.offline()
    })
  })

describe('memory that runs short', () => {
  it('is taken from what is due in domains, too', () => {
    const machine = fresh({ cpus: 2, memory: '1 MiB' })
    const domain = machine.srcu('s', { flavour: 'normal' })
    const blocks: number[] = []
    while (codeOf(() => blocks.push(machine.heap.alloc(4096))) === 'none');
    // One for the block of the list.
    machine.heap.free(blocks.pop() ?? 0)
    const [first = 0] = blocks
    void domain.free(first)
    const token = domain.readLock()
    assert.equal(
      codeOf(() => machine.heap.alloc(4096)),
      'PERCPU_OUT_OF_MEMORY',
    )
    domain.readUnlock(token)
    // The grace period is over, and nobody has had the time to free.
    domain.synchronizeBlocking({ timeout: 5000 })
    assert.ok(machine.heap.alloc(4096))
  })
})

describe('a CPU that goes offline with functions queued', () => {
  it('does not wait for ever for a grace period that is stuck, and says what is lost', async () => {
    const machine = fresh({ stallTimeout: 30 })
    const lost: unknown[] = []
    machine.on('callbacksLost', (event) => lost.push(event))
    machine.on('stall', () => undefined)
    const domain = machine.srcu('s')
    const token = domain.downRead()
    void domain.call(() => assert.fail())
    void domain.call(() => assert.fail())
    await machine.offline()
    assert.deepEqual(lost, [{ cpu: 0, count: 2, domain: 's' }])
    assert.ok(token >= 0)
  })
})
