/** Benchmarks of grace periods, beside a doorbell's round trip and those of Userspace RCU. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot, type Machine, type Srcu } from 'percpu'
import { notify32, storeAtomic32 } from 'percpu/mem'
import { pick } from './harness/run.js'
import type { Goal, Measure, Row, Suite } from './harness/suite.js'
import { runUrcu, type UrcuFlavour } from './native.js'
import type { Habit, ReaderData } from './rcu-reader.js'

/** A machine of two CPUs; the other one does what is asked for. */
class Pair {
  readonly machine: Machine
  readonly fast: Srcu
  readonly normal: Srcu
  readonly #reader: Worker
  /** Byte address of the word that the reader sleeps on. */
  readonly #stop: number
  #rung: () => void = () => undefined

  private constructor(machine: Machine) {
    this.machine = machine
    this.fast = machine.srcu('fast')
    this.normal = machine.srcu('normal', { flavour: 'normal' })
    this.#stop = machine.heap.memblock.alloc({ size: 64 })
    const data: ReaderData = { handle: machine.handle, stop: this.#stop }
    this.#reader = new Worker(new URL('./rcu-reader.js', import.meta.url), { workerData: data })
    machine.supervise(this.#reader)
    machine.cpus.onRing(0, () => {
      this.#rung()
    })
  }
  static async open(): Promise<Pair> {
    const pair = new Pair(boot({ cpus: 2 }))
    await once(pair.#reader, 'message')
    return pair
  }

  /** Rings the other CPU, whose handler rings back. */
  ringAndBack(): Promise<void> {
    return new Promise((resolve) => {
      this.#rung = resolve
      this.machine.cpus.ring(1, 0)
    })
  }

  /** The median of microseconds that `operation` takes while the other CPU has this habit. */
  async time(habit: Habit, count: number, operation: () => Promise<unknown>): Promise<number> {
    this.#set(0)
    await this.#begin(habit)
    try {
      const times: number[] = []
      for (let i = 0; i < count; i++) {
        const start = process.hrtime.bigint()
        await operation()
        times.push(Number(process.hrtime.bigint() - start) / 1000)
      }
      return pick(times, 'median')
    } finally {
      this.#set(1)
      await this.#begin('idle')
    }
  }
  async #begin(habit: Habit): Promise<void> {
    const begun = once(this.#reader, 'message')
    this.#reader.postMessage(habit)
    await begun
  }
  #set(value: number): void {
    const { i32 } = this.machine.memory
    storeAtomic32(i32, this.#stop / 4, value)
    notify32(i32, this.#stop / 4)
  }

  async close(): Promise<void> {
    await this.#reader.terminate()
  }
}

let pair: Pair | undefined
function timed(habit: Habit, operation: (pair: Pair) => Promise<unknown>): Measure {
  return ({ roundTime }) => {
    if (!pair) throw new Error('the reader is not running')
    const opened = pair
    return opened.time(habit, 25 * roundTime, () => operation(opened))
  }
}

const bells: Readonly<Record<Habit, string>> = {
  idle: 'ring, and ring back, idle reader',
  busy: 'ring, and ring back, busy reader',
  // One that sleeps is not waited for.
  sleeping: 'ring, and ring back, idle reader',
}
const habits = ['idle', 'busy', 'sleeping'] as const

function rows(name: string, operation: (pair: Pair) => Promise<unknown>, trips?: number): Row[] {
  return habits.map((habit): Row => {
    const against = bells[habit]
    const relation: { goal: Goal } | { compareWith: string } =
      trips === undefined ? { compareWith: against } : { goal: { against, atMost: trips } }
    return { name: `${name}, ${habit} reader`, role: 'ours', ...relation, measure: timed(habit, operation) }
  })
}
const urcu = (flavour: UrcuFlavour, habit: 'busy' | 'sleeping'): Row => ({
  name: `liburcu ${flavour}, synchronize_rcu, ${habit} reader`,
  role: 'peer',
  compareWith: bells[habit],
  measure: ({ roundTime }) => runUrcu(flavour, 'synchronize', habit, String(25 * roundTime)),
})

const waiting: Suite = {
  title: 'a grace period, one other CPU',
  unit: 'µs',
  take: 'median',
  note:
    'Medians. The other CPU is idle in its event loop; or busy, with one stretch of 100 µs after the other; or it sleeps in `park`. ' +
    'A busy one answers at the end of its stretch, as for a bell. Userspace RCU is C; its busy reader has sections of 100 µs.',
  setUp: async () => {
    pair = await Pair.open()
  },
  rows: [
    { name: bells.idle, role: 'ours', measure: timed('idle', (opened) => opened.ringAndBack()) },
    { name: bells.busy, role: 'ours', measure: timed('busy', (opened) => opened.ringAndBack()) },
    ...rows('rcu.synchronize', ({ machine }) => machine.rcu.synchronize(), 3),
    ...rows('rcu.synchronizeExpedited', ({ machine }) => machine.rcu.synchronizeExpedited(), 3),
    ...rows('fast SRCU, synchronizeExpedited', ({ fast }) => fast.synchronizeExpedited(), 6),
    ...rows('normal SRCU, synchronizeExpedited', ({ normal }) => normal.synchronizeExpedited(), 6),
    ...rows('fast SRCU, synchronize', ({ fast }) => fast.synchronize()),
    ...rows('normal SRCU, synchronize', ({ normal }) => normal.synchronize()),
    urcu('memb', 'busy'),
    urcu('memb', 'sleeping'),
    urcu('mb', 'busy'),
    urcu('mb', 'sleeping'),
    urcu('bp', 'sleeping'),
  ],
  tearDown: async () => {
    await pair?.close()
  },
}

export const gracePeriodSuites: readonly Suite[] = [waiting]
