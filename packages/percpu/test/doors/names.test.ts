/**
 * Names with odd characters: each is kept as it is, or refused with a typed error. No two become
 * one, and what is read back is what was given.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32, locked, PercpuError, struct, type Machine } from 'percpu'
import type { Kind } from './kinds.js'
import { table } from './table.js'
import { Pair, World } from './world.js'

const names: readonly string[] = [
  ...['', ' ', 'a', 'A', 'a ', ' a', 'a\0', 'a\0b', '\0', 'a\n', 'a\tb', '\u007f'],
  ...['\ud800', 'a\udc00', '\udc00\ud800', '\ufffd', '\ufeffa', 'é', 'e\u0301', 'ﬁ', 'fi'],
  ...[
    '😀',
    '😀'.repeat(10),
    '😀'.repeat(11),
    '😀'.repeat(14),
    '😀'.repeat(15),
    'é'.repeat(22),
    'é'.repeat(23),
  ],
  ...[16, 17, 39, 40, 41, 44, 45, 56, 57, 255, 256, 1000, 100_000].map((length) => 'x'.repeat(length)),
  ...[`${'x'.repeat(43)}é`, `${'x'.repeat(55)}é`, `${'x'.repeat(39)}é`],
  ...['percpu.', 'percpu.x', 'percpu', 'size-64', 'Mutex', 'undefined', 'null', '0', '-0', '-1', '1e3'],
  ...['\u202ea', 'a\u200f', 'א', '\u2066a\u2069', 'A\u030a', 'Å', '\u212b'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'then', 'valueOf'],
]

/** Makes or finds what has the name; the mark says that it is this one. */
interface Naming {
  readonly mark: (machine: Machine, name: string, mark: number) => unknown
  readonly read: (machine: Machine, name: string) => unknown
}

/** What is known by where it lies. */
function placed(find: (machine: Machine, name: string) => number): Naming {
  const places = new Map<number, number>()
  return {
    mark: (machine, name, mark) => {
      const place = find(machine, name)
      assert.ok(!places.has(place), `${JSON.stringify(name)} is another name, too`)
      places.set(place, mark)
    },
    read: (machine, name) => places.get(find(machine, name)),
  }
}
/** What is told of while it is made: the text that is read back. */
function told(tell: (machine: Machine, name: string) => unknown): Naming {
  return {
    mark: (machine, name) => {
      assert.equal(tell(machine, name), name)
    },
    read: () => undefined,
  }
}

const namings: Readonly<Record<string, Naming>> = {
  'Locks.mutex': placed(({ locks }, name) => locks.mutex(name).address),
  'Locks.completion': placed(({ locks }, name) => locks.completion(name).address),
  'Locks.condition': placed(({ locks }, name) => locks.condition(name, locks.mutex('of it')).address),
  'Locks.seqlock': placed(({ locks }, name) => locks.seqlock(name).address),
  'Locks.semaphore': placed(({ locks }, name) => locks.semaphore(name, 1).address),
  'Objects.create': {
    mark: ({ objects }, name, mark) => objects.create(name, Pair, (pair) => (pair.a = mark)),
    read: ({ objects }, name) => objects.open(name, Pair).a,
  },
  'Objects.openOrCreate': {
    mark: ({ objects }, name, mark) => (objects.openOrCreate(name, Pair).a = mark),
    read: ({ objects }, name) => objects.openOrCreate(name, Pair).a,
  },
  'Heap.cache': told(({ heap }, name) => heap.cache(name, Pair).name),
  'Percpu()': {
    mark: ({ percpu }, name, mark) => (percpu(Pair, { name }).local.a = mark),
    read: ({ percpu }, name) => percpu(Pair, { name }).local.a,
  },
  'Percpu.i32': {
    mark: ({ percpu }, name, mark) => (percpu.i32({ name }).local = mark),
    read: ({ percpu }, name) => percpu.i32({ name }).local,
  },
  'Percpu.counter': {
    mark: ({ percpu }, name, mark) => percpu.counter(name).set(mark),
    read: ({ percpu }, name) => percpu.counter(name).sum(),
  },
  'Percpu.ref': {
    mark: ({ percpu }, name, mark) => (mark % 2 === 0 ? percpu.ref(name) : percpu.ref(name).kill()),
    read: ({ percpu }, name) => percpu.ref(name).isDying,
  },
  'Percpu.rwSemaphore': {
    mark: ({ percpu }, name, mark) => {
      const lock = percpu.rwSemaphore(name)
      for (let i = 0; i < mark % 7; i++) lock.readLock()
    },
    read: ({ percpu }, name) => percpu.rwSemaphore(name).readers,
  },
  'Machine.srcu': {
    mark: (machine, name, mark) => {
      assert.equal(machine.srcu(name).name, name)
      for (let i = 0; i < mark % 7; i++) machine.srcu(name).readLock()
    },
    read: (machine, name) =>
      machine.watch.inspect().gracePeriods.find((one) => one.domain === name)?.sections,
  },
  'Machine.map': {
    mark: (machine, name, mark) => {
      const map = machine.map(name, { key: 'string', value: 'i32' })
      assert.equal(map.name, name)
      map.set('', mark)
    },
    read: (machine, name) => machine.map(name, { key: 'string', value: 'i32' }).get(''),
  },
  'Machine.ring': {
    mark: (machine, name, mark) => {
      const ring = machine.ring(name, { value: 'i32', bytes: 64 })
      assert.equal(ring.name, name)
      assert.equal(ring.trySend(mark), true)
    },
    read: (machine, name) => machine.ring(name, { value: 'i32', bytes: 64 }).tryReceive(),
  },
  'Machine.rangeMap': {
    mark: (machine, name, mark) => {
      const map = machine.rangeMap(name, { key: 'u32', value: 'i32' })
      assert.equal(map.name, name)
      map.set(0, 0, mark)
    },
    read: (machine, name) => machine.rangeMap(name, { key: 'u32', value: 'i32' }).lookup(0),
  },
  'Machine.space': {
    mark: (machine, name, mark) => {
      const space = machine.space(name)
      assert.equal(space.name, name)
      space.map(mark * 4096, 4096)
    },
    read: firstPage,
  },
  'AddressSpace.fork': {
    mark: async (machine, name, mark) => {
      const fork = await machine.space('what is forked').fork(name)
      assert.equal(fork.name, name)
      fork.map(mark * 4096, 4096)
    },
    read: firstPage,
  },
  'Machine.sparseArray': {
    mark: (machine, name, mark) => {
      const array = machine.sparseArray(name, { value: 'i32' })
      assert.equal(array.name, name)
      array.set(0, mark)
    },
    read: firstValue,
  },
  'SparseArray.snapshot': {
    mark: async (machine, name, mark) => {
      const array = machine.sparseArray('what is copied', { value: 'i32' }).set(0, mark)
      assert.equal((await array.snapshot(name)).name, name)
    },
    read: firstValue,
  },
  'Machine.run': told((machine, name) =>
    machine.run(name, () => machine.watch.inspect().cpus[0]?.work?.label),
  ),
  'Cpus.registerFunction': {
    mark: ({ cpus }, name, mark) => cpus.registerFunction(name, () => called.push(mark)),
    read: async ({ cpus }, name) => {
      await cpus.call(0, name)
      return called.pop()
    },
  },
  'Heap.alloc label': told(({ heap }, label) => {
    const address = heap.alloc(64, { label })
    return heap.allocations().find((one) => one.address === address)?.label
  }),
  'Memblock.alloc label': told(({ heap }, label) => {
    const address = heap.memblock.alloc({ size: 64, label })
    return heap.memblock.report().regions.find((one) => one.address === address)?.label
  }),
  struct: told((_machine, name) => struct(name, { a: i32 }).name),
  locked: told((_machine, name) => locked(i32, name).lock),
}
const called: number[] = []
function firstPage(machine: Machine, name: string): number | undefined {
  const [area] = machine.space(name).maps()
  return area && area.address / 4096
}
function firstValue(machine: Machine, name: string): number {
  return machine.sparseArray(name, { value: 'i32' }).get(0)
}

/** What a mark reads as, where the mark itself is not kept. */
const readsAs: Readonly<Record<string, (mark: number) => unknown>> = {
  'Percpu.ref': (mark) => mark % 2 === 1,
  'Percpu.rwSemaphore': (mark) => mark % 7,
  'Machine.srcu': (mark) => mark % 7,
}

describe('a name is kept as it is, or refused', () => {
  for (const [door, { mark, read }] of Object.entries(namings)) {
    it(`by ${door}`, async () => {
      const world = new World({ memory: '4 MiB', debugHeap: true })
      try {
        const kept: string[] = []
        for (const [at, name] of names.entries()) {
          try {
            await mark(world.machine, name, at + 1)
            kept.push(name)
          } catch (error) {
            if (!(error instanceof PercpuError)) throw error
            assert.ok(error.message.length < 500, error.message.slice(0, 100))
          }
        }
        assert.ok(kept.includes('a'))
        for (const name of kept) {
          const found = await read(world.machine, name)
          const wanted = names.indexOf(name) + 1
          if (found !== undefined)
            assert.equal(found, (readsAs[door] ?? ((it) => it))(wanted), JSON.stringify(name))
        }
      } finally {
        await world.end()
      }
    })
  }

  it('by every operation that takes one', () => {
    const takesName = (kind: Kind): boolean =>
      kind.name === 'name' || Object.values(kind.fields ?? {}).some(takesName)
    const missing = table
      .filter(({ takes, exempt }) => exempt === undefined && takes.some(takesName))
      .map(({ door }) => door)
      .filter((door) => !(door in namings) && !elsewhere.has(door))
    assert.deepEqual(missing, [])
  })
})

/** They open what others make, or make the same. */
const elsewhere = new Set([
  ...[
    'Objects.open',
    'Objects.remove',
    'Locks.remove',
    'Percpu.remove',
    'Machine.remove',
    'Cpus.call',
    'Cpus.addHotplug',
  ],
  ...['u8', 'i8', 'u16', 'i16', 'u32', 'u64', 'f32', 'f64'].map((scalar) => `Percpu.${scalar}`),
])
