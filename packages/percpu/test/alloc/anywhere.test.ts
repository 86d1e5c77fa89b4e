/**
 * Each operation of the heap with its thread killed before its first access, its second, … its
 * last, and then cleaned up after; with the reaper killed likewise; and with another CPU's
 * operation in the middle of it at each of these points.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { codeOf } from '../support/codes.js'
import {
  forEachAccess,
  fresh,
  interrupt,
  joinAs,
  killAt,
  killAtAccess,
  look,
  mem,
} from '../support/hooked-percpu.js'
import { bytes } from './support/bytes.js'
import { verify, type Verdict } from './support/verify.js'
import { insideOf } from '../support/inside.js'
import type { Memory } from 'percpu/mem'

const shape = bytes(256, 64)
const wide = bytes(1500)
const { HeapMap } = await import('../../dist/alloc/heap-map.js')
const { USED } = await import('../../dist/alloc/page-map.js')
const { AllocLabels } = await import('../../dist/alloc/debug-labels.js')
const { ZoneLayout } = await import('../../dist/alloc/layouts.js')
const { LayerLock } = await import('../../dist/sync/layer-lock.js')
const { tokenOf } = await import('../../dist/machine/token.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
/** Every access at the beginning, and some of the later ones of long operations. */
const sampled = (at: number): number => (at < 100 ? at : 100 + (at - 100) * 41)
/** The same of the points of `killAt`, of which there are fewer. */
const sampledPoint = (at: number): number => (at < 60 ? at : 60 + (at - 60) * 13)
/** Operations with a moment late in them that sampling would pass over: killed at every point. */
const isWhole = (name: string): boolean => name.includes('several') || name === 'a named cache'
const heapMapOf = (memory: Memory) => {
  const { objects, map } = insideOf(memory)
  return HeapMap.open(memory, objects, map)
}

function holdsLock(machine: Machine, cpu: number): boolean {
  const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
  return [0, 1, 2, 3].some((layer) => mem.loadU32(machine.memory.u32, map.layerRecord(cpu, layer)) !== 0)
}
function times<Result>(count: number, run: (i: number) => Result): Result[] {
  return Array.from({ length: count }, (_, i) => run(i))
}
/** What is allocated, without what belongs to the heap itself. */
function allocatedIn({ objects, blocks, cacheBlocks }: Verdict): string[] {
  const large = [...blocks].filter(([page, { kind }]) => kind === USED && !cacheBlocks.has(page))
  return [
    ...[...objects.keys()].map((at) => `object ${at}`),
    ...large.map(([page]) => `block ${page}`),
  ].sort()
}
function whole(machine: Machine, when: string): Verdict {
  const verdict = verify(machine)
  assert.deepEqual(verdict.faults, [], when)
  return verdict
}

/** What another CPU handed over: kept objects and blocks. */
interface Given {
  readonly objects: readonly number[]
  readonly pages: readonly number[]
  readonly large: readonly number[]
  /** One of two or more pages a slab, in a slab of its own. */
  readonly wide: number
}
/** Operations of CPU 1, after `prepare` on CPU 0. */
const operations: Readonly<Record<string, (cpu: Machine, given: Given) => unknown>> = {
  'allocating and freeing': (cpu) => times(3, () => cpu.heap.free(cpu.heap.alloc(64))),
  'a named cache': (cpu) => cpu.heap.cache('new', shape).alloc(),
  'taking more objects than a magazine holds': (cpu) => {
    const cache = cpu.heap.cache('known', shape)
    times(20, () => cache.alloc())
  },
  'freeing more objects than a magazine holds': (cpu, { objects }) => {
    for (const address of objects) {
      cpu.heap.adopt(address)
      cpu.heap.free(address)
    }
  },
  'freeing everything and shrinking': (cpu, { objects, pages }) => {
    for (const address of objects) {
      cpu.heap.adopt(address)
      cpu.heap.free(address)
    }
    for (const address of pages) {
      cpu.heap.pages.adopt(address)
      cpu.heap.pages.free(address, 0)
    }
    cpu.heap.trim()
  },
  'taking the first object of a slab of several pages': (cpu) => {
    // More than the slab that there is has.
    times(6, () => cpu.heap.cache('wide', wide).alloc())
  },
  'giving the last object of a slab of several pages back': (cpu, { wide: address }) => {
    cpu.heap.adopt(address)
    cpu.heap.free(address)
    cpu.heap.cache('wide', wide).trim()
  },
  'keeping and disowning': (cpu) => {
    const [a, b] = [cpu.heap.alloc(100), cpu.heap.alloc(100)]
    cpu.heap.persist(a)
    cpu.heap.persist(b)
    for (const address of [a, b]) {
      cpu.heap.adopt(address)
      cpu.heap.free(address)
    }
  },
  'pages of all orders': (cpu) => {
    const taken = times(5, (order) => cpu.heap.pages.alloc(order))
    taken.forEach((address, order) => cpu.heap.pages.free(address, order))
  },
  'more pages than a stack holds': (cpu) => {
    for (const address of times(6, () => cpu.heap.pages.alloc(0, { zero: true })))
      cpu.heap.pages.free(address, 0)
  },
  'a large block': (cpu) => cpu.heap.free(cpu.heap.alloc(9000, { zero: true })),
  'freeing pages of another CPU': (cpu, { pages }) => {
    for (const address of pages) cpu.heap.pages.free(address, 0)
  },
  'freeing large blocks of another CPU': (cpu, { large }) => {
    for (const address of large) cpu.heap.free(address)
  },
  'running out of memory': (cpu) => {
    for (;;) if (cpu.heap.pages.tryAlloc(3) === undefined) break
    codeOf(() => times(2000, () => cpu.heap.cache('known', shape).alloc()))
  },
  misuse: (cpu, { objects }) => {
    const [first = 0] = objects
    codeOf(() => cpu.heap.free(first + 8))
    const own = cpu.heap.alloc(16)
    cpu.heap.free(own)
    codeOf(() => cpu.heap.free(own))
    codeOf(() => cpu.heap.persist(own))
  },
}
const inDebugMode = ['allocating and freeing', 'freeing more objects than a magazine holds', 'misuse']
function prepare(machine: Machine): Given {
  const cache = machine.heap.cache('known', shape)
  const objects = times(14, () => cache.alloc({ persist: true }))
  const pages = times(5, () => machine.heap.pages.alloc(0))
  for (const address of pages) machine.heap.pages.persist(address)
  const large = [4096, 9000].map((size) => machine.heap.alloc(size, { persist: true }))
  const address = machine.heap.cache('wide', wide).alloc({ persist: true })
  // Whoever frees this one empties its slab.
  machine.heap.cache('wide', wide).trim()
  return { objects, pages, large, wide: address }
}

describe('a thread killed before any access', () => {
  for (const debug of [false, true]) {
    for (const [name, run] of Object.entries(operations)) {
      if (debug && !inDebugMode.includes(name)) continue
      it(`of ${name} loses nothing${debug ? ', in debug mode' : ''}`, () => {
        const points = forEachAccess((point) => {
          const at = isWhole(name) ? point : sampledPoint(point)
          const machine = fresh({ debugHeap: debug })
          const given = prepare(machine)
          const cpu = joinAs(machine, 101)
          const before = new Set(allocatedIn(whole(machine, 'before')))
          const killed = killAt(() => run(cpu, given), at, cpu)
          const when = `access ${at}`
          assert.equal(machine.cpus.declareDead(1), true)
          const verdict = whole(machine, when)
          // Whatever is allocated now was before: nothing is left of the dead, and nothing else is
          // gone but what it freed. (What it kept, it kept.)
          const isKept = (what: string): boolean => name.startsWith('keeping') && what.startsWith('object')
          for (const what of allocatedIn(verdict))
            assert.ok(before.has(what) || isKept(what), `${when}: ${what} is left`)
          // The next thread of this number goes on with what it finds.
          const next = joinAs(machine, 102)
          times(3, () => next.heap.free(next.heap.alloc(64)))
          whole(machine, `${when}, with a new thread`)
          return killed
        })
        assert.ok(points > 3, `only ${points} points`)
      })
    }
  }

  it('of linking an object in a section leaves it linked and kept, or neither', () => {
    let linked = 0
    const points = forEachAccess((at) => {
      const machine = fresh()
      const root = machine.heap.memblock.alloc({ size: 64 }) / 4
      const cpu = joinAs(machine, 101)
      const mutex = cpu.locks.mutex('list')
      const killed = killAt(
        () =>
          mutex.run((section) => {
            const address = cpu.heap.alloc(48)
            section.write32(root, address / 8)
            cpu.heap.persist(address, section)
          }),
        at,
        cpu,
      )
      machine.cpus.declareDead(1)
      const { objects } = whole(machine, `access ${at}`)
      const address = load(machine, root) * 8
      assert.deepEqual([...objects.keys()], address === 0 ? [] : [address], `access ${at}`)
      if (address !== 0) linked++
      return killed
    })
    assert.ok(points > 20 && linked > 0 && linked < points)
  })

  it('of unlinking and freeing an object leaves it linked and kept, or free', () => {
    forEachAccess((at) => {
      const machine = fresh()
      const root = machine.heap.memblock.alloc({ size: 64 }) / 4
      const address = machine.heap.alloc(48, { persist: true })
      const cpu = joinAs(machine, 101)
      machine.locks.mutex('list').run((section) => section.write32(root, address / 8))
      const killed = killAt(
        () => {
          cpu.locks.mutex('list').run((section) => {
            section.write32(root, 0)
            cpu.heap.adopt(address, section)
          })
          cpu.heap.free(address)
        },
        at,
        cpu,
      )
      machine.cpus.declareDead(1)
      const { objects } = whole(machine, `access ${at}`)
      assert.deepEqual([...objects.keys()], load(machine, root) === 0 ? [] : [address], `access ${at}`)
      return killed
    })
  })
})
function load(machine: Machine, word: number): number {
  return mem.load32(machine.memory.i32, word)
}

describe('a reaper killed before any access', () => {
  it('leaves nothing that the next reaper does not finish', () => {
    const points = forEachAccess((point) => {
      const at = sampledPoint(point)
      const machine = fresh()
      const given = prepare(machine)
      const before = allocatedIn(whole(machine, 'before'))
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      times(9, () => victim.heap.alloc(64))
      times(9, () => victim.heap.cache('known', shape).alloc())
      victim.heap.pages.alloc(2)
      victim.heap.pages.alloc(0)
      // Its thread just stops in the middle of refilling.
      killAtAccess(() => times(9, () => victim.heap.alloc(64)), 30, victim)
      const killed = killAt(() => reaper.cpus.declareDead(1), at, reaper)
      if (killed) {
        machine.cpus.declareDead(2)
        if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
      }
      assert.deepEqual(allocatedIn(whole(machine, `access ${at}`)), before)
      assert.equal(given.objects.length, 14)
      return killed
    })
    assert.ok(points > 40, `only ${points} points`)
  })

  it('or that finds a lock held by another dead thread leaves the rest to the others', () => {
    const machine = fresh()
    prepare(machine)
    const before = allocatedIn(whole(machine, 'before'))
    const points = forEachAccess((at) => {
      const [first, second] = [joinAs(machine, 101), joinAs(machine, 102)]
      times(9, () => first.heap.alloc(64))
      first.heap.pages.alloc(1)
      const killed = killAt(() => times(5, () => second.heap.alloc(64)), at, second)
      machine.cpus.declareDead(first.cpu)
      machine.cpus.declareDead(second.cpu)
      machine.heap.trim()
      assert.deepEqual(allocatedIn(whole(machine, `access ${at}`)), before)
      return killed
    })
    assert.ok(points > 15)
  })
})

describe('what a reaper could not free', () => {
  it('is freed by the next CPU that takes the lock, whenever that was released', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [victim, other] = [joinAs(machine, 101), joinAs(machine, 102)]
      victim.heap.pages.alloc(1)
      other.heap.pages.free(other.heap.pages.alloc(1), 1)
      // CPU 0 has the zone locked.
      const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
      const holder = new LayerLock(machine.memory, map.layerRecord(0, 3), tokenOf(0, 1))
      const heap = heapMapOf(machine.memory)
      holder.lock(heap.zone(0) + ZoneLayout.words.lock)
      let isHeld = true
      const take = (): void => {
        if (isHeld) holder.unlock()
        isHeld = false
        other.heap.pages.free(other.heap.pages.alloc(1), 1)
      }
      const done = interrupt(
        () => machine.cpus.declareDead(1),
        at,
        () => {
          if (!holdsLock(machine, 1)) take()
        },
      )
      take()
      whole(machine, `access ${at}`)
      return done
    })
    assert.ok(points > 100, `only ${points} accesses`)
  })
})

describe('another CPU', () => {
  it('sees a cache complete, or not at all', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101), joinAs(machine, 102)]
      return look(
        () => a.heap.cache('new', shape),
        at,
        () => {
          const names = b.heap.report().caches.map(({ name, size }) => [name, size])
          if (names.length > 0) assert.deepEqual(names, [['new', shape.size]], `access ${at}`)
        },
      )
    })
    assert.ok(points > 30)
  })

  it('sees a label complete, or not at all', () => {
    const points = forEachAccess((at) => {
      const machine = fresh({ debugHeap: true })
      const a = joinAs(machine, 101)
      const { memory } = machine
      const agent = { memory, map: heapMapOf(memory) }
      return look(
        () => a.heap.alloc(8, { label: 'first' }),
        at,
        () => {
          const text = new AllocLabels(agent as never).text(1)
          assert.ok(text === undefined || text === 'first', `access ${at}: '${text}'`)
        },
      )
    })
    assert.ok(points > 30)
  })
})

describe('two CPUs', () => {
  for (const [name, first] of Object.entries(operations)) {
    it(`one of which comes in the middle of ${name}`, () => {
      let intrusions = 0
      forEachAccess((point) => {
        const at = sampled(point)
        const machine = fresh()
        const given = prepare(machine)
        const [a, b] = [joinAs(machine, 101), joinAs(machine, 102)]
        const done = interrupt(
          () => first(a, given),
          at,
          () => {
            // Where `a` holds a lock, `b` would wait.
            if (holdsLock(machine, a.cpu)) return
            intrusions++
            codeOf(() => b.heap.free(b.heap.alloc(64)))
            codeOf(() => b.heap.cache('known', shape).alloc())
            b.heap.pages.tryAlloc(0)
            b.heap.pages.tryAlloc(1)
            const [, second = 0] = given.objects
            if (name === 'allocating and freeing') b.heap.free(second)
          },
        )
        whole(machine, `access ${at}`)
        return done
      })
      assert.ok(intrusions > 0, `only ${intrusions} intrusions`)
    })
  }
})
