/** How much may be pending: the marks of a machine, and calls that wait for room. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type BootOptions, type Machine, type Rcu, type Srcu } from 'percpu'
import { loadAtomic32 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import { words } from '../support/threads.js'

const isAllocated = (machine: Machine, address: number): boolean =>
  machine.heap.allocations().some((allocation) => allocation.address === address)
const queues: Readonly<Record<string, (machine: Machine) => Rcu | Srcu>> = {
  'machine.rcu': (machine) => machine.rcu,
  'a fast domain': (machine) => machine.srcu('s'),
  'a normal domain': (machine) => machine.srcu('s', { flavour: 'normal' }),
}

describe('the marks of a machine', () => {
  it('are what its boot says, on all threads', async () => {
    const machine = fresh({ callbacks: { full: { callbacks: 4 } } })
    const other = joinAs(machine, 101)
    for (const { rcu } of [machine, other]) {
      const isRoom: boolean[] = []
      for (let i = 0; i < 8; i++) {
        isRoom[i] = false
        void rcu.call(() => undefined).then(() => (isRoom[i] = true))
      }
      await Promise.resolve()
      assert.deepEqual(isRoom, [true, true, true, true, false, false, false, false])
      await rcu.barrier()
      assert.ok(isRoom.every(Boolean))
    }
    await other.offline()
  })
  it('are checked', () => {
    const wrong: Readonly<Record<string, unknown>> = {
      'no object': 4,
      'another name': { most: {} },
      'another name in a mark': { full: { entries: 1 } },
      'no callbacks': { full: { callbacks: 0 } },
      'part of a callback': { high: { callbacks: 1.5 } },
      'no size': { high: { bytes: 'much' } },
      'no bytes': { full: { bytes: 0 } },
      'marks the wrong way round': { high: { callbacks: 9 }, full: { callbacks: 8 } },
    }
    for (const callbacks of Object.values(wrong))
      throwsCode(() => boot({ callbacks } as BootOptions), 'PERCPU_ARGUMENT')
  })
})

for (const [name, queueOf] of Object.entries(queues))
  describe(`a call that waits for room, of ${name}`, () => {
    const options = { cpus: 2, callbacks: { full: { callbacks: 4 } } } as const

    it('waits while too much is pending, and runs what is due', () => {
      const machine = fresh(options)
      const queue = queueOf(machine)
      const calls: number[] = []
      let most = 0
      for (let i = 0; i < 20; i++) {
        queue.callBlocking(() => calls.push(i), { timeout: 5000 })
        most = Math.max(most, i + 1 - calls.length)
      }
      assert.equal(most, 5)
      const addresses = Array.from({ length: 20 }, () => machine.heap.alloc(40))
      for (const address of addresses) queue.freeBlocking(address, { timeout: 5000 })
      const left = addresses.filter((address) => isAllocated(machine, address))
      assert.ok(left.length <= 5, `${left.length} are pending`)
      assert.deepEqual(calls, [...Array(20).keys()])
      machine.heap.verify({ quiet: true })
    })

    it('queues nothing if there is no room in time, nor what is wrong', async () => {
      const machine = fresh(options)
      const other = joinAs(machine, 101)
      const queue = queueOf(machine)
      // Neither kind of grace period ends meanwhile: the other CPU is on this thread.
      const section = name === 'machine.rcu' ? undefined : (queueOf(other) as Srcu).section()
      for (let i = 0; i < 6; i++) void queue.call(() => undefined)
      const address = machine.heap.alloc(40)
      throwsCode(() => queue.freeBlocking(address, { timeout: 20 }), 'PERCPU_UNANSWERED')
      throwsCode(() => queue.callBlocking(() => assert.fail(), { timeout: 20 }), 'PERCPU_UNANSWERED')
      throwsCode(() => queue.freeBlocking(address + 8, { timeout: 20 }), 'PERCPU_FOREIGN_ADDRESS')
      throwsCode(() => queue.callBlocking(1 as never), 'PERCPU_ARGUMENT')
      throwsCode(() => queue.freeBlocking(address, { timeout: -1 }), 'PERCPU_ARGUMENT')
      section?.end()
      await queue.barrier()
      assert.ok(isAllocated(machine, address))
      queue.freeBlocking(address)
      await queue.barrier()
      assert.ok(!isAllocated(machine, address))
      await other.offline()
    })

    if (name !== 'machine.rcu')
      it('does not wait for a section of its own', async () => {
        const machine = fresh(options)
        const queue = queueOf(machine) as Srcu
        const section = queue.section()
        for (let i = 0; i < 5; i++) queue.callBlocking(() => undefined, { timeout: 5000 })
        throwsCode(() => queue.callBlocking(() => assert.fail()), 'PERCPU_SELF_DEADLOCK')
        section.end()
        await queue.barrier()
      })
  })

for (const [name, queueOf] of Object.entries(queues))
  describe(`barrierBlocking of ${name}`, () => {
    it('frees and calls what this thread has queued, in one stretch', () => {
      const machine = fresh({ cpus: 2 })
      const queue = queueOf(machine)
      queue.barrierBlocking()
      const calls: number[] = []
      // More than the memory holds at once.
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 50; i++) void queue.free(machine.heap.alloc(1000))
        void queue.call(() => calls.push(round))
        queue.barrierBlocking({ timeout: 5000 })
        assert.equal(calls.length, round + 1)
      }
      assert.deepEqual(
        machine.heap.allocations().filter(({ size }) => size < 4096),
        [],
      )
    })

    it('may be called by a function that was queued', () => {
      const machine = fresh({ cpus: 2 })
      const queue = queueOf(machine)
      const calls: string[] = []
      void queue.call(() => {
        void queue.call(() => calls.push('inner'))
        queue.barrierBlocking({ timeout: 5000 })
        calls.push('outer')
      })
      queue.barrierBlocking({ timeout: 5000 })
      assert.deepEqual(calls, ['inner', 'outer'])
    })

    it('ends in time, with everything still queued', async () => {
      const machine = fresh({ cpus: 2 })
      const other = joinAs(machine, 101)
      const queue = queueOf(machine)
      const section = name === 'machine.rcu' ? undefined : (queueOf(other) as Srcu).section()
      const address = machine.heap.alloc(40)
      void queue.free(address)
      throwsCode(() => queue.barrierBlocking({ timeout: 20 }), 'PERCPU_UNANSWERED')
      throwsCode(() => queue.barrierBlocking({ timeout: -1 }), 'PERCPU_ARGUMENT')
      assert.ok(isAllocated(machine, address))
      section?.end()
      await queue.barrier()
      assert.ok(!isAllocated(machine, address))
      await other.offline()
    })
  })

describe('two threads that both wait for room', () => {
  it('do not wait for each other', async () => {
    const machine = boot({ cpus: 3, memory: '8 MiB', callbacks: { full: { callbacks: 8 } } })
    const [tally = 0] = words(machine, 1)
    const workers = [1, 2].map(() => {
      const workerData = { handle: machine.handle, tally }
      const worker = new Worker(new URL('./support/flooding-worker.js', import.meta.url), { workerData })
      return machine.supervise(worker).reaped
    })
    await Promise.all(workers)
    assert.equal(loadAtomic32(machine.memory.i32, tally / 4), 2 * 200)
    await machine.rcu.barrier()
    await machine.srcu('s').barrier()
    machine.heap.verify({ quiet: true })
    assert.deepEqual(
      machine.heap.allocations().filter(({ size }) => size < 4096),
      [],
    )
  })
})
