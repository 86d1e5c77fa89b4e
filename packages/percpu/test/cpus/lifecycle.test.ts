/** CPUs that leave in order, and CPUs whose thread ends in whatever way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine, type SupervisedWorker } from 'percpu'
import { loadAtomic32, openMemory, storeAtomic32 } from 'percpu/mem'
import { Cell } from '../support/cell.js'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { becomesSet, withMachine, words, type Actor } from '../support/threads.js'

describe('offline', () => {
  it('frees the number, also for the same thread', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const actor = await start()
      await actor.tell({ do: 'offline' })
      assert.deepEqual(machine.cpus.present, [0])
      assert.equal(machine.cpus.states()[1]?.state, 'offline')
      const again = joinAs(machine, 101)
      assert.deepEqual([again.cpu, again.cpus.incarnation], [1, 2])
    })
  })

  it('poisons the handle: every use throws and writes nothing', async () => {
    const machine = boot({ cpus: 3, memory: '512 KiB' })
    const leaver = joinAs(machine, 101)
    const { memory, objects } = leaver
    const { memblock } = leaver.heap
    const cell = objects.create('cell', Cell)
    const mutex = leaver.locks.mutex('early')
    const { pages } = leaver.heap
    const cache = leaver.heap.cache('early', Cell)
    const object = cache.alloc({ persist: true })
    const address = leaver.heap.alloc(64, { persist: true })
    leaver.heap.free(leaver.heap.alloc(64))
    const { percpu } = leaver
    const turns = percpu.i32()
    const counter = percpu.counter('early count')
    const domain = leaver.srcu('early domain')
    const map = leaver.map('early map', { key: 'string', value: 'i32' })
    const ranges = leaver.rangeMap('early ranges', { key: 'u32', value: 'i32' })
    const ring = leaver.ring('early ring', { value: 'i32', bytes: 64 })
    const space = leaver.space('early space')
    space.map(0, 4096)
    space.write(0, 1)
    const pin = space.pin(0)
    const sparse = leaver.sparseArray('early array', { value: 'i32' }).set(0, 1)
    await leaver.offline()
    const before = new Uint8Array(machine.handle.buffer).slice()

    const uses: readonly ((gone: Machine) => unknown)[] = [
      (gone) => gone.handle,
      (gone) => gone.memory,
      (gone) => gone.heap.memblock,
      (gone) => gone.objects.create('late', Cell),
      (gone) => gone.objects.open('cell', Cell),
      (gone) => gone.objects.openOrCreate('late', Cell),
      (gone) => gone.objects.list(),
      (gone) => gone.objects.remove('cell'),
      (gone) => gone.cpus.possible,
      (gone) => gone.cpus.present,
      (gone) => gone.online,
      (gone) => gone.cpus.states(),
      (gone) => gone.cpus.configuration,
      (gone) => gone.cpus.addHotplug({ name: 'late' }),
      (gone) => gone.supervise(new FakeWorker()),
      (gone) => gone.invite(),
      (gone) => gone.cpus.declareDead(0),
      (gone) => gone.cpus.onRing(0, () => undefined),
      (gone) => gone.cpus.ring(0, 0),
      (gone) => gone.cpus.registerFunction('late', () => undefined),
      (gone) => gone.poll(),
      (gone) => gone.cpus.park(0, 1, 0),
      (gone) => gone.cpus.deaf(() => undefined),
      (gone) => gone.locks.mutex('late'),
      (gone) => gone.locks.mutexAt(4096),
      (gone) => gone.locks.completion('late'),
      (gone) => gone.locks.completionAt(4096),
      (gone) => gone.locks.condition('late', mutex),
      (gone) => gone.locks.conditionAt(4096, mutex),
      (gone) => gone.locks.semaphore('late', 1),
      (gone) => gone.locks.semaphoreAt(4096),
      (gone) => gone.locks.initSemaphore(4096, 1),
      (gone) => gone.locks.seqlock('late'),
      (gone) => gone.locks.seqlockAt(4096),
      (gone) => gone.locks.heldBy(0),
      (gone) => gone.locks.remove('mutex', 'early'),
      (gone) => gone.heap.alloc(64),
      (gone) => gone.heap.alloc(5000, { zero: true }),
      (gone) => gone.heap.free(address),
      (gone) => gone.heap.persist(address),
      (gone) => gone.heap.adopt(address),
      (gone) => gone.heap.cache('late', Cell),
      (gone) => gone.heap.allocations(),
      (gone) => gone.heap.report(),
      (gone) => gone.heap.trim(),
      (gone) => gone.heap.verify(),
      (gone) => gone.heap.pages,
      (gone) => gone.percpu.i32(),
      (gone) => gone.srcu('late'),
      (gone) => gone.map('late', { key: 'string', value: 'i32' }),
      () => map.get('key'),
      () => map.set('key', 1),
      () => map.take('key'),
      (gone) => gone.rangeMap('late', { key: 'u32', value: 'i32' }),
      () => ranges.lookup(1),
      () => ranges.set(1, 2, 3),
      (gone) => gone.ring('late', { value: 'i32', bytes: 64 }),
      () => ring.trySend(1),
      () => ring.tryReceive(),
      () => ring.peek(),
      () => ring.close(),
      (gone) => gone.space('late'),
      (gone) => gone.spaces(),
      () => space.read(0),
      () => space.write(0, 1),
      () => space.map(4096, 4096),
      () => space.copyOut(0, 4),
      () => space.maps(),
      () => space.pin(0),
      (gone) => gone.sparseArray('late', { value: 'i32' }),
      () => sparse.get(0),
      () => sparse.set(0, 1),
      () => sparse.subarray(0, 1),
      () => sparse.resident,
      (gone) => gone.rcu.barrierBlocking({ timeout: 1 }),
      (gone) => gone.initSrcu(address),
      (gone) => gone.srcuAt(address),
      () => domain.readLock(),
      () => domain.readUnlock(0),
      () => domain.downRead(),
      () => domain.upRead(0),
      () => domain.getState(),
      () => domain.startPoll(),
      () => domain.poll(0),
      () => domain.expediteCurrent(),
      () => domain.synchronizeBlocking({ timeout: 1 }),
      () => percpu(Cell),
      () => percpu.alloc(8),
      () => percpu.report(),
      () => percpu.counter('late'),
      () => turns.add(1),
      () => turns.of(0),
      () => counter.add(1),
      () => counter.sum(),
      () => pages.alloc(0),
      () => pages.alloc(2),
      () => cache.alloc(),
      () => cache.free(object),
      () => cache.persist(object),
      () => cache.adopt(object),
      () => cache.create(),
      () => cache.trim(),
      () => mutex.lock(),
      () => mutex.tryLock(),
      () => memblock.alloc({ size: 64 }),
      () => memblock.report(),
      () => objects.open('cell', Cell).address,
      () => objects.list(),
      (gone) => gone.run('late', () => undefined),
      (gone) => gone.cpus.limit(1),
      (gone) => gone.rcu.free(address),
      (gone) => gone.rcu.call(() => undefined),
      (gone) => gone.rcu.freeBlocking(address),
      (gone) => gone.rcu.callBlocking(() => undefined),
      (gone) => gone.rcu.synchronizeBlocking(),
      (gone) => gone.rcu.getState(),
      (gone) => gone.rcu.startPoll(),
      (gone) => gone.rcu.poll(4),
      (gone) => gone.rcu.completed,
      (gone) => gone.watch.inspect(),
      (gone) => gone.watch.monitor(),
      (gone) => gone.watch.trace(0, 0),
      (gone) => gone.watch.postMortem(0),
      (gone) => gone.watch.areasOf(0),
      (gone) => gone.watch.homeNode,
      (gone) => gone.watch.setHomeNode(0, 0),
      (gone) => gone.watch.registrations,
      (gone) => gone.watch.structs(),
      () => cell.value.load(),
      () => cell.value.store(1),
      () => storeAtomic32(memory.i32, 0, 1),
    ]
    for (const use of uses) throwsCode(() => use(leaver), 'PERCPU_OFFLINE', /CPU 1 offline; join/)
    await rejectsCode(leaver.rcu.synchronize(), 'PERCPU_OFFLINE')
    await rejectsCode(leaver.rcu.synchronizeExpedited(), 'PERCPU_OFFLINE')
    await rejectsCode(leaver.rcu.barrier(), 'PERCPU_OFFLINE')
    await rejectsCode(leaver.cpus.call(0, 'late'), 'PERCPU_OFFLINE')
    await rejectsCode(leaver.offline(), 'PERCPU_OFFLINE')
    for (const change of [space.unmap(0, 4096), space.fork(), space.drop(), space.collapse(0)])
      await rejectsCode(change, 'PERCPU_OFFLINE')
    await rejectsCode(ranges.loadAsync([]), 'PERCPU_OFFLINE')
    await rejectsCode(
      ranges.batchAround([], () => Promise.resolve()),
      'PERCPU_OFFLINE',
    )
    for (const change of [sparse.clear(), sparse.snapshot(), sparse.drop()])
      await rejectsCode(change, 'PERCPU_OFFLINE')
    pin.unpin()
    assert.deepEqual(new Uint8Array(machine.handle.buffer), before)
    const { cpus, heap, locks, objects: names, rcu, watch } = machine
    const faces = { '': machine, cpus, heap, locks, objects: names, rcu, watch }
    const covered = new Set(uses.flatMap((use) => /gone\.(\w+)(?:\.(\w+))?/.exec(use.toString()) ?? []))
    for (const name of [
      'constructor',
      'synchronize',
      'synchronizeExpedited',
      'barrier',
      'call',
      'offline',
      'on',
    ])
      covered.add(name)
    const uncovered = Object.entries(faces).flatMap(([face, object]) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(object) as object)
        .filter((name) => !covered.has(name))
        .map((name) => `${face}.${name}`),
    )
    assert.deepEqual(uncovered, [], 'public members that this test does not use')
  })

  it('cannot use for the first time what it never used before', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    await leaver.offline()
    const uses = [
      () => leaver.heap.alloc(64),
      () => leaver.heap.pages,
      () => leaver.heap.allocations(),
      () => leaver.percpu.i32(),
      () => leaver.percpu.alloc(8),
    ]
    for (const use of uses) throwsCode(use, 'PERCPU_OFFLINE', /CPU 1 offline; join/)
  })

  it('leaves once, however often it is asked for', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    let torndown = 0
    leaver.cpus.addHotplug({ name: 'once', teardown: () => void (torndown += 1) })
    await Promise.all([leaver.offline(), leaver.offline()])
    assert.equal(torndown, 1)
  })

  it('is no quiescent state as long as the caller goes on', async () => {
    const machine = boot({ cpus: 2 })
    const reader = joinAs(machine, 101)
    let ended = false
    const period = machine.rcu.synchronize().then(() => (ended = true))
    const leaving = reader.offline()
    // Nothing but jobs that were queued before this one may have run when this stretch ends.
    assert.equal(ended, false)
    await Promise.all([period, leaving])
  })

  it('frees what its incarnation had allocated and not kept', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    const before = machine.heap.memblock.report().used
    leaver.heap.memblock.alloc({ size: 4096 })
    const kept = leaver.heap.memblock.alloc({ size: 128 })
    leaver.heap.memblock.persist(kept)
    await leaver.offline()
    assert.equal(machine.heap.memblock.report().used, before + 128)
  })
})

class FakeWorker {
  readonly threadId = 12345
  once(): this {
    return this
  }
}

describe('supervise', () => {
  const endings: Readonly<Record<string, (actor: Actor) => Promise<unknown>>> = {
    'is terminated': (actor) => actor.worker.terminate(),
    'throws outside any handler': (actor) => actor.tell({ do: 'throw' }).catch(() => undefined),
    'calls process.exit': (actor) => actor.tell({ do: 'exit' }).catch(() => undefined),
  }
  for (const [how, end] of Object.entries(endings)) {
    it(`takes the CPU off every mask and frees it when its thread ${how}`, async () => {
      await withMachine({ cpus: 3 }, async (machine, start) => {
        const actor = await start()
        assert.deepEqual(machine.online, [0, 1])
        await end(actor)
        assert.deepEqual(await actor.supervision?.reaped, [1])
        assert.deepEqual(machine.online, [0])
        assert.deepEqual(machine.cpus.present, [0])
        assert.deepEqual(machine.cpus.states()[1], { cpu: 1, node: 0, state: 'offline', incarnation: 1 })
        const next = joinAs(machine, 101)
        assert.deepEqual([next.cpu, next.cpus.incarnation], [1, 2])
      })
    })
  }

  it('works for a thread that is stuck in a loop', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [until, tells] = words(machine, 2) as [number, number]
      const actor = await start()
      actor.tell({ do: 'spin', until, tells, polls: false, deaf: false }).catch(() => undefined)
      await becomesSet(machine.memory, tells)
      assert.deepEqual(await actor.terminate(), [1])
      assert.deepEqual(machine.online, [0])
    })
  })

  it('tells of no CPU for a worker that never joined', async () => {
    const machine = boot()
    const worker = new Worker('', { eval: true })
    assert.deepEqual(await machine.supervise(worker).reaped, [])
  })

  it('lets exactly one of several supervisors reap', async () => {
    await withMachine({ cpus: 3 }, async (machine, start) => {
      const second = joinAs(machine, 101)
      const actor = await start({ supervised: false })
      const both = [machine.supervise(actor.worker).reaped, second.supervise(actor.worker).reaped]
      await actor.worker.terminate()
      assert.deepEqual((await Promise.all(both)).flat(), [2])
    })
  })

  it('goes on after the supervising CPU went offline', async () => {
    await withMachine({ cpus: 3 }, async (machine, start) => {
      const observer = joinAs(machine, 101)
      const actor = await start()
      await machine.offline()
      assert.deepEqual(await actor.terminate(), [2])
      assert.deepEqual(observer.online, [1])
    })
  })

  it('frees what the dead thread had allocated, but not what it kept or gave a name', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const actor = await start()
      const before = machine.heap.memblock.report().regions.length
      await actor.tell({ do: 'alloc', size: 10_000, keep: false })
      const kept = await actor.tell<number>({ do: 'alloc', size: 100, keep: true })
      const named = await actor.tell<number>({ do: 'create', name: 'cell' })
      assert.equal(machine.heap.memblock.report().regions.length, before + 3)
      await actor.terminate()
      const left = machine.heap.memblock.report().regions
      assert.equal(left.length, before + 2)
      assert.equal(left.find(({ address }) => address === kept)?.owner, undefined)
      assert.equal(machine.objects.open('cell', Cell).address, named)
    })
  })

  it('refuses a worker that has ended, and things that are no workers', async () => {
    const machine = boot()
    const worker = new Worker('', { eval: true })
    await new Promise((resolve) => worker.once('exit', resolve))
    throwsCode(() => machine.supervise(worker), 'PERCPU_ARGUMENT', /ended already/)
    throwsCode(() => machine.supervise({} as SupervisedWorker), 'PERCPU_UNSUPPORTED', /declareDead/)
  })
})

describe('declareDead', () => {
  it('reaps a thread that the caller knows to have stopped', () => {
    const machine = boot({ cpus: 2 })
    joinAs(machine, 101)
    assert.equal(machine.cpus.declareDead(1), true)
    assert.equal(machine.cpus.declareDead(1), false)
    assert.deepEqual(machine.online, [0])
  })

  it('leaves the next thread of that number alone, if told which stay has ended', () => {
    const machine = boot({ cpus: 2 })
    const first = joinAs(machine, 101)
    assert.equal(machine.cpus.declareDead(1, { incarnation: first.cpus.incarnation }), true)
    joinAs(machine, 102)
    assert.equal(machine.cpus.declareDead(1, { incarnation: first.cpus.incarnation }), false)
    assert.deepEqual(machine.online, [0, 1])
  })

  it('by mistake does not let the thread give away the number that another one has by then', async () => {
    const machine = boot({ cpus: 2 })
    const zombie = joinAs(machine, 101)
    machine.cpus.declareDead(1)
    joinAs(machine, 102)
    await zombie.offline()
    assert.deepEqual(machine.online, [0, 1])
  })

  it('refuses the calling CPU and impossible ones', () => {
    const machine = boot({ cpus: 2 })
    throwsCode(() => machine.cpus.declareDead(0), 'PERCPU_ARGUMENT', /itself/)
    throwsCode(() => machine.cpus.declareDead(2), 'PERCPU_ARGUMENT', /CPUs 0 to 1/)
  })
})

describe('hotplug callbacks', () => {
  it('start at once, are torn down in the opposite order, and hear of the dead', async () => {
    const machine = boot({ cpus: 3 })
    const log: string[] = []
    const callbacks = (name: string) => ({
      name,
      startup: () => void log.push(`${name} up`),
      teardown: () => void log.push(`${name} down`),
      dead: (cpu: number, incarnation: number) => void log.push(`${name} dead ${cpu}.${incarnation}`),
    })
    const cpu = joinAs(machine, 101)
    cpu.cpus.addHotplug(callbacks('a'))
    cpu.cpus.addHotplug(callbacks('b'))
    joinAs(machine, 102)
    cpu.cpus.declareDead(2)
    await cpu.offline()
    assert.deepEqual(log, ['a up', 'b up', 'b dead 2.1', 'a dead 2.1', 'b down', 'a down'])
  })

  it('are not added if startup throws', async () => {
    const machine = boot({ cpus: 2 })
    const cause = new Error('no memory')
    const fail = () => {
      throw cause
    }
    assert.throws(
      () =>
        machine.cpus.addHotplug({ name: 'bad', startup: fail, teardown: () => assert.fail('was never up') }),
      (error: { code: string; cause: unknown }) => error.code === 'PERCPU_HOTPLUG' && error.cause === cause,
    )
    throwsCode(() => {
      machine.cpus.addHotplug({ name: 'x' })
      machine.cpus.addHotplug({ name: 'x' })
    }, 'PERCPU_ARGUMENT')
    await machine.offline()
  })

  it('do not keep a CPU online by throwing', async () => {
    const machine = boot({ cpus: 2 })
    const cpu = joinAs(machine, 101)
    let others = 0
    const count = () => {
      others++
    }
    const fail = () => {
      throw new Error('cannot')
    }
    cpu.cpus.addHotplug({ name: 'first', teardown: count })
    cpu.cpus.addHotplug({ name: 'second', teardown: fail })
    await rejectsCode(cpu.offline(), 'PERCPU_HOTPLUG', /teardown of second .*: cannot$/)
    assert.equal(others, 1)
    assert.deepEqual(machine.online, [0])
    throwsCode(() => cpu.online, 'PERCPU_OFFLINE')
  })
})

describe('the header', () => {
  it('is left as it was by joins and deaths', () => {
    const machine = boot({ cpus: 2, memory: '512 KiB' })
    const view = openMemory(machine.handle.buffer)
    const page = () => Array.from({ length: 16 }, (_, i) => loadAtomic32(view.i32, i))
    const before = page()
    joinAs(machine, 101)
    machine.cpus.declareDead(1)
    assert.deepEqual(page(), before)
  })
})
