/** What `console.log` shows of the objects of the library: a line that names them, no internals. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { ArgumentError, boot } from 'percpu'
import { oddValues } from './odd.js'
import { Pair, Sample, small, World } from './world.js'

/** The kinds of objects that programs get, by the name that they show. */
function* objectsOf(world: World): Generator<readonly [string, unknown]> {
  const { machine } = world
  const { cpus, heap, locks, objects, percpu, rcu, watch } = machine
  yield* Object.entries({
    Memory: machine.memory,
    Machine: machine,
    Cpus: cpus,
    Heap: heap,
    Locks: locks,
    Objects: objects,
  })
  yield* Object.entries({ Percpu: percpu, Rcu: rcu, Watch: watch, PageAllocator: heap.pages })
  yield* Object.entries({ Memblock: heap.memblock, Cache: heap.cache('pair', Pair), Layout: Sample })
  const mutex = locks.mutex('m')
  const semaphore = locks.semaphore('s', 2)
  yield* Object.entries({ Mutex: mutex, MutexGuard: world.guard(), Semaphore: semaphore })
  yield* Object.entries({ Seqlock: locks.seqlock('q'), Completion: locks.completion('c') })
  yield* Object.entries({ Condition: locks.condition('d', mutex), Permits: semaphore.acquire() })
  yield* Object.entries({ PercpuI32: percpu.i32(), PercpuStruct: percpu(Pair), PercpuRef: percpu.ref('r') })
  const lock = percpu.rwSemaphore('w')
  yield* Object.entries({
    PercpuCounter: percpu.counter('n'),
    PercpuRwSemaphore: lock,
    ReadGuard: lock.readLock(),
  })
  const domain = machine.srcu('domain')
  yield* Object.entries({ Srcu: domain, SrcuSection: domain.section(), Monitor: watch.monitor() })
  yield* Object.entries({ VpaRegistry: watch.registrations, CpuAreas: watch.areasOf(0) })
  const space = machine.space('space')
  space.map(0, 4096)
  yield* Object.entries({ AddressSpace: space, Pin: space.pin(0) })
  yield* Object.entries({ SparseArray: machine.sparseArray('array', { value: 'f64' }) })
  const sample = world.sample()
  yield* Object.entries({ AtomicI32: sample.cell, ViewArray: sample.cells })
}

const isShort = (text: string): boolean =>
  text.length <= 160 && !text.includes('\n') && !/#|Buffer|\[object/.test(text)

describe('postMessage refuses', () => {
  it('each object, and says what to send: what arrived would have no methods', () => {
    const sent = [...objectsOf(new World())].filter(([, object]) => {
      try {
        structuredClone(object)
        return true
      } catch (error) {
        return !/\(send machine\.handle|\(export it from a module/.test((error as Error).message)
      }
    })
    // A function is refused in the words of the host.
    assert.deepEqual(
      sent.map(([name]) => name),
      ['Percpu'],
    )
  })
})

describe('console.log shows', () => {
  it('a line of each object, also after offline', async () => {
    const world = new World()
    const all = [...objectsOf(world)]
    for (const [name, object] of all) {
      const text = inspect(object)
      assert.ok(text.startsWith(name) && isShort(text), `${name}: ${text.slice(0, 300)}`)
    }
    assert.match(inspect(world.machine.locks.semaphore('s', 2).tryAcquire()), /^Permits \{ count: 1 \}$/)
    assert.match(inspect(world.machine.locks.mutex('m')), /^Mutex \{ name: 'mutex 'm'', address: \d+/)
    await world.end()
    for (const [name, object] of all) {
      const text = inspect(object)
      assert.ok(text.startsWith(name) && isShort(text), `${name}: ${text.slice(0, 300)}`)
    }
  })
  it('a line of a section', () => {
    const { machine } = new World()
    machine.locks
      .mutex('m')
      .run((section) => assert.match(inspect(section), /^Section \{ isOpen: true, room: \d+ \}$/))
  })
})

describe('an error that nobody caught shows', () => {
  it('no insides of an object that was passed, which its details have all the same', () => {
    const world = new World()
    for (const [name, object] of objectsOf(world))
      try {
        world.machine.heap.cache('x', object as never)
        assert.equal(name, 'Layout')
      } catch (error) {
        assert.ok(error instanceof ArgumentError)
        assert.equal(error.details['struct'], object)
        // As Node prints it.
        const text = inspect(error, { customInspect: false, depth: 5 }).slice(error.stack?.length)
        assert.ok(text.length < 100, `${name}: ${text.slice(0, 300)}`)
      }
  })
})

describe('messages show', () => {
  const message = (value: unknown): string => {
    try {
      boot({ ...small, cpus: value as number })
    } catch (error) {
      assert.ok(error instanceof ArgumentError)
      return error.message
    }
    return assert.fail('nothing was thrown')
  }
  it('any value, in part if it is long, and run no code of it', () => {
    for (const { label, value } of oddValues)
      if (value !== undefined) assert.ok(message(value).length < 200, `${label}: ${message(value)}`)
    assert.match(message('x'.repeat(1e6)), /^cpus: 'x{64}… \(1000000 characters\)' is not/)
    assert.match(message(10n ** 500n), /^cpus: 10{63}… \(501 characters\)n is not/)
    assert.match(message(Symbol('s')), /^cpus: Symbol\(s\) is not/)
    assert.match(message('3'), /^cpus: '3' is not/)
    assert.match(message(-0), /^cpus: -0 is not/)
    assert.match(message(new Map()), /^cpus: an instance of Map is not/)
    assert.match(message(Object.create(null)), /^cpus: an object is not/)
  })
  it('no half of a character', () => {
    assert.match(message('😀'.repeat(100)), /^cpus: '(?:😀){32}… \(200 characters\)' is not/)
    assert.match(message(`x${'😀'.repeat(100)}`), /^cpus: 'x(?:😀){31}… \(201 characters\)' is not/)
  })
})
