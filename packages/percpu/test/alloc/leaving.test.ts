/** What tasks of a thread do with the heap while its CPU goes offline. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, type Machine } from 'percpu'
import { joinAs } from '../support/machines.js'
import { verify } from './support/verify.js'

const { isPersistent } = await import('../../dist/alloc/tag.js')

/** Repeats `step` in jobs of its own until the machine is offline; returns how often it ran. */
async function untilOffline(step: () => void): Promise<number> {
  for (let steps = 0; ; steps++) {
    await Promise.resolve()
    try {
      step()
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'PERCPU_OFFLINE')
      return steps
    }
  }
}

describe('another task of a thread whose CPU goes offline', () => {
  const steps: Readonly<Record<string, (machine: Machine) => void>> = {
    'that allocates leaves nothing in flight': (machine) => {
      machine.heap.alloc(64)
      machine.heap.alloc(10_000)
      machine.heap.pages.alloc(1)
      machine.heap.pages.alloc(0)
    },
    'that frees leaves nothing in its magazines': (machine) => {
      machine.heap.free(machine.heap.alloc(64, { persist: true }))
      machine.heap.pages.free(machine.heap.pages.alloc(0), 0)
    },
  }
  for (const [name, step] of Object.entries(steps)) {
    it(name, async () => {
      const machine = boot({ cpus: 2, memory: '8 MiB' })
      const other = joinAs(machine, 77)
      step(other)
      const [count] = await Promise.all([untilOffline(() => step(other)), other.offline()])
      assert.ok(count > 0)
      const { faults, objects } = verify(machine)
      assert.deepEqual(faults, [])
      assert.equal(objects.size, 0)
      machine.heap.trim()
      assert.deepEqual(
        machine.heap.report().caches.map(({ bytes }) => bytes),
        [0],
      )
    })
  }
})

describe('what answers a ring while the CPU goes offline', () => {
  const ways: Readonly<Record<string, (machine: Machine, other: Machine, handler: () => void) => void>> = {
    'of its own': (_machine, other, handler) => {
      other.cpus.onRing(0, handler)
      other.cpus.ring(1, 0)
    },
    'for a call': (machine, other, handler) => {
      other.cpus.registerFunction('take', handler)
      void machine.cpus.call(1, 'take')
    },
  }
  for (const [name, ring] of Object.entries(ways)) {
    it(`${name} leaves nothing in flight, and nothing locked`, async () => {
      const machine = boot({ cpus: 2, memory: '8 MiB' })
      const other = joinAs(machine, 77)
      let answers = 0
      ring(machine, other, () => {
        answers++
        other.heap.alloc(64)
        other.heap.pages.alloc(0)
        other.heap.pages.alloc(1)
        other.locks.mutex('left').tryLock()
        other.percpu.rwSemaphore('read').tryReadLock()
      })
      // The call is made in a job of its own; nothing is answered before the thread returns to its
      // event loop.
      await Promise.resolve()
      await assert.rejects(other.offline(), { code: 'PERCPU_HOTPLUG' })
      assert.equal(answers, 1)
      const { faults, objects, blocks } = verify(machine)
      assert.deepEqual(faults, [])
      assert.equal(objects.size, 0)
      assert.ok([...blocks.values()].every(({ tag }) => isPersistent(tag)))
      assert.ok(machine.locks.mutex('left').tryLock())
      assert.equal(machine.percpu.rwSemaphore('read').readers, 0)
    })
  }
})

describe('a thread whose CPU is going offline', () => {
  it('finds the heap in order, with what is in flight', async () => {
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const leaver = joinAs(machine, 101)
    leaver.heap.alloc(64)
    leaver.heap.alloc(3 * 4096)
    leaver.cpus.addHotplug({
      name: 'verifier',
      teardown: () => {
        leaver.heap.verify()
        machine.heap.verify({ quiet: true })
      },
    })
    await leaver.offline()
    machine.heap.verify({ quiet: true })
  })
})

describe('a thread that was declared dead by mistake', () => {
  it('leaves what is of the next thread of its number alone when it goes offline', async () => {
    const machine = boot({ cpus: 2, memory: '8 MiB' })
    const zombie = joinAs(machine, 77)
    zombie.heap.free(zombie.heap.alloc(64))
    let end = (): void => undefined
    zombie.supervise({ threadId: 77, once: (_event: 'exit', listener: () => void) => (end = listener) })
    machine.cpus.declareDead(1)
    const next = joinAs(machine, 78)
    const counter = next.percpu.counter('counter')
    counter.add(5)
    const { estimate } = counter
    const own = [next.heap.alloc(64), next.heap.alloc(64)]
    next.heap.free(own.pop() ?? 0)
    const lock = next.locks.mutex('lock').lock()
    const vpa = next.watch.areasOf(1).vpa

    await zombie.offline()
    assert.deepEqual(verify(machine).faults, [])
    assert.equal(next.locks.mutex('lock').owner?.cpu, 1)
    assert.deepEqual(
      machine.heap.allocations().map(({ address }) => address),
      own,
    )
    assert.equal(counter.estimate, estimate)
    assert.equal(counter.sum(), 5)
    assert.equal(machine.watch.areasOf(1).vpa, vpa)
    lock.unlock()
    // It still supervises.
    end()
    assert.deepEqual(machine.cpus.present, [0])
    assert.deepEqual(verify(machine).faults, [])
    assert.deepEqual(machine.heap.allocations(), [])
  })
})
