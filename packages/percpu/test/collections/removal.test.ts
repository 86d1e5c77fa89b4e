/** Removing maps, maps of ranges and rings: their memory, their handles, and who waits for them. */
import assert from 'node:assert/strict'
import { on, once } from 'node:events'
import { before, describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { CollectionKind, Machine } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, mem, percpu } from '../support/hooked-percpu.js'
import type { EndingWorkerData } from './support/ending-worker.js'
import { killAfter, muteKilled } from './support/victims.js'

const { ArgumentError, ObjectMissingError, OfflineError, RemovedError, UnansweredError } = percpu
// What a killed thread waits for never comes, and keeps no process alive.
const { setTimeout: startTimer } = globalThis
globalThis.setTimeout = ((callback: () => void, milliseconds = 0) => {
  const timer = startTimer(callback, milliseconds)
  return milliseconds >= 1000 ? timer.unref() : timer
}) as typeof setTimeout
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Of each kind: one with much in it, and whatever can be called of its handle. */
const made = {
  map: (machine: Machine) => {
    const map = machine.map('it', { key: 'i32', value: 'i32' })
    for (let i = 0; i < 300; i++) map.set(i, i)
    return {
      get: () => map.get(1),
      has: () => map.has(1),
      set: () => map.set(1, 1),
      delete: () => map.delete(1),
      take: () => map.take(1),
      update: () => map.update(1, () => 2),
      compareAndSet: () => map.compareAndSet(1, 1, 2),
      getOrInsert: () => map.getOrInsert(1, 1),
      getOrInsertComputed: () => map.getOrInsertComputed(1, () => 1),
      view: () => map.view(1, () => 1),
      hold: () => map.hold(1, () => 1),
      size: () => map.size,
      entries: () => map.entries(),
      keys: () => map.keys(),
      values: () => map.values(),
      setMany: () => map.setMany([]),
      load: () => map.load([]),
      loadAsync: () => map.loadAsync([]),
      clear: () => map.clear(),
      on: () => map.on('change', () => undefined),
      watch: () => map.watch(1, () => undefined),
      barrier: () => map.barrier(),
      barrierBlocking: () => map.barrierBlocking(),
      report: () => map.report(),
      verify: () => map.verify(),
    }
  },
  rangeMap: (machine: Machine) => {
    const map = machine.rangeMap('it', { key: 'u32', value: 'string' })
    map.load(Array.from({ length: 300 }, (_, i) => [i * 10, i * 10 + 5, `value ${i}`] as const))
    return {
      lookup: () => map.lookup(1),
      find: () => map.find(1),
      nearest: () => map.nearest(1),
      first: () => map.first(),
      set: () => map.set(1, 2, 'a'),
      delete: () => map.delete(1, 2),
      clear: () => map.clear(),
      batch: () => map.batch([]),
      batchAround: () => map.batchAround([], () => Promise.resolve()),
      load: () => map.load([]),
      loadAsync: () => map.loadAsync([]),
      replace: () => map.replace([]),
      snapshot: () => map.snapshot(() => 1),
      hold: () => map.hold(() => 1),
      size: () => map.size,
      entries: () => [...map.entries()],
      barrier: () => map.barrier(),
      barrierBlocking: () => map.barrierBlocking(),
      report: () => map.report(),
      verify: () => map.verify(),
    }
  },
  ring: (machine: Machine) => {
    const ring = machine.ring('it', { value: 'i32', bytes: 1500 })
    for (let i = 0; i < 100; i++) ring.trySend(i)
    return {
      trySend: () => ring.trySend(1),
      sendAsync: () => ring.sendAsync(1),
      send: () => ring.send(1),
      trySendMany: () => ring.trySendMany([1]),
      sendManyAsync: () => ring.sendManyAsync([1]),
      sendMany: () => ring.sendMany([1]),
      peek: () => ring.peek(),
      tryReceive: () => ring.tryReceive(),
      receive: () => ring.receive(),
      receiveAsync: () => ring.receiveAsync(),
      receiveMany: () => ring.receiveMany(5),
      receiveManyAsync: () => ring.receiveManyAsync(5),
      messages: () => ring.messages(),
      close: () => ring.close(),
      isClosed: () => ring.isClosed,
      isEnded: () => ring.isEnded,
      length: () => ring.length,
      report: () => ring.report(),
      verify: () => ring.verify(),
    }
  },
  space: (machine: Machine) => {
    const space = machine.space('it')
    if (space.maps().length === 0) space.map(0, 2 ** 20)
    for (let page = 0; page < 20; page++) space.write(page * 4096, 1)
    return {
      map: () => space.map(2 ** 21, 4096),
      unmap: () => space.unmap(0, 4096),
      protect: () => space.protect(0, 4096, { write: false }),
      read: () => space.read(0),
      write: () => space.write(0, 1),
      copyOut: () => space.copyOut(0, 5),
      copyIn: () => space.copyIn(0, new Uint8Array(1)),
      populate: () => space.populate(0, 4096),
      pin: () => space.pin(0),
      fork: () => space.fork(),
      drop: () => space.drop(),
      collapse: () => space.collapse(0),
      split: () => space.split(0),
      maps: () => space.maps(),
      verify: () => space.verify(),
    }
  },
  sparseArray: (machine: Machine) => {
    const numbers = machine.sparseArray('it', { value: 'f64' })
    for (let i = 0; i < 20; i++) numbers.set(i * 1000, i)
    return {
      get: () => numbers.get(0),
      set: () => numbers.set(0, 1),
      subarray: () => numbers.subarray(0, 5),
      populated: () => [...numbers.populated()],
      clear: () => numbers.clear(),
      snapshot: () => numbers.snapshot(),
      drop: () => numbers.drop(),
      resident: () => numbers.resident,
    }
  },
} satisfies Record<CollectionKind, (machine: Machine) => Record<string, () => unknown>>
const kinds = Object.keys(made) as CollectionKind[]
const small = { memory: '1 MiB' } as const

type InUse = readonly (readonly [size: number, count: number])[]
/** As {@link inUse}, with nothing pending. */
async function allocated(machine: Machine): Promise<InUse> {
  await machine.rcu.barrier()
  return inUse(machine)
}
/** How much is in use, with what names refer to. */
function inUse(machine: Machine): InUse {
  machine.heap.trim()
  const objects = machine.heap.report().caches.map(({ size, allocated }) => [size, allocated] as const)
  const pages = machine.heap.allocations().filter(({ size }) => size >= 4096)
  return [...objects.filter(([, count]) => count > 0), ...pages.map(({ size }) => [size, 1] as const)]
}
const countOf = (all: Awaited<ReturnType<typeof allocated>>): number =>
  all.reduce((sum, [, count]) => sum + count, 0)
function isGone(map: { readonly size: number }): boolean {
  try {
    return map.size < 0
  } catch (error) {
    return error instanceof RemovedError
  }
}
async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return 'nothing was thrown'
}

for (const kind of kinds)
  describe(`removing a ${kind}`, () => {
    before(muteKilled)

    it('frees all its memory, and its name', async () => {
      const machine = fresh(small)
      made[kind](machine)
      await machine.remove(kind, 'it')
      const before = await allocated(machine)
      for (let i = 0; i < 3; i++) {
        made[kind](machine)
        assert.ok(countOf(await allocated(machine)) > countOf(before))
        await machine.remove(kind, 'it')
        machine.heap.verify({ quiet: true })
        assert.deepEqual(await allocated(machine), before)
        await assert.rejects(machine.remove(kind, 'it'), ObjectMissingError)
      }
    })

    it('ends all handles, of all threads', async () => {
      const machine = fresh(small)
      const other = joinAs(machine, 101)
      const handles = [made[kind](machine), made[kind](other)]
      await machine.remove(kind, 'it')
      for (const handle of handles)
        for (const [name, call] of Object.entries(handle))
          assert.equal(await codeOf(call), 'PERCPU_REMOVED', name)
      // Another one of that name is another one.
      made[kind](machine)
      for (const [name, call] of Object.entries(handles[1] ?? {}))
        assert.equal(await codeOf(call), 'PERCPU_REMOVED', name)
      await other.offline()
      machine.heap.verify({ quiet: true })
    })

    it('is one of several calls, whoever makes them', async () => {
      const machine = fresh(small)
      const other = joinAs(machine, 101)
      made[kind](machine)
      const calls = [machine, other, machine].map((each) => each.remove(kind, 'it'))
      assert.throws(() => made[kind](other), RemovedError)
      await Promise.all(calls)
      await assert.rejects(machine.remove(kind, 'it'), ObjectMissingError)
      made[kind](other)
      await machine.remove(kind, 'it')
      machine.heap.verify({ quiet: true })
      await other.offline()
    })

    it('leaves handles throwing that the thread is offline, once it is', async () => {
      const machine = fresh(small)
      const other = joinAs(machine, 101)
      const handle = made[kind](other)
      await other.offline()
      for (const [name, call] of Object.entries(handle))
        assert.equal(await codeOf(call), 'PERCPU_OFFLINE', name)
      await assert.rejects(other.remove(kind, 'it'), OfflineError)
    })

    it('goes on where a thread was killed that had begun, whenever that was', async () => {
      const points = await forEachAccessAsync(async (step) => {
        const machine = fresh(small)
        // What others need once, they have.
        const earlier = joinAs(machine, 100)
        for (const each of [machine, earlier]) {
          made[kind](machine)
          await each.remove(kind, 'it')
        }
        await earlier.offline()
        const before = await allocated(machine)
        made[kind](machine)
        const victim = joinAs(machine, 101)
        const isKilled = await killAfter(victim, step ** 3, () => victim.remove(kind, 'it'))
        if (isKilled) {
          machine.cpus.declareDead(1)
          const code = await codeOf(() => machine.remove(kind, 'it', { timeout: 10_000 }))
          assert.ok(code === 'nothing was thrown' || code === 'PERCPU_OBJECT_MISSING', String(code))
        } else await victim.offline()
        assert.deepEqual(machine.objects.list(), [])
        machine.heap.verify({ quiet: true })
        // What it had begun to end of a domain has an heir, for whom nobody waits.
        while (!isDeepStrictEqual(await allocated(machine), before)) await turn()
        made[kind](machine)
        return isKilled
      })
      assert.ok(points > 8, `${points} points`)
    })
  })

describe('removing', () => {
  it('takes a kind, a name and options, and no others', async () => {
    const machine = fresh(small)
    made.map(machine)
    for (const call of [
      () => machine.remove('maps' as never, 'it'),
      () => machine.remove(undefined as never, 'it'),
      () => machine.remove('map', ''),
      () => machine.remove('map', 'it', { timeout: -1 }),
      () => machine.remove('map', 'it', { late: 1 } as never),
    ])
      await assert.rejects(call, ArgumentError)
    await assert.rejects(machine.remove('ring', 'it'), ObjectMissingError)
    assert.equal(machine.map('it', { key: 'i32', value: 'i32' }).get(7), 7)
  })

  it('lets a stretch that has found it go on to its end', () => {
    const machine = fresh(small)
    const map = machine.map('it', { key: 'i32', value: 'i32' }).set(1, 2)
    void machine.remove('map', 'it')
    assert.equal(map.get(1), 2)
    assert.throws(() => machine.map('it', { key: 'i32', value: 'i32' }), RemovedError)
  })

  it('that takes too long names the collection as users do', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const map = other.map('it', { key: 'i32', value: 'bytes', hold: true }).set(1, Uint8Array.of(7))
    const ranges = other.rangeMap('it', { key: 'u32', value: 'i32' }).set(1, 2, 3)
    let end = (): void => undefined
    const ended = new Promise<void>((resolve) => (end = resolve))
    const held = [map.hold(1, () => ended), ranges.hold(() => ended)]
    const late = (text: string) => (error: Error) => {
      assert.ok(error instanceof UnansweredError)
      assert.match(error.message, new RegExp(`^${text}: no grace period within \\d+ ms: CPU 1 has sections`))
      assert.match(
        error.message,
        /the map (of ranges )?it cannot be opened any more: remove it again to go on$/,
      )
      return true
    }
    await assert.rejects(machine.remove('map', 'it', { timeout: 300 }), late('map it'))
    await assert.rejects(machine.remove('rangeMap', 'it', { timeout: 300 }), late('map of ranges it'))
    const { gracePeriods } = machine.watch.inspect()
    const domains = gracePeriods.map(({ domain }) => domain)
    assert.ok(domains.includes('map it') && domains.includes('map of ranges it'), String(domains))
    end()
    await Promise.all(held)
    await other.offline()
  })

  it('waits for those who hold an entry, and ends its wait in time', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const options = { key: 'i32', value: 'bytes', hold: true } as const
    other.map('it', options).set(1, Uint8Array.of(7))
    let end = (): void => undefined
    const held = other.map('it', options).hold(1, () => new Promise<void>((resolve) => (end = resolve)))
    // Long enough for the others to find that it is removed.
    await assert.rejects(machine.remove('map', 'it', { timeout: 500 }), UnansweredError)
    assert.throws(() => machine.map('it', options), RemovedError)
    // Another thread goes on.
    const removed = other.remove('map', 'it', { timeout: 10_000 })
    await turn()
    end()
    await held
    await removed
    machine.heap.verify({ quiet: true })
    assert.equal(machine.map('it', options).size, 0)
    await other.offline()
  })

  it('waits for those of its own thread as well', async () => {
    const machine = fresh(small)
    const map = machine.map('it', { key: 'i32', value: 'bytes', hold: true }).set(1, Uint8Array.of(7))
    const ranges = machine.rangeMap('it', { key: 'u32', value: 'i32' }).set(1, 2, 3)
    const later = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 50))
    for (const [kind, held] of [
      ['map', map.hold(1, later)],
      ['rangeMap', ranges.hold(later)],
    ] as const) {
      await machine.remove(kind, 'it', { timeout: 10_000 })
      await held
    }
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('ends waits for it, and tells those who watch nothing more', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const full = other.ring('full', { value: 'i32', bytes: 16 })
    while (full.trySend(1));
    const empty = other.ring('empty', { value: 'i32' })
    const map = other.map('it', { key: 'i32', value: 'i32' })
    const told: unknown[] = []
    map.watch(1, (value) => told.push(value))
    map.on('change', () => told.push('change'))
    const waits = [full.sendAsync(2), empty.receiveAsync(), empty.messages().next()].map((wait) =>
      codeOf(() => wait),
    )
    await turn()
    await machine.remove('ring', 'full')
    await machine.remove('ring', 'empty')
    await machine.remove('map', 'it')
    assert.deepEqual(await Promise.all(waits), ['PERCPU_REMOVED', 'PERCPU_REMOVED', 'PERCPU_REMOVED'])
    machine.map('it', { key: 'i32', value: 'i32' }).set(1, 1)
    await turn()
    assert.deepEqual(told, [])
    assert.deepEqual(machine.locks.heldBy(1), [])
    machine.heap.verify({ quiet: true })
    await other.offline()
  })

  for (const does of ['blocks', 'computes'] as const)
    it(`wakes a thread that is blocked, and ends what another one uses: one that ${does}`, async () => {
      const machine = fresh({ memory: '4 MiB' })
      machine.ring('r', { value: 'i32' })
      const map = machine.map('m', { key: 'i32', value: 'i32' })
      for (let i = 0; i < 1024; i++) map.set(i, i)
      const workerData: EndingWorkerData = { handle: machine.handle, does }
      const worker = new Worker(new URL('./support/ending-worker.js', import.meta.url), { workerData })
      machine.supervise(worker)
      const messages = on(worker, 'message', { signal: AbortSignal.timeout(10_000) })
      const next = async (): Promise<unknown> => ((await messages.next()).value as unknown[])[0]
      assert.equal(await next(), 'ready')
      if (does === 'blocks') {
        while (machine.ring('r', { value: 'i32' }).report().receivers.length === 0) await turn()
        // It looks once more whether the ring is there before it sleeps.
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
      await machine.remove('ring', 'r', { timeout: 20_000 })
      await machine.remove('map', 'm', { timeout: 5000 })
      const other = machine.map('other', { key: 'i32', value: 'i32' })
      for (let i = 0; i < 3000; i++) other.set(i, -1)
      assert.equal(await next(), 'PERCPU_REMOVED')
      await once(worker, 'exit')
      machine.heap.verify()
    })

  it('in the middle of a listener ends that one, and nothing else of its thread', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const map = other.map('it', { key: 'i32', value: 'i32' })
    const told: unknown[] = []
    let tell: (removed: Promise<void>) => void = () => undefined
    const removing = new Promise<void>((resolve) => (tell = resolve))
    map.watch(1, (value) => {
      const removed = machine.remove('map', 'it', { timeout: 5000 })
      for (let i = 0; i < 100; i++) {
        machine.poll()
        other.poll()
      }
      told.push([value, isGone(map)])
      tell(removed)
    })
    machine.map('it', { key: 'i32', value: 'i32' }).set(1, 7)
    await removing
    assert.deepEqual(told, [[7, true]])
    await other.rcu.synchronize({ timeout: 5000 })
    const next = other.map('it', { key: 'i32', value: 'i32' })
    assert.equal(next.size, 0)
    await other.offline()
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
  })

  for (const kind of kinds)
    it(`is done when all is free: a ${kind}`, async () => {
      const machine = fresh(small)
      const make = async (): Promise<void> => {
        made[kind](machine)
        await machine.remove(kind, 'it')
      }
      // What the thread itself needs is there from then on.
      await make()
      const before = await allocated(machine)
      await make()
      assert.deepEqual(inUse(machine), before)
    })

  it('is done when the memory can be used again', async () => {
    const machine = fresh(small)
    for (let i = 0; i < 50; i++) {
      machine.ring('it', { value: 'i32', bytes: '200 KiB' })
      await machine.remove('ring', 'it')
    }
  })

  it('leaves nothing in other threads that costs them time', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const accesses = (): number => {
      let count = 0
      mem.control.before = () => count++
      other.cpus.deaf(() => undefined)
      mem.control.before = undefined
      return count
    }
    const use = async (count: number): Promise<number> => {
      const names = Array.from({ length: count }, (_, i) => `it ${i}`)
      for (const name of names)
        for (const each of [machine, other]) {
          each.rangeMap(name, { key: 'u32', value: 'i32' })
          each.map(name, { key: 'i32', value: 'i32', hold: true })
        }
      for (const name of names) {
        await machine.remove('rangeMap', name)
        await machine.remove('map', name)
      }
      return accesses()
    }
    const once = await use(1)
    assert.equal(await use(5), once)
    await other.offline()
  })

  it('is not tried by a thread that has left', async () => {
    const machine = fresh(small)
    made.map(machine)
    await machine.offline()
    await assert.rejects(machine.remove('map', 'it'), OfflineError)
  })
})
