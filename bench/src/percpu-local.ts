/**
 * Benchmarks of the work on this CPU's copies: with nothing else in the thread, and with what
 * programs have, as the engine's knowledge of a class is that of all its objects.
 */
import { boot, f64, i32, struct, type Machine } from 'percpu'
import { addAtomic32, load32 } from 'percpu/mem'
import { generateLoop } from './harness/generated-loop.js'
import { perOperation, timeLoop, type Loop } from './harness/per-operation.js'
import type { Measure, Row, Suite } from './harness/suite.js'

const machine = boot({ cpus: 4 })
const Hits = struct('BenchHits', { count: i32, bytes: f64 })
const hits = machine.percpu(Hits)
const number = machine.percpu.i32()
const counter = machine.percpu.counter('bench')
const { i32: view } = machine.memory
const bare = new Int32Array(new SharedArrayBuffer(4096))
const word = machine.heap.memblock.alloc({ size: 64 }) / 4

const TYPED = 'typed array'
async function measure(statement: string, scope: Readonly<Record<string, unknown>>): Promise<Measure> {
  return perOperation(await generateLoop(statement, scope))
}
/** Each suite has loops of its own: what one has made the engine assume does not help the next. */
async function incrementRows(relation: Pick<Row, 'goal' | 'compareWith'>): Promise<Row[]> {
  return [
    {
      name: 'percpu(struct).local.count++',
      role: 'ours',
      ...relation,
      measure: await measure('hits.local.count++', { hits }),
    },
    {
      name: 'percpu.i32().add(1)',
      role: 'ours',
      ...relation,
      measure: await measure('number.add(1)', { number }),
    },
    { name: TYPED, role: 'floor', measure: await measure('bare[256]++', { bare }) },
  ]
}

export const alone: Suite = {
  title: 'counting on this CPU',
  unit: 'ns',
  note: 'One thread. The machine has four CPUs, and maps units page by page.',
  rows: [
    ...(await incrementRows({ goal: { against: TYPED, atMost: 1.2 } })),
    {
      name: 'percpu.counter().add(1)',
      role: 'ours',
      compareWith: 'Atomics.add',
      measure: await measure('counter.add(1)', { counter }),
    },
    {
      name: 'Atomics.add',
      role: 'floor',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) addAtomic32(view, word, 1)
        return load32(view, word)
      }),
    },
  ],
}

const MANY = 64
const numbers = Array.from({ length: MANY }, () => machine.percpu.i32())
const indices = numbers.map((_, i) => (i * 64) / 4)
const MANY_TYPED = `typed array, one of ${MANY} words`

/** Uses numbers of all kinds and objects of several structs, until their code is optimised. */
function useOthers({ percpu }: Machine): void {
  const others = [percpu.u8(), percpu.i8(), percpu.u16(), percpu.i16(), percpu.u32(), percpu.f32()]
  for (const other of others) run((i) => other.add(i))
  const wide = percpu.u64()
  run(() => wide.add(1n))
  for (let fields = 1; fields <= 6; fields++) {
    const names = Array.from({ length: fields }, (_, at) => [`field${at}`, f64] as const)
    const { local } = percpu(struct(`BenchOther${fields}`, { count: i32, ...Object.fromEntries(names) }))
    run((i) => (local.count += i))
  }
}
function run(use: (i: number) => unknown): void {
  const loop: Loop = (count) => {
    for (let i = 0; i < count; i++) use(i)
    return count
  }
  for (let i = 0; i < 100; i++) timeLoop(loop, 1000)
}

export const among: Suite = {
  title: 'counting on this CPU, among other objects',
  unit: 'ns',
  note: 'The thread has used numbers of all kinds and objects of six structs, on two machines.',
  setUp: () => {
    useOthers(machine)
    useOthers(boot({ cpus: 2 }))
  },
  rows: [
    ...(await incrementRows({ goal: { against: TYPED, atMost: 1.2 } })),
    {
      name: `percpu.i32().add(1), one of ${MANY} numbers`,
      role: 'ours',
      compareWith: MANY_TYPED,
      measure: await measure('numbers[i & 63].add(1)', { numbers }),
    },
    {
      name: MANY_TYPED,
      role: 'floor',
      measure: await measure('bare[indices[i & 63]]++', { bare, indices }),
    },
  ],
}

export const afterFree: Suite = {
  title: 'counting on this CPU, after others of the kind were freed',
  unit: 'ns',
  note: 'From then on the engine checks the shape of each object: a load and a compare.',
  setUp: () => {
    machine.percpu.i32().free()
    machine.percpu(Hits).free()
  },
  rows: await incrementRows({ compareWith: TYPED }),
}
