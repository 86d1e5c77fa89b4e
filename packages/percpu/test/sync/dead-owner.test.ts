/**
 * A thread that ends in the middle of something, with a lock of a layer, while the thread that
 * would hear of it does not return to its event loop: that one frees the lock itself, as soon as it
 * waits for it. What frees and counts cannot fail.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import type { StuckIn } from './support/stuck-worker.js'

const onlyLinux = { skip: process.platform !== 'linux' && 'the system does not tell of threads' }

/** Uses the same lock; what ends something comes first. */
const uses = {
  pages: ({ heap }: Machine) => {
    const address = heap.pages.alloc(3)
    return () => heap.pages.free(address, 3)
  },
  'an object': ({ heap }: Machine) => {
    // More than one CPU keeps at hand.
    const addresses = Array.from({ length: 400 }, () => heap.alloc(600))
    return () => {
      for (const address of addresses) heap.free(address)
    }
  },
  copies: ({ percpu }: Machine) => {
    const pointer = percpu.alloc(1000)
    return () => percpu.free(pointer)
  },
  'a counter': ({ percpu }: Machine) => {
    const counter = percpu.counter('counter')
    return () => {
      counter.add(1000)
      assert.equal(counter.sum() % 1000, 0)
    }
  },
  'a bucket': (machine: Machine) => {
    const map = machine.map('map', { key: 'i32', value: 'i32' })
    return () => {
      assert.equal(map.get(1), 1)
      assert.equal(map.set(1, 2).get(1), 2)
      map.verify()
    }
  },
  'a ring': (machine: Machine) => {
    const ring = machine.ring('ring', { value: 'i32' })
    return () => {
      ring.trySend(3)
      // What was being sent is there, or not.
      assert.deepEqual(
        ring.receiveMany(9).filter((message) => message !== 2),
        [1, 3],
      )
      ring.verify()
    }
  },
  ranges: (machine: Machine) => {
    const map = machine.rangeMap('ranges', { key: 'u32', value: 'i32' })
    return () => {
      map.set(20, 29, 3)
      assert.deepEqual([...map.values()], [1, 2, 3])
      map.verify()
    }
  },
}

async function stuckIn(machine: Machine, where: StuckIn): Promise<{ worker: Worker; cpu: number }> {
  const worker = new Worker(new URL('./support/stuck-worker.js', import.meta.url), {
    workerData: { handle: machine.handle, where },
  })
  const [cpu] = (await once(worker, 'message')) as [number]
  return { worker, cpu }
}
async function assertWhole(machine: Machine, dead: number): Promise<void> {
  assert.equal(machine.cpus.states()[dead]?.state, 'offline')
  assert.deepEqual(
    machine.heap.allocations().filter(({ cpu, persistent }) => cpu === dead && !persistent),
    [],
  )
  machine.heap.verify()
  machine.percpu.verify()
  await machine.rcu.synchronize({ timeout: 10_000 })
}

describe('a thread ends with a lock of a layer, and one that does not return to its event loop', () => {
  for (const where of Object.keys(uses) as (keyof typeof uses)[])
    it(`frees the lock of ${where} when it wants it`, onlyLinux, async () => {
      const machine = boot({ cpus: 4, memory: '4 MiB' })
      const use = uses[where](machine)
      const { worker, cpu } = await stuckIn(machine, where)
      const { reaped } = machine.supervise(worker)
      void worker.terminate()
      const deaths: number[] = []
      machine.on('died', (death) => deaths.push(death.cpu))
      use()
      // Users are told when the synchronous stretch is over, and once.
      assert.deepEqual(deaths, [])
      assert.deepEqual(await reaped, [cpu])
      assert.deepEqual(deaths, [cpu])
      await assertWhole(machine, cpu)
      await machine.offline()
    })

  it('frees it though nobody supervises the thread', onlyLinux, async () => {
    const machine = boot({ cpus: 4, memory: '4 MiB' })
    const use = uses.copies(machine)
    const { worker, cpu } = await stuckIn(machine, 'copies')
    const gone = once(worker, 'exit')
    void worker.terminate()
    use()
    await gone
    await assertWhole(machine, cpu)
    await machine.offline()
  })

  it(
    'cleans up after the thread when it blocks for something else that the thread had',
    onlyLinux,
    async () => {
      const machine = boot({ cpus: 4, memory: '4 MiB' })
      const use = uses['a counter'](machine)
      const { worker } = await stuckIn(machine, 'a counter')
      void worker.terminate()
      use()
      const mutex = machine.locks.mutex('m')
      assert.notEqual(mutex.owner, undefined)
      // In the same synchronous stretch.
      const guard = mutex.lock({ timeout: 5000 })
      assert.equal(guard.predecessorDied, true)
      guard.unlock()
      await machine.rcu.synchronize({ timeout: 10_000 })
      await machine.offline()
    },
  )

  for (const how of ['blocks', 'awaits'])
    it(`gives its mutex to who ${how}, though nobody supervises the thread`, onlyLinux, async () => {
      const machine = boot({ cpus: 4, memory: '4 MiB' })
      const { worker, cpu } = await stuckIn(machine, 'a mutex')
      void worker.terminate()
      await once(worker, 'exit')
      const deaths: number[] = []
      machine.on('died', (death) => deaths.push(death.cpu))
      const mutex = machine.locks.mutex('m')
      const guard =
        how === 'blocks' ? mutex.lock({ timeout: 20_000 }) : await mutex.lockAsync({ timeout: 20_000 })
      assert.equal(guard.predecessorDied, true)
      guard.unlock()
      await setTimeout(0)
      assert.deepEqual(deaths, [cpu])
      await assertWhole(machine, cpu)
      await machine.offline()
    })

  it('also of threads that it had started', onlyLinux, async () => {
    const machine = boot({ cpus: 5, memory: '4 MiB' })
    const use = uses.pages(machine)
    const { worker, cpu } = await stuckIn(machine, 'pages, with a child')
    const { reaped } = machine.supervise(worker)
    void worker.terminate()
    use()
    // Its child's.
    machine.locks.mutex('m').lock({ timeout: 10_000 }).unlock()
    assert.equal((await reaped).length, 2)
    await assertWhole(machine, cpu)
    await machine.offline()
  })

  it('leaves the dead thread to its supervisor if it never returns itself', onlyLinux, async () => {
    const machine = boot({ cpus: 5, memory: '4 MiB' })
    const busy = new Worker(new URL('./support/polling-worker.js', import.meta.url), {
      workerData: machine.handle,
    })
    machine.supervise(busy)
    await once(busy, 'message')
    const { worker, cpu } = await stuckIn(machine, 'pages')
    const { reaped } = machine.supervise(worker)
    const ended = once(busy, 'message')
    busy.postMessage('take pages')
    await setTimeout(200)
    void worker.terminate()
    // This thread is late: the other one is the first to see it.
    const end = performance.now() + 300
    while (performance.now() < end);
    await ended
    assert.deepEqual(await reaped, [cpu])
    ;(await machine.locks.mutex('m').lockAsync({ timeout: 10_000 })).unlock()
    await assertWhole(machine, cpu)
    await busy.terminate()
    await machine.offline()
  })

  it('finds what was being named, and can take it away', onlyLinux, async () => {
    const machine = boot({ cpus: 4, memory: '4 MiB' })
    const { worker, cpu } = await stuckIn(machine, 'a name')
    const { reaped } = machine.supervise(worker)
    void worker.terminate()
    machine.objects.remove('x')
    assert.deepEqual(await reaped, [cpu])
    assert.throws(() => machine.objects.remove('x'), { code: 'PERCPU_OBJECT_MISSING' })
    await assertWhole(machine, cpu)
    await machine.offline()
  })

  it('has what the thread was freeing freed', onlyLinux, async () => {
    const machine = boot({ cpus: 4, memory: '4 MiB' })
    const use = uses.pages(machine)
    const { worker, cpu } = await stuckIn(machine, 'a callback')
    const { reaped } = machine.supervise(worker)
    void worker.terminate()
    use()
    assert.deepEqual(await reaped, [cpu])
    await machine.rcu.barrier({ timeout: 10_000 })
    await assertWhole(machine, cpu)
    await machine.offline()
  })
})
