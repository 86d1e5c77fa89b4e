/**
 * The verifier: each equation of the allocator's words is broken, by one store into a machine on
 * which all of them hold, and must be reported by its name.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { PercpuCorruptionError, type Machine } from 'percpu'
import { copyIn, copyOut } from 'percpu/mem'
import { stateOf } from './support/inside.js'
import { fresh } from '../support/machines.js'

const { EQUATIONS } = await import('../../dist/percpu/faults.js')
const { PercpuBlock, PercpuChunk, PercpuRoot, PercpuSlot, CHUNK_ISOLATED } =
  await import('../../dist/percpu/layouts.js')

const { entryOf, PRESENT, targetOf, WRITE } = await import('../../dist/pagetable/entry.js')

const UNIT = 16384
const BLOCK = 1024
const HALF = BLOCK / 2
type State = ReturnType<typeof stateOf>
/** Changes words so that the equation does not hold. */
type Break = (at: Inside) => void

/** The words of a machine with an ordinary chunk, by their meaning. */
class Inside {
  readonly state: State
  readonly #locked: State['locked']
  /** Word indices: of the root; of the record of an ordinary chunk, of which one page is in use. */
  readonly root: number
  readonly chunk: number

  constructor(state: State) {
    this.state = state
    this.#locked = state.locked
    this.root = state.tables.root
    this.chunk = state.record(2)
    assert.notEqual(this.chunk, 0)
  }
  get(word: number): number {
    return this.#locked.get(word)
  }
  add(word: number, by = 1): void {
    this.#locked.put(word, this.get(word) + by)
  }
  put(word: number, value: number): void {
    this.#locked.put(word, value)
  }
  /** Flips a bit of one of the chunk's bitmaps. */
  flip(map: number, bit: number): void {
    const word = this.chunk + map + (bit >>> 5)
    this.put(word, this.get(word) ^ (1 << (bit & 31)))
  }
  /** Word index of a hint of the chunk's page. */
  hint(name: keyof typeof PercpuBlock.words, page = 0): number {
    return this.state.geometry.block(this.chunk, page) + PercpuBlock.words[name]
  }
  field(name: keyof typeof PercpuChunk.words): number {
    return this.chunk + PercpuChunk.words[name]
  }
  rootField(name: keyof typeof PercpuRoot.words): number {
    return this.root + PercpuRoot.words[name]
  }
  /** Word index of the entry of a page of CPU 0's unit. */
  entry(page = 0, index = 2): number {
    return this.#tables.find(this.state.geometry.pageNumber(index, 0, page))
  }
  /** Word index of an entry of the table of level 1. */
  upper(index: number): number {
    const root = this.get(this.rootField('edge'))
    return targetOf(this.get(targetOf(root))) + index
  }
  get #tables() {
    return this.state.backend.tables ?? assert.fail()
  }
  slotField(name: keyof typeof PercpuSlot.words, slot = this.get(this.field('slot'))): number {
    return this.state.tables.slots + (slot * PercpuSlot.stride) / 4 + PercpuSlot.words[name]
  }
}

/**
 * A machine whose chunk 2 has in page 0: 512 granules in use, 256 free, 16 in use, 240 free. Its
 * other pages are free; one of them is populated.
 */
function scene(): { machine: Machine; at: Inside } {
  const machine = fresh({ cpus: 3, percpu: { unit: UNIT } })
  const { percpu } = machine
  // The first chunk is full.
  for (let room = 1; room > 0; room = percpu.report().chunks[0]?.largestFree ?? 0)
    percpu.alloc(Math.min(room, 4096), { align: 4 })
  const state = stateOf(machine)
  const pointers = [HALF * 4, 1024, 64, 960].map((bytes) => percpu.alloc(bytes, { align: 4 }))
  assert.deepEqual(
    pointers.map((pointer) => state.geometry.granuleOf(pointer)),
    [0, HALF, HALF + 256, HALF + 272],
  )
  for (const pointer of [pointers[1], pointers[3]]) percpu.free(pointer ?? 0)
  percpu.verify()
  return { machine, at: new Inside(state) }
}

const breaks: Readonly<Record<(typeof EQUATIONS)[number], readonly Break[]>> = {
  'block.firstFree': [(at) => at.add(at.hint('firstFree'))],
  'block.left': [(at) => at.add(at.hint('left'))],
  'block.right': [(at) => at.add(at.hint('right'), -1)],
  'block.contig': [(at) => at.add(at.hint('contig')), (at) => at.add(at.hint('contigStart'))],
  'block.scan': [
    (at) => {
      at.put(at.hint('scan'), 5)
      at.put(at.hint('scanStart'), HALF)
    },
    (at) => {
      // The longest run but that of 256 granules, which lies before it.
      at.put(at.hint('contigStart'), HALF + 272)
      at.put(at.hint('scan'), 256)
      at.put(at.hint('scanStart'), 1)
    },
  ],
  'whole.firstFree': [(at) => at.add(at.field('whole.firstFree'), -1)],
  'whole.contig': [
    (at) => at.add(at.field('whole.contig'), BLOCK),
    (at) => at.put(at.field('whole.contig'), 300),
    (at) => at.put(at.field('whole.contigStart'), 0),
  ],
  'chunk.index': [(at) => at.put(at.field('index'), 1), (at) => at.put(at.field('index'), -1)],
  'chunk.flags': [
    (at) => at.put(at.field('flags'), 1),
    (at) => at.put(at.field('flags'), 4),
    (at) => at.put(at.field('flags'), 8),
    (at) => at.put(at.state.record(0) + PercpuChunk.words.flags, 0),
    (at) => at.put(at.state.record(0) + PercpuChunk.words.flags, 1 | CHUNK_ISOLATED),
  ],
  'chunk.extent': [
    (at) => at.put(at.field('start'), -1),
    (at) => at.put(at.field('end'), 0),
    (at) => at.add(at.field('end')),
    // Granules outside of it are free.
    (at) => at.put(at.field('start'), HALF + 1),
    (at) => at.put(at.field('end'), BLOCK),
  ],
  'chunk.free': [(at) => at.add(at.field('freeGranules'))],
  'chunk.populated': [(at) => at.add(at.field('populated')), (at) => at.flip(at.state.geometry.populated, 3)],
  'chunk.empty': [(at) => at.add(at.field('empty'), -1)],
  'chunk.in-use': [(at) => at.flip(at.state.geometry.populated, 0)],
  'chunk.bounds': [
    // Before, between and behind the two allocations.
    (at) => at.flip(at.state.geometry.bounds, 0),
    (at) => at.flip(at.state.geometry.bounds, HALF),
    (at) => at.flip(at.state.geometry.bounds, HALF + 256),
    (at) => at.flip(at.state.geometry.bounds, HALF + 272),
    // One more granule is allocated, without a bound.
    (at) => at.flip(at.state.geometry.allocated, HALF + 100),
  ],
  'chunk.owned': [
    // Free, and in the middle of an allocation.
    (at) => at.flip(at.state.geometry.owned, HALF + 1),
    (at) => at.flip(at.state.geometry.owned, 1),
  ],
  'chunk.mapped': [(at) => at.put(at.entry(), 0), (at) => at.flip(at.state.geometry.populated, 3)],
  'chunk.pages': [
    (at) => at.put(at.entry(), at.get(at.entry(1))),
    (at) => at.put(at.entry(), at.get(at.entry(0, 0))),
    (at) => at.put(at.entry(), at.get(at.upper(0))),
    (at) => at.put(at.entry(), entryOf(2 ** 20, PRESENT | WRITE)),
  ],
  'root.chunks': [(at) => at.add(at.rootField('chunks'))],
  'root.registered': [
    (at) => at.put(at.rootField('registered'), 2),
    (at) => at.put(at.rootField('registered'), at.state.geometry.capacity + 1),
    (at) => at.put(at.state.tables.registry + at.state.geometry.capacity - 1, at.chunk),
  ],
  'root.populated': [(at) => at.add(at.rootField('populatedPages'))],
  'root.empty': [(at) => at.add(at.rootField('emptyPages'), -1)],
  'root.slots': [
    (at) => at.put(at.rootField('slotsInUse'), 0),
    (at) => at.put(at.rootField('slotsInUse'), -1),
    (at) => at.put(at.rootField('slotsInUse'), at.get(at.rootField('slotsInUse')) | (1 << 31)),
  ],
  'table.entry': [
    (at) => at.add(at.entry(), -WRITE),
    (at) => at.put(at.entry(), entryOf(2 ** 20, PRESENT | WRITE)),
    (at) => at.put(at.upper(1), entryOf(2 ** 20, PRESENT | WRITE)),
    (at) => at.put(at.rootField('edge'), entryOf(2 ** 20, PRESENT | WRITE)),
    // A table twice, and a page of no chunk.
    (at) => at.put(at.upper(1), at.get(at.upper(0))),
    (at) => at.put(at.entry(0, 9), at.get(at.entry())),
  ],
  'table.kept': [
    // Of boot memory, and free.
    (at) => at.put(at.entry(), at.get(at.entry(0, 0))),
    (at) => at.put(at.entry(), entryOf(at.state.memory.byteLength / 4096 - 1, PRESENT | WRITE)),
  ],
  'table.empty': [(at) => at.put(at.upper(1), at.get(at.entry(1)))],
  'table.count': [(at) => at.add(at.rootField('tables'))],
  'slot.list': [
    (at) => at.put(at.field('previous'), at.state.record(0)),
    (at) => at.put(at.field('next'), at.chunk),
    (at) => at.put(at.field('next'), 12),
    (at) => at.put(at.slotField('last'), 0),
  ],
  'slot.member': [
    (at) => at.add(at.field('slot')),
    (at) => at.put(at.slotField('first'), 0),
    (at) => at.put(at.slotField('first', 0), at.state.record(1)),
  ],
  'slot.size': [
    (at) => {
      at.state.slots.move(at.chunk, 1)
    },
    (at) => {
      at.state.slots.move(at.chunk, 0)
    },
    (at) => {
      at.state.slots.move(at.chunk, at.state.geometry.sidelined)
    },
    (at) => at.put(at.field('flags'), CHUNK_ISOLATED),
  ],
}

/**
 * What the verifier finds after `breakIt`, whose changes are undone: later trims would meet them.
 */
function faultsAfter(machine: Machine, breakIt: () => void): readonly string[] {
  const { memory } = machine
  const before = copyOut(memory, 0, memory.byteLength)
  breakIt()
  const faults = faultsOf(machine)
  copyIn(memory, 0, before)
  assert.deepEqual(faultsOf(machine), [])
  return faults
}

function faultsOf(machine: Machine): readonly string[] {
  try {
    machine.percpu.verify()
  } catch (error) {
    assert.ok(error instanceof PercpuCorruptionError)
    assert.equal(error.code, 'PERCPU_ALLOCATOR_CORRUPTION')
    return error.details['faults'] as readonly string[]
  }
  return []
}

describe('the verifier', () => {
  const { machine, at } = scene()
  for (const [equation, each] of Object.entries(breaks)) {
    it(`reports what breaks the equation ${equation}`, () => {
      assert.ok(each.length > 0)
      each.forEach((breakIt, i) => {
        const faults = faultsAfter(machine, () => breakIt(at))
        assert.ok(
          faults.some((fault) => fault.startsWith(`${equation}: `)),
          `break ${i} is reported as: ${faults.join('; ')}`,
        )
      })
    })
  }

  it('knows the equations that stand beside the layouts, and no others', () => {
    const source = readFileSync(new URL('../../src/percpu/layouts.ts', import.meta.url), 'utf8')
    const named = [...source.matchAll(/^ \* {5}((?:block|whole|chunk|root|table|slot)\.\S+) /gm)]
    assert.deepEqual(
      named.map(([, name]) => name),
      EQUATIONS,
    )
  })

  it('reports a page that two CPUs have, where units are contiguous too', () => {
    const machine = fresh({ cpus: 3, mmu: false, percpu: { unit: 8192 } })
    for (let i = 0; i < 5; i++) machine.percpu.alloc(4096)
    const state = stateOf(machine)
    const base = (index: number): number => state.record(index) + PercpuChunk.words.base
    const faults = faultsAfter(machine, () => state.locked.put(base(3), state.locked.get(base(2)) + 1))
    assert.ok(faults.some((fault) => fault.startsWith('chunk.pages: ')))
  })

  it('tells of many faults in a few words, and has all of them in its details', () => {
    let message = ''
    const { length } = faultsAfter(machine, () => {
      for (let bit = 32; bit < 64; bit += 2) at.flip(at.state.geometry.allocated, bit)
      try {
        machine.percpu.verify()
      } catch (error) {
        ;({ message } = error as Error)
      }
    })
    assert.ok(length > 20)
    assert.ok(message.endsWith(`and ${length - 5} more`), message)
    assert.ok(message.length < 1000)
  })
})
