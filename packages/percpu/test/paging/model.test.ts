/**
 * Address spaces against plain maps: drawn calls of two CPUs on spaces and their forks, and the
 * counts of all pages after each.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { PAGE_BYTES, type AddressSpace, type Machine } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { SpaceModel } from './support/space-model.js'

/** Pages that are used: some around the ends of blocks of 1024. */
const BLOCKS = 3
const MOST_SPACES = 4
const kinds = [
  ...['map', 'map', 'unmap', 'protect', 'write', 'write', 'write', 'write', 'read', 'copyIn', 'copyOut'],
  ...['fork', 'fork', 'drop', 'split', 'collapse', 'populate', 'fill'],
] as const
type Call = readonly [kind: string, cpu: number, space: number, page: number, count: number, value: number]
const calls = fc.array(
  fc.tuple(
    fc.constantFrom(...kinds),
    fc.nat(1),
    fc.nat(MOST_SPACES - 1),
    // Near the beginnings of blocks, and anywhere.
    fc.oneof(
      fc.tuple(fc.nat(BLOCKS - 1), fc.nat(6)).map(([block, by]) => Math.max(0, block * 1024 - 3 + by)),
      fc.nat(BLOCKS * 1024 - 1),
    ),
    fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 1, max: 8 }) },
      { weight: 1, arbitrary: fc.constantFrom(1024, 1030, 2048) },
    ),
    fc.nat(2 ** 32 - 1),
  ),
  { minLength: 1, maxLength: 30 },
)

interface Pair {
  readonly name: string
  readonly model: SpaceModel
  /** That of each CPU. */
  readonly spaces: readonly AddressSpace[]
}

class Scene {
  readonly machine: Machine = fresh({ memory: '64 MiB', cpus: 2 })
  readonly other = joinAs(this.machine, 101)
  readonly pairs: Pair[] = []
  #names = 0

  constructor() {
    this.#add(new SpaceModel(), this.#name())
  }
  #name(): string {
    return `space ${this.#names++}`
  }
  #add(model: SpaceModel, name: string): void {
    this.pairs.push({ name, model, spaces: [this.machine.space(name), this.other.space(name)] })
  }

  async call([kind, cpu, which, page, count, value]: Call): Promise<void> {
    const pair = this.pairs[which % this.pairs.length] ?? assert.fail()
    const { model } = pair
    const space = pair.spaces[cpu] ?? assert.fail()
    const address = page * PAGE_BYTES
    const bytes = count * PAGE_BYTES
    const word = page * 1024 + (value % 1024)
    const write = value % 4 !== 0
    const isSame = async (work: () => unknown, expected: unknown): Promise<void> => {
      assert.deepEqual(await outcome(work), expected, kind)
    }
    if (kind === 'map')
      await isSame(
        () => space.map(address, bytes, { write, huge: value % 3 === 0 }),
        model.map(page, count, write),
      )
    else if (kind === 'unmap') {
      model.unmap(page, count)
      await isSame(() => space.unmap(address, bytes), undefined)
    } else if (kind === 'protect')
      await isSame(() => space.protect(address, bytes, { write }), model.protect(page, count, write))
    else if (kind === 'write') await isSame(() => space.write(word * 4, value), model.write(word, value))
    else if (kind === 'read') await isSame(() => space.read(word * 4), model.read(word))
    else if (kind === 'copyIn') {
      const words = Uint32Array.of(value, value ^ 1, value ^ 2)
      const all = [word, word + 1, word + 2]
      const isFault = all.some((each) => model.pages.get(each >> 10)?.write !== true)
      const copy = (): void => space.copyIn(word * 4, new Uint8Array(words.buffer))
      await isSame(copy, isFault ? 'PERCPU_FAULT' : undefined)
      if (!isFault) all.forEach((each, i) => model.write(each, words[i] ?? 0))
    } else if (kind === 'copyOut') {
      const all = [word, word + 1, word + 2].map((each) => model.read(each))
      const isFault = all.includes('PERCPU_FAULT')
      const copy = (): number[] => [...new Uint32Array(space.copyOut(word * 4, 12).buffer)]
      await isSame(copy, isFault ? 'PERCPU_FAULT' : all)
    } else if (kind === 'fork') {
      if (this.pairs.length === MOST_SPACES) return
      const name = this.#name()
      await space.fork(name)
      this.#add(model.fork(), name)
    } else if (kind === 'drop') {
      if (this.pairs.length === 1) return
      this.pairs.splice(which % this.pairs.length, 1)
      await space.drop()
    } else if (kind === 'split') {
      space.split(address)
    } else if (kind === 'collapse') {
      await space.collapse(address)
    } else if (kind === 'populate' || kind === 'fill') {
      const first = kind === 'fill' ? page & -1024 : page
      const length = kind === 'fill' ? 1024 : count
      const all = Array.from({ length }, (_, i) => first + i)
      const isFault = all.some((each) => model.pages.get(each)?.write !== true)
      const fill = (): void => space.populate(first * PAGE_BYTES, length * PAGE_BYTES)
      await isSame(fill, isFault ? 'PERCPU_FAULT' : undefined)
    }
  }

  /** All that was ever written, and what lies beside it. */
  check(): void {
    for (const { name, model, spaces } of this.pairs) {
      for (const space of spaces) {
        for (const [word, value] of model.words) {
          assert.equal(space.read(word * 4), value, `${name}: word ${word}`)
        }
      }
      const areas = (spaces[0] ?? assert.fail()).maps()
      const mapped = areas.reduce((sum, { bytes }) => sum + bytes, 0)
      assert.equal(mapped, model.pages.size * PAGE_BYTES)
    }
    this.pairs[0]?.spaces[0]?.verify()
  }
  async end(): Promise<void> {
    for (const { spaces } of this.pairs) await spaces[0]?.drop()
    this.pairs.length = 0
    // What has no name any more, and what areas were, is freed later.
    await this.machine.rcu.barrier()
    await this.other.offline()
  }
  freePages(): number {
    this.machine.heap.trim()
    return this.machine.heap.pages.report().reduce((sum, { total, free }) => sum + total - free, 0)
  }
}
async function outcome(work: () => unknown): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

describe('address spaces', () => {
  it('are what plain maps are, forks included', async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (list) => {
        const scene = new Scene()
        for (const call of list) await scene.call(call)
        scene.check()
        await scene.end()
        await scene.machine.offline()
      }),
      { numRuns: 60 },
    )
  })

  it('give all their memory back', async () => {
    const scene = new Scene()
    const [first] = scene.pairs
    const space = first?.spaces[0] ?? assert.fail()
    const once = async (): Promise<void> => {
      space.map(0, 2 ** 24, { huge: true })
      space.populate(0, 2 ** 24)
      const fork = await space.fork()
      for (let page = 0; page < 4096; page += 37) fork.write(page * PAGE_BYTES, page)
      space.split(2 ** 22)
      for (let page = 0; page < 4096; page += 41) space.write(page * PAGE_BYTES, page)
      await space.unmap(0, 3 * PAGE_BYTES)
      space.verify()
      await space.unmap(0, 2 ** 24)
      space.verify()
      await fork.drop()
      space.verify()
      await scene.machine.rcu.barrier()
    }
    await once()
    const before = scene.freePages()
    for (let i = 0; i < 3; i++) await once()
    assert.equal(scene.freePages(), before)
    await scene.end()
    await scene.machine.offline()
  })
})
