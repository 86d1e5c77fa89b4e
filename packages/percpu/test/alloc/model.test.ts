/**
 * Random series of operations of several CPUs on one heap, beside the simplest model that could be:
 * a map of what is allocated. After each step the verifier looks at every word.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { boot, type Machine } from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { bytes } from './support/bytes.js'
import { verify } from './support/verify.js'

interface Held {
  readonly address: number
  readonly bytes: number
  readonly order: number | undefined
  readonly mark: number
  kept: boolean
  cpu: number
}

/** What should be allocated, and what is written there. */
class Model {
  readonly machines: Machine[]
  readonly held: Held[] = []
  readonly #threads: number[] = []
  #marks = 0
  #joined = 200

  constructor(readonly first: Machine) {
    this.machines = [first]
    for (let i = 1; i < 3; i++) this.#join(i)
  }

  #join(index: number): void {
    this.#threads[index] = ++this.#joined
    this.machines[index] = joinAs(this.first, this.#threads[index] ?? 0)
  }

  machine(cpu: number): Machine {
    const machine = this.machines[cpu % this.machines.length]
    assert.ok(machine)
    return machine
  }

  add(cpu: number, address: number | undefined, bytes: number, order: number | undefined): void {
    if (address === undefined) return
    const machine = this.machine(cpu)
    const held = { address, bytes, order, mark: ++this.#marks, kept: false, cpu: machine.cpu }
    for (const other of this.held) {
      assert.ok(
        address + bytes <= other.address || other.address + other.bytes <= address,
        `${address}, ${bytes} bytes, and ${other.address}, ${other.bytes} bytes, overlap`,
      )
    }
    this.held.push(held)
    this.#ends(held, (word) => store32(machine.memory.i32, word, held.mark))
  }

  #ends({ address, bytes }: Held, each: (word: number) => void): void {
    if (bytes < 4) return
    each(address / 4)
    each(Math.floor((address + bytes - 4) / 4))
  }

  free(cpu: number, pick: number): void {
    const [held] = this.held.splice(pick % Math.max(1, this.held.length), 1)
    if (!held) return
    this.#ends(held, (word) => assert.equal(load32(this.first.memory.i32, word), held.mark, 'overwritten'))
    const { address, order } = held
    const free = ({ heap }: Machine): void =>
      order === undefined ? heap.free(address) : heap.pages.free(address, order)
    const machine = this.machine(cpu)
    if (held.kept || held.cpu === machine.cpu) return free(machine)
    // What is in flight is its own CPU's to free.
    throwsCode(() => free(machine), 'PERCPU_FOREIGN_ADDRESS', /in flight/)
    free(this.machines.find((other) => other.cpu === held.cpu) ?? assert.fail())
  }

  setKept(pick: number, kept: boolean): void {
    const held = this.held[pick % Math.max(1, this.held.length)]
    if (!held) return
    const machine = kept ? this.machines.find(({ cpu }) => cpu === held.cpu) : this.machine(pick)
    if (!machine || (!kept && !held.kept)) return
    const { heap } = machine
    const isObject = held.order === undefined
    if (kept && isObject) heap.persist(held.address)
    else if (kept) heap.pages.persist(held.address)
    else {
      if (isObject) heap.adopt(held.address)
      else heap.pages.adopt(held.address)
      held.cpu = machine.cpu
    }
    held.kept = kept
  }

  /** The CPU's thread ends in the middle of nothing: what it had in flight is gone. */
  die(cpu: number): void {
    const index = 1 + (cpu % 2)
    const number = this.machine(index).cpu
    assert.equal(this.first.cpus.declareDead(number), true)
    for (let i = this.held.length - 1; i >= 0; i--) {
      const held = this.held[i]
      if (held?.cpu === number && !held.kept) this.held.splice(i, 1)
    }
    this.#join(index)
  }

  check(): void {
    const { faults, objects, blocks } = verify(this.first)
    assert.deepEqual(faults, [])
    const large = this.held.filter(({ order, bytes }) => order !== undefined || bytes > 2048)
    const small = this.held.filter(({ order, bytes }) => order === undefined && bytes <= 2048)
    assert.equal(objects.size, small.length)
    for (const { address, kept, cpu } of small) {
      const tag = objects.get(address)?.tag ?? 0
      assert.equal(tag > 2 ** 30, kept)
      if (!kept) assert.equal(tag & 0xff, cpu)
    }
    for (const { address, order } of large) {
      const block = blocks.get(address / 4096)
      assert.ok(block, `block ${address}`)
      if (order !== undefined) assert.equal(block.order, order)
    }
  }
}

type Step = (model: Model) => void
const cpu = fc.nat(2)
const pick = fc.nat(1000)
const Cell = bytes(72)
const steps: fc.Arbitrary<readonly [string, Step]>[] = [
  fc
    .record({ cpu, bytes: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 9000 })) })
    .map(({ cpu, bytes }) => [
      `CPU ${cpu} allocates ${bytes} bytes`,
      (model) =>
        model.add(
          cpu,
          orUndefined(() => model.machine(cpu).heap.alloc(bytes)),
          bytes,
          undefined,
        ),
    ]),
  fc.record({ cpu, count: fc.integer({ min: 1, max: 60 }) }).map(({ cpu, count }) => [
    `CPU ${cpu} takes ${count} cells`,
    (model) => {
      const cache = model.machine(cpu).heap.cache('cell', Cell)
      for (let i = 0; i < count; i++)
        model.add(
          cpu,
          orUndefined(() => cache.alloc()),
          Cell.size,
          undefined,
        )
    },
  ]),
  fc.record({ cpu, order: fc.nat(4), node: fc.option(fc.nat(1)) }).map(({ cpu, order, node }) => [
    `CPU ${cpu} takes pages of order ${order}`,
    (model) => {
      const request = node === null ? {} : { node: node % model.first.cpus.configuration.nodes }
      model.add(cpu, model.machine(cpu).heap.pages.tryAlloc(order, request), 4096 << order, order)
    },
  ]),
  fc.record({ cpu, pick, count: fc.integer({ min: 1, max: 60 }) }).map(({ cpu, pick, count }) => [
    `CPU ${cpu} frees ${count} from the ${pick}th on`,
    (model) => {
      for (let i = 0; i < count; i++) model.free(cpu, pick)
    },
  ]),
  fc
    .record({ pick, kept: fc.boolean() })
    .map(({ pick, kept }) => [
      `${kept ? 'keeps' : 'disowns'} the ${pick}th`,
      (model) => model.setKept(pick, kept),
    ]),
  cpu.map((cpu) => [`CPU ${cpu} shrinks`, (model) => model.machine(cpu).heap.trim()]),
  cpu.map((cpu) => [`CPU ${1 + (cpu % 2)} dies`, (model) => model.die(cpu)]),
]

function orUndefined(allocate: () => number): number | undefined {
  try {
    return allocate()
  } catch (error) {
    if ((error as { code?: string }).code === 'PERCPU_OUT_OF_MEMORY') return undefined
    throw error
  }
}

function run(list: readonly (readonly [string, Step])[], options: Parameters<typeof boot>[0]): void {
  const model = new Model(boot({ cpus: 3, journal: 16, ...options }))
  for (const [name, step] of list) {
    try {
      step(model)
      model.check()
    } catch (error) {
      throw new Error(`at: ${name}: ${String(error)}`, { cause: error })
    }
  }
  while (model.held.length > 0) model.free(0, 0)
  for (const machine of model.machines) machine.heap.trim()
  model.check()
  const { freePages, pages, blocks } = verify(model.first)
  // What is left are the blocks of the caches.
  const rest = [...blocks.values()].reduce((sum, { order }) => sum + (1 << order), 0)
  assert.equal(freePages + rest, pages)
  assert.ok([...blocks.values()].every(({ tag }) => tag > 2 ** 30))
}

describe('the heap does what a map of what is allocated says', () => {
  for (const [name, options] of Object.entries({
    'with enough memory': { memory: '8 MiB' },
    'on two nodes': { memory: '8 MiB', nodes: 2 },
    'with too little memory': { memory: '640 KiB' },
    'in debug mode': { memory: '8 MiB', debugHeap: true },
  })) {
    it(name, () => {
      fc.assert(
        fc.property(fc.array(fc.oneof(...steps), { minLength: 5, maxLength: 60 }), (list) =>
          run(list, options),
        ),
        {
          numRuns: 40,
          includeErrorInReport: true,
          ...(process.env['PERCPU_SEED'] ? { seed: Number(process.env['PERCPU_SEED']) } : {}),
        },
      )
    })
  }
})
