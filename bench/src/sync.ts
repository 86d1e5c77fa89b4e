/** Benchmarks of locks and sections, beside what one would write or take instead. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot, f64, i32 as int32, locked, struct, u8 } from 'percpu'
import { compareExchangeAtomic32, store32, storeAtomic32 } from 'percpu/mem'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'
import type { Contended } from './sync-threads.js'

const machine = boot({ cpus: 1, journal: 4096 })
const mutex = machine.locks.mutex('uncontended')
const { i32 } = machine.memory
const words = machine.heap.memblock.alloc({ size: 16384 }) / 4

/** V8's own mutex, behind a flag of the process: nanoseconds, measured in a child. */
const v8Mutex: Measure = ({ roundTime }) => {
  const program = `
    const mutex = new Atomics.Mutex()
    let x = 0
    const run = (count) => { for (let i = 0; i < count; i++) Atomics.Mutex.lock(mutex, () => { x++ }) }
    for (let i = 0; i < 100; i++) run(2000)
    const count = ${Math.ceil(roundTime * 20_000)}
    const start = process.hrtime.bigint()
    run(count)
    console.log(Number(process.hrtime.bigint() - start) / count)`
  return Number(execFileSync(process.execPath, ['--harmony-struct', '-e', program], { encoding: 'utf8' }))
}
function hasV8Mutex(): boolean {
  const program = 'process.stdout.write(typeof Atomics.Mutex)'
  return (
    execFileSync(process.execPath, ['--harmony-struct', '-e', program], { encoding: 'utf8' }) === 'function'
  )
}

// The package asks for a `navigator`, which Node has from version 21 on.
if (!('navigator' in globalThis)) Object.assign(globalThis, { navigator: { hardwareConcurrency: 2 } })
const { Mutex: PeerMutex } = await import('multithreading')
const peer = new PeerMutex(new Int32Array(new SharedArrayBuffer(4)))
const PAIR = 'compare-and-exchange, store'
const uncontended: Suite = {
  title: 'mutex, lock and unlock, nobody else wants it',
  unit: 'ns',
  note: "The pair by hand has no owner, no waiters and no recovery. V8's mutex runs in a process of its own, with a callback.",
  rows: [
    {
      name: 'lock, unlock',
      role: 'ours',
      goal: { against: PAIR, atMost: 1.5 },
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) {
          mutex.lock()
          mutex.unlock()
        }
        return count
      }),
    },
    {
      name: PAIR,
      role: 'floor',
      measure: perOperation((count) => {
        let taken = 0
        for (let i = 0; i < count; i++) {
          taken += compareExchangeAtomic32(i32, words, 0, 1)
          storeAtomic32(i32, words, 0)
        }
        return taken
      }),
    },
    ...(hasV8Mutex() ? [{ name: 'Atomics.Mutex.lock', role: 'peer' as const, measure: v8Mutex }] : []),
    {
      name: 'multithreading, blockingLock',
      role: 'peer',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) peer.blockingLock().dispose()
        return count
      }),
    },
  ],
}

let ours: Threads | undefined
let spin: Threads | undefined
const opened = (threads: Threads | undefined): Threads => {
  if (!threads) throw new Error('the threads are not running')
  return threads
}
const contended: Suite = {
  title: 'mutex, wanted by two threads all the time',
  unit: 'ns',
  note: 'Per lock and unlock of one thread, with one plain increment inside.',
  take: 'median',
  setUp: async () => {
    const shared = boot({ cpus: 3 })
    shared.locks.mutex('contended')
    const data: Contended = { handle: shared.handle, word: shared.heap.memblock.alloc({ size: 128 }) / 4 }
    const module = new URL('./sync-threads.js', import.meta.url)
    ours = await Threads.open(module, 'lockMutex', 2, data)
    const bare = boot({ cpus: 3 })
    const bareData: Contended = { handle: bare.handle, word: bare.heap.memblock.alloc({ size: 128 }) / 4 }
    spin = await Threads.open(module, 'spinPair', 2, bareData)
  },
  rows: [
    { name: 'lock, unlock', role: 'ours', measure: (effort) => opened(ours).measure(effort) },
    {
      name: 'spinning with compare-and-exchange, store',
      role: 'floor',
      measure: (effort) => opened(spin).measure(effort),
    },
  ],
  tearDown: async () => {
    await Promise.all([ours?.close(), spin?.close()])
  },
}

const BATCH = 1024
const Account = struct('Account', {
  balance: locked(int32, 'uncontended'),
  rate: locked(f64, 'uncontended'),
  flag: locked(u8, 'uncontended'),
})
const account = Account.at(machine.memory, words * 4)
const journal: Suite = {
  title: 'a field written through the journal',
  unit: 'ns',
  note: `Sections of ${BATCH} words each; the lock and the commit are shared among them.`,
  rows: [
    {
      name: 'section.write32',
      role: 'ours',
      goal: { against: 'a bare store', atMostMore: 3 },
      measure: perOperation((count) => {
        for (let done = 0; done < count; done += BATCH) {
          mutex.run((section) => {
            for (let i = 0; i < BATCH; i++) section.write32(words + i, i)
          })
        }
        return count
      }),
    },
    {
      name: 'an i32 field, section.at',
      role: 'ours',
      goal: { against: 'section.write32', atMost: 1.1 },
      measure: perOperation((count) => {
        for (let done = 0; done < count; done += BATCH) {
          mutex.run((section) => {
            const own = section.at(account)
            for (let i = 0; i < BATCH; i++) own.balance = i
          })
        }
        return count
      }),
    },
    {
      name: 'an f64 field, section.at',
      role: 'ours',
      compareWith: 'section.write32',
      measure: perOperation((count) => {
        for (let done = 0; done < count; done += BATCH) {
          mutex.run((section) => {
            const own = section.at(account)
            for (let i = 0; i < BATCH; i++) own.rate = i
          })
        }
        return count
      }),
    },
    {
      name: 'a u8 field, section.at',
      role: 'ours',
      compareWith: 'section.write32',
      measure: perOperation((count) => {
        for (let done = 0; done < count; done += BATCH) {
          mutex.run((section) => {
            const own = section.at(account)
            for (let i = 0; i < BATCH; i++) own.flag = i
          })
        }
        return count
      }),
    },
    {
      name: 'a bare store',
      role: 'floor',
      measure: perOperation((count) => {
        for (let done = 0; done < count; done += BATCH) {
          for (let i = 0; i < BATCH; i++) store32(i32, words + i, i)
        }
        return count
      }),
    },
  ],
}

/** Milliseconds from the call of `terminate` to the moment at which the CPU is free again. */
const killAndReap: Measure = async () => {
  const reaping = boot({ cpus: 2 })
  const worker = new Worker(new URL('./sync-victim.js', import.meta.url), { workerData: reaping.handle })
  const { reaped } = reaping.supervise(worker)
  await once(worker, 'message')
  const start = process.hrtime.bigint()
  void worker.terminate()
  await reaped
  return Number(process.hrtime.bigint() - start) / 1e6
}
const death: Suite = {
  title: 'from kill to fully reaped',
  unit: 'ms',
  take: 'median',
  note: 'A worker that holds a mutex inside a section of 256 words; most of the time is that of `terminate` itself.',
  rows: [
    { name: 'terminate, until the CPU is free', role: 'ours', goal: { below: 5 }, measure: killAndReap },
  ],
}

export const suites: readonly Suite[] = [uncontended, contended, journal, death]
