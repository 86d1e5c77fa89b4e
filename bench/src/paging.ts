/** Benchmarks of address spaces and sparse arrays. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot, type AddressSpace } from 'percpu'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import type { PagingOrder, PagingWorkerData } from './paging-worker.js'

const PAGE = 4096
const BLOCK = 1024 * PAGE
const GIB = 2 ** 30
/** Pages that fit the TLB, and so many that none is found there again. */
const FEW = 64
const MANY = 4096
const WORKERS = 2

const machine = boot({ memory: '4 GiB', cpus: WORKERS + 1 })
const space = machine.space('read')
space.map(0, MANY * PAGE)
space.populate(0, MANY * PAGE)
/** All of its pages are a fork's, too: reading them is counted, and nothing is kept. */
const shared = machine.space('shared')
shared.map(0, FEW * PAGE)
shared.populate(0, FEW * PAGE)
await shared.fork('fork')
const numbers = machine.sparseArray('numbers', { value: 'f64' })
for (let i = 0; i < FEW * 512; i++) numbers.set(i, i)
const private64 = new Float64Array(FEW * 512)
const privateMap = new Map(Array.from({ length: FEW * 512 }, (_, i) => [i, i]))

const TYPED = 'private Float64Array'
const access: Suite = {
  title: 'read and write a word',
  unit: 'ns',
  note: `Of ${FEW} pages, which the TLB has; or of ${MANY.toLocaleString('en')} in turns, which it has not: each access walks three levels.`,
  rows: [
    {
      name: 'AddressSpace.read, TLB hit',
      role: 'ours',
      goal: { below: 4 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += space.read((i & (FEW * 1024 - 1)) * 4)
        return sum
      }),
    },
    {
      name: 'AddressSpace.write, TLB hit',
      role: 'ours',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) space.write((i & (FEW * 1024 - 1)) * 4, i)
        return count
      }),
    },
    {
      name: 'AddressSpace.read, three-level walk',
      role: 'ours',
      goal: { below: 25 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += space.read((i & (MANY - 1)) * PAGE)
        return sum
      }),
    },
    {
      name: 'AddressSpace.read, shared with a fork',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += shared.read((i & (FEW * 1024 - 1)) * 4)
        return sum
      }),
    },
    {
      name: 'AddressSpace.read, deaf',
      role: 'ours',
      measure: perOperation((count) =>
        machine.cpus.deaf(() => {
          let sum = 0
          for (let i = 0; i < count; i++) sum += space.read((i & (FEW * 1024 - 1)) * 4)
          return sum
        }),
      ),
    },
    {
      name: 'SparseArray.get, TLB hit',
      role: 'ours',
      compareWith: TYPED,
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += numbers.get(i & (FEW * 512 - 1))
        return sum
      }),
    },
    {
      name: TYPED,
      role: 'floor',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += private64[i & (FEW * 512 - 1)] ?? 0
        return sum
      }),
    },
    {
      name: 'private Map of numbers',
      role: 'peer',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += privateMap.get(i & (FEW * 512 - 1)) ?? 0
        return sum
      }),
    },
  ],
}

const workers: Worker[] = []
async function startWorkers(name: string): Promise<void> {
  for (let i = 0; i < WORKERS; i++) {
    const workerData: PagingWorkerData = { handle: machine.handle, space: name }
    const worker = new Worker(new URL('./paging-worker.js', import.meta.url), { workerData })
    machine.supervise(worker)
    workers.push(worker)
    await once(worker, 'message')
  }
}
async function endWorkers(): Promise<void> {
  for (const worker of workers.splice(0)) {
    const exit = once(worker, 'exit')
    worker.postMessage({ end: true } satisfies PagingOrder)
    await exit
  }
}

const LEAVES = 64
const alone = machine.space('alone')
const walked = machine.space('walked')
/** Milliseconds of unmapping huge leaves, one by one. */
function unmapLeaves(target: AddressSpace): Measure {
  return async () => {
    target.map(0, LEAVES * BLOCK, { huge: true })
    target.populate(0, LEAVES * BLOCK)
    const begun = performance.now()
    for (let leaf = 0; leaf < LEAVES; leaf++) await target.unmap(leaf * BLOCK, BLOCK)
    return performance.now() - begun
  }
}
const RUNG = 'walked by both threads, which are rung'
const unmapping: Suite = {
  title: `unmap ${LEAVES} huge leaves, one by one`,
  unit: 'ms',
  take: 'median',
  note: `${WORKERS} other threads walk a space, in stretches of a millisecond: not this one, or this one.`,
  setUp: () => startWorkers('walked'),
  rows: [
    {
      name: 'walked elsewhere: nobody is rung',
      role: 'ours',
      goal: { against: RUNG, atMost: 0.01 },
      measure: unmapLeaves(alone),
    },
    { name: RUNG, role: 'ours', measure: unmapLeaves(walked) },
  ],
  tearDown: endWorkers,
}

const large = machine.space('large')
const largeHuge = machine.space('large, huge')
let forked: AddressSpace | undefined
/** Milliseconds of a fork, or of the first write after it. */
function fork(target: AddressSpace, part: 'fork' | 'write'): Measure {
  return async () => {
    const begun = performance.now()
    forked = await target.fork()
    const done = performance.now()
    target.write(GIB / 2, 1)
    const written = performance.now()
    await forked.drop()
    return part === 'fork' ? done - begun : written - done
  }
}
const forking: Suite = {
  title: 'fork a space of 1 GiB',
  unit: 'ms',
  take: 'median',
  note: 'All of it has memory, in 262,144 pages or in 256 blocks.',
  setUp: () => {
    large.map(0, GIB)
    large.populate(0, GIB)
    largeHuge.map(0, GIB, { huge: true })
    largeHuge.populate(0, GIB)
  },
  rows: [
    { name: 'fork, pages', role: 'ours', goal: { below: 5 }, measure: fork(large, 'fork') },
    { name: 'first write after it, pages', role: 'ours', measure: fork(large, 'write') },
    { name: 'fork, blocks', role: 'ours', goal: { below: 5 }, measure: fork(largeHuge, 'fork') },
    { name: 'first write after it, blocks', role: 'ours', measure: fork(largeHuge, 'write') },
  ],
  tearDown: async () => {
    await large.drop()
    await largeHuge.drop()
  },
}

const COLUMN = 2 ** 22
const column = machine.sparseArray('column', { value: 'f64' })
const plain = new Float64Array(new SharedArrayBuffer(COLUMN * 8))
const CHUNK = 2 ** 16
function sumOf(values: Float64Array): number {
  let sum = 0
  for (const value of values) sum += value
  return sum
}
const COPY = 'copy of a SharedArrayBuffer, then a scan'
const snapshots: Suite = {
  title: `snapshot and scan ${((COLUMN * 8) / 2 ** 20).toString()} MiB while a thread writes`,
  unit: 'ms',
  take: 'median',
  note: 'The copy is no snapshot: the writer changes it half-way.',
  setUp: async () => {
    for (let i = 0; i < COLUMN; i++) column.set(i, i)
    await startWorkers('column')
  },
  rows: [
    {
      name: 'SparseArray: snapshot, subarray by subarray',
      role: 'ours',
      compareWith: COPY,
      measure: async () => {
        const begun = performance.now()
        const snapshot = await column.snapshot()
        let sum = 0
        for (let at = 0; at < COLUMN; at += CHUNK) sum += sumOf(snapshot.subarray(at, at + CHUNK))
        const time = performance.now() - begun
        await snapshot.drop()
        return sum < 0 ? 0 : time
      },
    },
    {
      name: 'SparseArray.snapshot alone',
      role: 'ours',
      measure: async () => {
        const begun = performance.now()
        const snapshot = await column.snapshot()
        const time = performance.now() - begun
        await snapshot.drop()
        return time
      },
    },
    {
      name: COPY,
      role: 'peer',
      measure: () => {
        const begun = performance.now()
        const sum = sumOf(plain.slice())
        return sum < 0 ? 0 : performance.now() - begun
      },
    },
  ],
  tearDown: endWorkers,
}

export const suites = [access, unmapping, forking, snapshots]
