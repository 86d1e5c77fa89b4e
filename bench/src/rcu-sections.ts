/** Benchmarks of SRCU's read sections, beside Userspace RCU and what one would take instead. */
import { IOMutex } from 'asymmetric-io-mutex'
import { Mutex } from 'async-mutex'
import { boot } from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Row, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'
import { runUrcu, type UrcuFlavour } from './native.js'
import type { Reading } from './rcu-threads.js'

const machine = boot({ cpus: 4 })
const fast = machine.srcu('fast')
const normal = machine.srcu('normal', { flavour: 'normal' })
const { i32 } = machine.memory
const words = machine.heap.memblock.alloc({ size: 128 }) / 4

// The package asks for a `navigator`, which Node has from version 21 on.
if (!('navigator' in globalThis)) Object.assign(globalThis, { navigator: { hardwareConcurrency: 2 } })
const { RwLock } = await import('multithreading')
const rwLock = new RwLock()
const ioMutex = new IOMutex()
ioMutex.initialize(new SharedArrayBuffer(64))
const mutex = new Mutex()

/** Each flavour by a loop of its own, so that one does not know of the other's class. */
const lockFast = perOperation((count) => {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const token = fast.readLock()
    sum += token
    fast.readUnlock(token)
  }
  return sum
})
const lockNormal = perOperation((count) => {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const token = normal.readLock()
    sum += token
    normal.readUnlock(token)
  }
  return sum
})

const urcuRow = (flavour: UrcuFlavour): Row => ({
  name: `liburcu ${flavour}, read lock and unlock`,
  role: 'peer',
  measure: ({ roundTime }) => runUrcu(flavour, 'read', String(4 * roundTime)),
})
const MEMB = 'liburcu memb, read lock and unlock'
const synchronous: Suite = {
  title: 'SRCU, a read section',
  unit: 'ns',
  note: 'It begins and ends, and has nothing in it. Userspace RCU is C, in a process of its own. The lock of `multithreading` lies in a SharedArrayBuffer.',
  rows: [
    {
      name: 'fast, readLock and readUnlock',
      role: 'ours',
      goal: { against: MEMB, atMost: 1 },
      measure: lockFast,
    },
    { name: 'normal, readLock and readUnlock', role: 'ours', compareWith: MEMB, measure: lockNormal },
    {
      name: 'fast, using section()',
      role: 'ours',
      compareWith: 'fast, readLock and readUnlock',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          using section = fast.section()
          sum += section.isOpen ? 1 : 0
        }
        return sum
      }),
    },
    {
      name: 'two plain additions to shared words',
      role: 'peer',
      compareWith: MEMB,
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) {
          store32(i32, words, load32(i32, words) + 1)
          store32(i32, words + 1, load32(i32, words + 1) + 1)
        }
        return load32(i32, words)
      }),
    },
    urcuRow('memb'),
    urcuRow('mb'),
    urcuRow('bp'),
    {
      name: 'multithreading, blockingRead',
      role: 'peer',
      compareWith: 'fast, readLock and readUnlock',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) rwLock.blockingRead().dispose()
        return count
      }),
    },
  ],
}

/** Nanoseconds for each call of `operation`, one after another. */
function sequential(operation: () => Promise<unknown>): Measure {
  let count = 1000
  return async ({ roundTime }) => {
    for (;;) {
      const start = process.hrtime.bigint()
      for (let i = 0; i < count; i++) await operation()
      const time = Number(process.hrtime.bigint() - start)
      if (time >= roundTime * 1e6) return time / count
      count *= 2
    }
  }
}

const nothing = (): Promise<void> => Promise.resolve()
const PROTECT = 'fast, await protect'
const awaiting: Suite = {
  title: 'SRCU, a section around an await',
  unit: 'ns',
  note: 'Each awaits a function that awaits nothing. `async-mutex` excludes tasks of one thread only; all others exclude writers on any thread.',
  rows: [
    { name: PROTECT, role: 'ours', measure: sequential(() => fast.protect(nothing)) },
    {
      name: 'normal, await protect',
      role: 'ours',
      compareWith: PROTECT,
      measure: sequential(() => normal.protect(nothing)),
    },
    {
      name: 'async-mutex, runExclusive',
      role: 'peer',
      compareWith: PROTECT,
      measure: sequential(() => mutex.runExclusive(nothing)),
    },
    {
      name: 'multithreading, RwLock.read',
      role: 'peer',
      compareWith: PROTECT,
      measure: sequential(async () => {
        const guard = await rwLock.read()
        try {
          await nothing()
        } finally {
          guard.dispose()
        }
      }),
    },
    {
      name: 'asymmetric-io-mutex, locked for reading',
      role: 'peer',
      compareWith: PROTECT,
      measure: sequential(async () => {
        await ioMutex.lock('o', 'r')
        try {
          await nothing()
        } finally {
          ioMutex.unlock('o', 'r')
        }
      }),
    },
    {
      name: 'no section',
      role: 'peer',
      compareWith: PROTECT,
      measure: sequential(async () => {
        await nothing()
      }),
    },
  ],
}

const loops = ['readFast', 'readNormal', 'readRwLock'] as const
const running = new Map<string, readonly [one: Threads, two: Threads]>()
/** Millions of sections a second, of all threads together. */
function rate(loop: (typeof loops)[number], threads: 1 | 2): Measure {
  return async (effort) => {
    const opened = running.get(loop)?.[threads - 1]
    if (!opened) throw new Error('the threads are not running')
    return (threads * 1000) / (await opened.measure(effort))
  }
}
const threadRows = (name: string, role: Row['role'], loop: (typeof loops)[number]): Row[] => [
  { name: `${name}, one thread`, role, measure: rate(loop, 1) },
  {
    name: `${name}, two threads`,
    role,
    ...(role === 'ours'
      ? { goal: { against: `${name}, one thread`, atLeast: 2 } }
      : { compareWith: `${name}, one thread` }),
    measure: rate(loop, 2),
  },
]
const together: Suite = {
  title: 'SRCU, read sections of one and of two threads',
  unit: 'million/s',
  take: 'highest',
  note: 'Sections of one domain, of all threads together.',
  setUp: async () => {
    const module = new URL('./rcu-threads.js', import.meta.url)
    for (const loop of loops) {
      const open = (count: number): Promise<Threads> => {
        const { handle } = boot({ cpus: 4 })
        const data: Reading = { handle, lock: new SharedArrayBuffer(4) }
        return Threads.open(module, loop, count, data)
      }
      running.set(loop, [await open(1), await open(2)])
    }
  },
  rows: [
    ...threadRows('fast', 'ours', 'readFast'),
    ...threadRows('normal', 'ours', 'readNormal'),
    ...threadRows('multithreading, blockingRead', 'peer', 'readRwLock'),
  ],
  tearDown: async () => {
    for (const each of running.values()) for (const threads of each) await threads.close()
  },
}

export const sectionSuites: readonly Suite[] = [synchronous, awaiting, together]
