/** Benchmarks of callbacks: queued, and run after a grace period. */
import { boot, type Machine, type Srcu } from 'percpu'
import type { Measure, Suite } from './harness/suite.js'

/** Callbacks of a burst. */
const BURST = 100_000
const BYTES = 64
const nothing = (): void => undefined

interface Opened {
  readonly machine: Machine
  readonly domain: Srcu
  /** A domain whose grace periods are held up, with {@link BURST} callbacks pending. */
  readonly full: Srcu
}
let opened: Opened | undefined
function open(): Opened {
  const marks = { callbacks: 2 ** 30, bytes: 2 ** 30 }
  const machine = boot({ cpus: 2, memory: '256 MiB', callbacks: { high: marks, full: marks } })
  const full = machine.srcu('full')
  full.readLock()
  for (let i = 0; i < BURST; i++) void full.call(nothing)
  return { machine, domain: machine.srcu('s'), full }
}
function use(): Opened {
  if (!opened) throw new Error('there is no machine')
  return opened
}

/** Millions a second, from before the first is queued until the last has run. */
function rate(queue: (opened: Opened) => () => Promise<void>): Measure {
  return async () => {
    const finish = queue(use())
    const start = process.hrtime.bigint()
    await finish()
    return BURST / (Number(process.hrtime.bigint() - start) / 1000)
  }
}
const calls = (of: (opened: Opened) => Pick<Srcu, 'call' | 'barrier'>): Measure =>
  rate((all) => () => {
    const source = of(all)
    for (let i = 0; i < BURST; i++) void source.call(nothing)
    return source.barrier()
  })
const frees = (of: (opened: Opened) => Pick<Srcu, 'free' | 'barrier'>): Measure =>
  rate((all) => {
    const source = of(all)
    const { heap } = all.machine
    const addresses = Array.from({ length: BURST }, () => {
      const address = heap.alloc(BYTES)
      heap.persist(address)
      return address
    })
    return () => {
      for (const address of addresses) void source.free(address)
      return source.barrier()
    }
  })

const throughput: Suite = {
  title: 'callbacks, queued and run',
  unit: 'million/s',
  take: 'highest',
  note: `Bursts of ${BURST} on one CPU, until the last has run. What is freed are objects of ${BYTES} bytes.`,
  setUp: () => {
    opened = open()
  },
  rows: [
    { name: 'rcu.call', role: 'ours', goal: { above: 1 }, measure: calls(({ machine }) => machine.rcu) },
    { name: 'rcu.free', role: 'ours', goal: { above: 1 }, measure: frees(({ machine }) => machine.rcu) },
    { name: 'srcu.call', role: 'ours', goal: { above: 1 }, measure: calls(({ domain }) => domain) },
    { name: 'srcu.free', role: 'ours', goal: { above: 1 }, measure: frees(({ domain }) => domain) },
    {
      name: 'setImmediate',
      role: 'peer',
      compareWith: 'rcu.call',
      measure: rate(() => async () => {
        for (let i = 1; i < BURST; i++) setImmediate(nothing)
        await new Promise<void>((resolve) => setImmediate(resolve))
      }),
    },
  ],
}

/** Nanoseconds to queue one, of a batch that is not waited for. */
const queueing = (of: (opened: Opened) => Srcu): Measure => {
  const batch = 5000
  return () => {
    const domain = of(use())
    const start = process.hrtime.bigint()
    for (let i = 0; i < batch; i++) void domain.call(nothing)
    return Number(process.hrtime.bigint() - start) / batch
  }
}
const FEW = 'srcu.call, few pending'
const pending: Suite = {
  title: 'callbacks, queued while others are pending',
  unit: 'ns',
  note: `The second row's domain has at least ${BURST} callbacks pending all the time.`,
  setUp: () => {
    opened = open()
  },
  rows: [
    { name: FEW, role: 'ours', measure: queueing(({ domain }) => domain) },
    {
      name: `srcu.call, ${BURST} pending`,
      role: 'ours',
      goal: { against: FEW, atMost: 1.25 },
      measure: queueing(({ full }) => full),
    },
  ],
}

export const callbackSuites: readonly Suite[] = [throughput, pending]
