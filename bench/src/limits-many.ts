/** Very many: objects, callbacks, domains, waits, labels and rings. */
import { once as onceOf } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot, findDeadlocks, i32, SrcuLayout, struct, type LockState, type Machine } from 'percpu'
import { few, joinAs, once } from './limits-support.js'
import type { Row, Suite } from './harness/suite.js'

const OBJECTS = 1_000_000
const CALLBACKS = 100_000
const DOMAINS = 1000
const NAMES = 1_000_000
const marks = { callbacks: 2 ** 30, bytes: 2 ** 30 }

function withObjects(): Machine {
  const machine = boot({ memory: '256 MiB', cpus: 2 })
  for (let i = 0; i < OBJECTS; i++) machine.heap.alloc(64)
  return machine
}
const Named = struct('Named', { value: i32 })
function withNames(): Machine {
  const machine = boot({ memory: '512 MiB', cpus: 2 })
  for (let i = 0; i < NAMES; i++) machine.objects.create(`name ${i}`, Named)
  return machine
}
function withDomains(): Machine {
  const machine = boot({ memory: '256 MiB', cpus: 2 })
  for (let i = 0; i < DOMAINS; i++)
    machine.initSrcu(
      machine.heap.alloc(SrcuLayout.size, { align: SrcuLayout.align, zero: true, persist: true }),
    )
  return machine
}
/** A machine, and a CPU that has half a million pages in flight. */
function withPages(): readonly [Machine, number] {
  const machine = boot({ memory: '4 GiB', cpus: 2 })
  const other = joinAs(machine, 101)
  for (let i = 0; i < 500_000; i++) other.heap.pages.alloc(0)
  return [machine, other.cpu]
}
/** So many CPUs that each wait for a lock of each other one; at most 32 each. */
function circles(cpus: number): Map<number, LockState> {
  const numbers = Array.from({ length: cpus }, (_, cpu) => cpu)
  const waits = (cpu: number) => numbers.filter((other) => other !== cpu).slice(0, 32)
  return new Map(
    numbers.map((cpu) => [
      cpu,
      { owned: [], awaited: waits(cpu).map((owner) => ({ address: 64, owner, blocking: false })) },
    ]),
  )
}
const deadlocks = (cpus: number): Row => ({
  name: `finding deadlocks of ${cpus} CPUs that all wait for each other`,
  role: 'ours',
  goal: { below: 100 },
  measure: once(() => circles(cpus), findDeadlocks),
})

const manySuite: Suite = {
  title: 'very many',
  unit: 'ms',
  rows: [
    {
      name: 'heap.verify, a million objects',
      role: 'ours',
      goal: { below: 5000 },
      measure: once(withObjects, (machine) => machine.heap.verify({ quiet: true })),
    },
    {
      name: 'a million named objects: making, finding and removing one more',
      role: 'ours',
      goal: { below: 5 },
      measure: once(withNames, ({ objects }) => {
        objects.create('one more', Named)
        objects.open('one more', Named)
        objects.remove('one more')
      }),
    },
    {
      name: 'cleaning up after a CPU that has half a million pages in flight',
      role: 'ours',
      goal: { below: 1000 },
      measure: once(withPages, ([machine, cpu]) => machine.cpus.declareDead(cpu)),
    },
    {
      name: 'rcu.call and barrier, 100 000 pending',
      role: 'ours',
      goal: { below: 500 },
      measure: once(
        () => boot({ cpus: 2, memory: '256 MiB', callbacks: { high: marks, full: marks } }),
        async ({ rcu }) => {
          for (let i = 0; i < CALLBACKS; i++) void rcu.call(() => undefined)
          await rcu.barrier()
        },
      ),
    },
    {
      name: 'rcu.free and barrier, 100 000 pending',
      role: 'ours',
      goal: { below: 1000 },
      measure: once(
        () => boot({ cpus: 2, memory: '256 MiB', callbacks: { high: marks, full: marks } }),
        async ({ rcu, heap }) => {
          for (let i = 0; i < CALLBACKS; i++) void rcu.free(heap.alloc(64, { persist: true }))
          await rcu.barrier()
        },
      ),
    },
    {
      name: '1000 SRCU domains: making one more',
      role: 'ours',
      goal: { below: 5 },
      measure: once(withDomains, (machine) =>
        machine.initSrcu(machine.heap.alloc(SrcuLayout.size, { align: SrcuLayout.align, zero: true })),
      ),
    },
    {
      name: '1000 SRCU domains: watch.inspect',
      role: 'ours',
      goal: { below: 100 },
      measure: once(withDomains, (machine) => machine.watch.inspect()),
    },
    {
      name: '1000 SRCU domains: cleaning up after a CPU',
      role: 'ours',
      goal: { below: 100 },
      measure: once(
        () => {
          const machine = withDomains()
          return [machine, joinAs(machine, 101).cpu] as const
        },
        ([machine, cpu]) => machine.cpus.declareDead(cpu),
      ),
    },
    deadlocks(10),
    deadlocks(256),
    {
      name: 'a mutex, with 31 others held: 1000 times',
      role: 'ours',
      goal: { below: 10 },
      measure: once(
        () => {
          const machine = boot({ cpus: 2 })
          for (let i = 0; i < 31; i++) machine.locks.mutex(`m${i}`).lock()
          return machine.locks.mutex('last')
        },
        (mutex) => {
          for (let i = 0; i < 1000; i++) mutex.lock().unlock()
        },
      ),
    },
  ],
}

const MIB = 2 ** 20
/** MiB by which the process has grown after `use`. */
function growth(use: () => unknown): Row['measure'] {
  return few(async () => {
    const before = process.memoryUsage.rss()
    await use()
    return Math.max(0, process.memoryUsage.rss() - before) / MIB
  })
}
/** A thread that hears its doorbell by messages, and computes for so many ms. */
async function busyThread(machine: Machine, milliseconds: number): Promise<Worker> {
  const workerData = { handle: machine.handle, milliseconds }
  const worker = new Worker(new URL('./limits-busy.js', import.meta.url), { workerData })
  machine.supervise(worker)
  await onceOf(worker, 'message')
  return worker
}

const memorySuite: Suite = {
  title: 'what piles up',
  unit: 'MiB',
  note: 'By how much the process has grown. The garbage of its threads counts, too.',
  rows: [
    {
      name: 'labels: 500 000 different ones',
      role: 'ours',
      goal: { below: 50 },
      measure: growth(() => {
        const machine = boot({ cpus: 1 })
        const prefix = 'x'.repeat(38)
        for (let i = 0; i < 500_000; i++) machine.run(`${prefix}${i}`, () => i)
      }),
    },
    {
      name: 'rings by message of a thread that computes, for a second',
      role: 'ours',
      goal: { below: 50 },
      measure: growth(async () => {
        const machine = boot({ cpus: 2 })
        const worker = await busyThread(machine, 1500)
        const end = performance.now() + 1000
        while (performance.now() < end) for (let i = 0; i < 1000; i++) machine.cpus.ring(1, 0)
        await worker.terminate()
      }),
    },
    {
      name: 'callbacks: 100 000 pending functions',
      role: 'ours',
      goal: { below: 100 },
      measure: growth(async () => {
        const machine = boot({ cpus: 2, memory: '256 MiB', callbacks: { high: marks, full: marks } })
        for (let i = 0; i < CALLBACKS; i++) void machine.rcu.call(() => undefined)
        await machine.rcu.barrier()
      }),
    },
  ],
}

export const limitsManySuites: readonly Suite[] = [manySuite, memorySuite]
