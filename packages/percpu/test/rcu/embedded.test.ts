/** SRCU domains inside structs of users, and how domains end. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32, published, SrcuLayout, struct, type SrcuFlavour } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import { codeOf, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const Vm = struct('Vm', { id: published(i32), srcu: SrcuLayout })

for (const flavour of ['fast', 'normal'] as const satisfies readonly SrcuFlavour[])
  describe(`a ${flavour} domain in a struct`, () => {
    it('has the size of a cache line, whatever the number of CPUs', () => {
      assert.equal(SrcuLayout.size, 64)
    })

    it('is made by one thread, opened by others, and freed at its end', async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const used = machine.percpu.report().usedBytes
      for (let round = 0; round < 3; round++) {
        const vm = machine.heap.alloc(Vm.size, { zero: true })
        const address = vm + Vm.offsets.srcu
        assert.throws(() => machine.srcuAt(address), { code: 'PERCPU_SRCU_MISUSE' })
        const domain = machine.initSrcu(address, { flavour })
        assert.equal(machine.srcuAt(address), domain)
        assert.throws(() => machine.initSrcu(address), { code: 'PERCPU_SRCU_MISUSE' })
        const theirs = other.srcuAt(address, { flavour })
        const section = theirs.section()
        await assert.rejects(domain.synchronize({ timeout: 5 }), { code: 'PERCPU_UNANSWERED' })
        await assert.rejects(domain.cleanup(), { code: 'PERCPU_SRCU_BUSY' })
        section.end()
        await domain.synchronize({ timeout: 10_000 })
        await domain.cleanup()
        assert.throws(() => domain.readLock(), { code: 'PERCPU_SRCU_MISUSE' })
        await assert.rejects(async () => domain.synchronize(), { code: 'PERCPU_SRCU_MISUSE' })
        assert.throws(() => other.srcuAt(address), { code: 'PERCPU_SRCU_MISUSE' })
        machine.heap.free(vm)
      }
      assert.equal(machine.percpu.report().usedBytes, used)
      await other.offline()
    })

    it('is not made if there is no memory to enter it, and can be made later', () => {
      const machine = fresh()
      const { memblock } = machine.heap
      const address = machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu
      machine.percpu.free(machine.percpu.alloc(64))
      const used = machine.percpu.report().usedBytes
      const taken: number[] = []
      // Whatever is left of boot memory.
      for (let size = 2 ** 20; size >= 64; size /= 2)
        while (codeOf(() => taken.push(memblock.alloc({ size }))) === 'none');
      for (let i = 0; i < 2; i++)
        throwsCode(() => machine.initSrcu(address, { flavour }), 'PERCPU_OUT_OF_MEMORY')
      assert.equal(machine.percpu.report().usedBytes, used)
      throwsCode(() => machine.srcuAt(address), 'PERCPU_SRCU_MISUSE')
      for (const region of taken) memblock.free(region)
      machine.initSrcu(address, { flavour }).section().end()
    })

    it('is refused at what is no address of a struct', () => {
      const machine = fresh()
      for (const wrong of ['4096', [4096], 4096n, Symbol('4096'), 4098, -4, 2 ** 31, undefined, null])
        for (const method of ['initSrcu', 'srcuAt'] as const)
          throwsCode(() => machine[method](wrong as number, { flavour }), 'PERCPU_ARGUMENT')
    })

    it('is let go by threads that had another one at its place', async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const address = machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu
      const first = machine.initSrcu(address, { flavour })
      const old = other.srcuAt(address)
      assert.equal(other.srcuAt(address), old)
      await first.cleanup()
      const second = machine.initSrcu(address, { flavour })
      assert.notEqual(other.srcuAt(address), old)
      throwsCode(() => void old.call(() => assert.fail()), 'PERCPU_SRCU_MISUSE')
      await second.cleanup()
    })

    it('is left by a CPU that dies', async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const address = machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu
      const domain = machine.initSrcu(address, { flavour })
      other.srcuAt(address).readLock()
      const waiting = domain.synchronize({ timeout: 3000 })
      await turn()
      machine.cpus.declareDead(1)
      await waiting
      await domain.cleanup()
    })

    it('ends the sections of a CPU that goes offline, and not in memory that is no domain any more', async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const addresses = [1, 2].map(() => machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu)
      const [first, second] = addresses.map((address) => machine.initSrcu(address, { flavour }))
      assert.ok(first && second)
      for (const address of addresses) other.srcuAt(address).readUnlock(other.srcuAt(address).readLock())
      await first.cleanup()
      other.srcuAt(addresses[1] ?? 0).readLock()
      await assert.rejects(other.offline(), { code: 'PERCPU_HOTPLUG' })
      await second.cleanup()
    })
  })

describe('cleaning up a domain', () => {
  const busy = async (promise: Promise<void>, reason: RegExp): Promise<void> => {
    await assert.rejects(promise, (error: Error & { code: string; details: { reason: string } }) => {
      assert.equal(error.code, 'PERCPU_SRCU_BUSY')
      assert.match(error.details.reason, reason)
      return true
    })
  }
  it('is refused while it is in use, and says why', async () => {
    const machine = fresh()
    const domain = machine.srcu('s')
    const token = domain.readLock()
    await busy(domain.cleanup(), /sections are under way/)
    const cookie = domain.startPoll()
    await busy(domain.cleanup(), /^a grace period is wanted/)
    domain.expediteCurrent()
    await busy(domain.cleanup(), /an expedited grace period/)
    domain.readUnlock(token)
    while (!domain.poll(cookie)) await turn()
    let isCalled = false
    void domain.call(() => (isCalled = true))
    await busy(domain.cleanup(), /callbacks are pending/)
    await domain.barrier()
    assert.ok(isCalled)
    const cleaning = busy(domain.cleanup(), /meanwhile/)
    const late = domain.readLock()
    await cleaning
    domain.readUnlock(late)
    const down = domain.downRead()
    await busy(domain.cleanup(), /under way/)
    domain.upRead(down)
    await domain.cleanup()
  })
  it('is refused after a wait that gave up, until somebody waits as it says', async () => {
    const domain = fresh().srcu('s')
    const token = domain.readLock()
    await assert.rejects(domain.synchronize({ timeout: 1 }), { code: 'PERCPU_UNANSWERED' })
    domain.readUnlock(token)
    await busy(domain.cleanup(), /is wanted: await synchronize\(\) before/)
    await domain.synchronize()
    await domain.cleanup()
  })
  it('is refused, as are waits, if a section was ended twice, and says that', async () => {
    const machine = fresh({ stallTimeout: 10 })
    const domain = machine.srcu('s', { flavour: 'normal' })
    const down = domain.downRead()
    for (let i = 0; i < 2; i++) domain.upRead(down)
    await busy(domain.cleanup(), /^1 sections were ended more often than they were handed over/)
    const stall = new Promise<{ text: string; handedOver: number }>((resolve) => machine.on('stall', resolve))
    await assert.rejects(domain.synchronize({ timeout: 100 }), /1 sections were ended more often/)
    const { text, handedOver } = await stall
    assert.match(text, /none, but 1 were ended more often than they were handed over/)
    assert.equal(handedOver, -1)
  })
  it('happens once, though it is asked for twice', async () => {
    const machine = fresh()
    const domain = machine.srcu('s')
    const ends = [domain.cleanup(), domain.cleanup()]
    await ends[0]
    await assert.rejects(ends[1] ?? Promise.resolve(), { code: 'PERCPU_SRCU_MISUSE' })
  })
  it('is not refused for a hurry of long ago', async () => {
    const machine = fresh()
    const address = machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu
    const domain = machine.initSrcu(address)
    // 2^29 grace periods later, none of which was hurried.
    for (const word of ['sequence', 'needed'] as const)
      addAtomic32(machine.memory.i32, address / 4 + SrcuLayout.words[word], -(2 ** 31) + 8)
    await domain.synchronize()
    await domain.cleanup()
  })
  it('ends a named one for this thread, which may open it again', async () => {
    const machine = fresh()
    const domain = machine.srcu('s')
    await domain.cleanup()
    assert.throws(() => domain.readLock(), { code: 'PERCPU_SRCU_MISUSE' })
    const again = machine.srcu('s')
    again.readUnlock(again.readLock())
    await again.synchronize()
  })
})
