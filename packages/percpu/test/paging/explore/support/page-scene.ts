/**
 * A space of one page for explorations: the shipped walks, TLBs and rounds over tables that are
 * made by hand, on CPUs without the layers above, whose joining would be most of every execution.
 */
import assert from 'node:assert/strict'
import { mem, nameStructs, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import type { Machine, Pin } from 'percpu'
import { isTimeout } from '../../../sync/explore/support/locks.js'
import { check, prepare, USER, type BareCpu, type World } from '../../../support/world.js'

const { entryOf, PAGE_LEVEL, PRESENT, WRITE, DIRTY, ACCESSED } =
  await import('../../../../dist/pagetable/entry.js')
const { PagingNote, PagingRoot, SpaceCpu, SpaceTable } = await import('../../../../dist/pagetable/layouts.js')
const { countBytes } = await import('../../../../dist/pagetable/frames.js')
const { endUse, SpaceUse } = await import('../../../../dist/pagetable/use.js')
const { clearPins } = await import('../../../../dist/pagetable/pins.js')
const { Pager } = await import('../../../../dist/paging/pager.js')
const { SpaceAccess } = await import('../../../../dist/paging/access.js')
const { Changes, endChange } = await import('../../../../dist/paging/changes.js')
const { noteLeaving } = await import('../../../../dist/paging/settling.js')
const { pinPage } = await import('../../../../dist/paging/pinning.js')
const { Life } = await import('../../../../dist/collections/life.js')
const { redo } = await import('../../../../dist/pagetable/redo-log.js')
const { LayerLock, releaseAnnounced } = await import('../../../../dist/sync/layer-lock.js')
const { Deadline } = await import('../../../../dist/machine/wait-options.js')
const { Ringer } = await import('../../../../dist/cpus/ringer.js')

const { atomic, i32, struct } = percpu

type Use = InstanceType<typeof SpaceUse>
type PagerParts = ConstructorParameters<typeof Pager>[0]

/** Which area there is: 1 if there is one. How far who changes is; what writers tell each other. */
const Words = struct('Words', { area: atomic(i32), over: atomic(i32), told: atomic(i32) })

/** The page for explorations of weak loads: what else would be a data race gives any old value. */
const RacyPage = struct('RacyPage', { words: percpu.array(percpu.racy(i32), 2) })

const CPUS = 4
const PAGE = 5
/** What the page has, and what its memory has once it is used for something else. */
export const FIRST = 1
export const SECOND = 2
const POISON = 999
const FAULT = 'fault'

/** Byte addresses of all that the scene has. */
interface Places {
  readonly root: number
  readonly notes: number
  readonly space: number
  readonly words: number
  /** Tables of levels 2, 1 and 0, and a page. */
  readonly tables: readonly number[]
  readonly page: number
  readonly another: number
  /** That of the page before. */
  readonly before: number
  /** Word index of the entry of the page. */
  readonly leaf: number
}

export class PageScene {
  readonly world: World
  readonly #places: Places

  private constructor(world: World, places: Places) {
    this.world = world
    this.#places = places
  }

  static async make(): Promise<PageScene> {
    let places: Places | undefined
    const world = await prepare({ cpus: CPUS, memory: '1 MiB' }, (machine) => (places = layOut(machine)))
    assert.ok(places)
    return new PageScene(world, places)
  }

  /** Explores, with all words named. */
  async check(test: NamedTest, describe: (t: Scenario) => void, options?: TestExploreOptions): Promise<void> {
    const { root, notes, space, words, page } = this.#places
    const isWeak = options?.weak === true
    const scenario = (t: Scenario): void => {
      nameStructs(t, this.world.memory, [
        ...(isWeak ? [{ name: 'page', address: page, struct: RacyPage }] : []),
        { name: 'root', address: root, struct: PagingRoot },
        { name: 'space', address: space, struct: SpaceTable },
        { name: 'words', address: words, struct: Words },
        ...Array.from({ length: CPUS }, (_, cpu) => ({
          name: `space.cpu[${cpu}]`,
          address: space + SpaceTable.stride + cpu * SpaceCpu.stride,
          struct: SpaceCpu,
        })),
        ...Array.from({ length: CPUS }, (_, cpu) => ({
          name: `note[${cpu}]`,
          address: notes + cpu * PagingNote.stride,
          struct: PagingNote,
        })),
      ])
      describe(t)
    }
    await check(this.world, test, scenario, options)
  }

  /** A CPU before its first step. `uses`: it uses the space already. */
  open(cpu: CpuContext, uses = true): PageCpu {
    return cpu.prepare(() => {
      const made = new PageCpu(this.world.bare(cpu), this.#places, this.world)
      if (uses) made.begin()
      return made
    })
  }
  /** As `BareCpu.ring`, by a thread that is no CPU. */
  ring(cpu: number): void {
    new Ringer(this.world.table).ring(cpu, USER)
  }
  /** As the layer does for a CPU that has died, and the supervisor after that. */
  reap(number: number, cpu = number): void {
    const { memory, table } = this.world
    const note = (this.#places.notes + cpu * PagingNote.stride) / 4
    const token = (1 << 8) | cpu
    redo(memory, note)
    releaseAnnounced(memory, note, token)
    clearPins(memory, note)
    endUse(memory, this.#places.space / 4, cpu, new Ringer(table))
    endChange(memory, this.#places.space / 4, token)
    this.world.reap(number)
  }
}

/** Memory of all that the scene has; the page is mapped. */
function layOut({ heap, memory }: Machine): Places {
  const { memblock } = heap
  const take = (size: number, align = 64): number => {
    const address = memblock.alloc({ size, align, label: 'scene' })
    memblock.persist(address)
    mem.fillBytes(memory, address, size, 0)
    return address
  }
  const frames = memory.byteLength / 4096
  const page = (): number => take(4096, 4096)
  const tables = [page(), page(), page()] as const
  const leaf = tables[2] / 4 + PAGE
  const places = {
    root: take(PagingRoot.stride + countBytes(frames)),
    notes: take(CPUS * PagingNote.stride),
    space: take(SpaceTable.stride + CPUS * SpaceCpu.stride),
    words: take(Words.size),
    tables,
    page: page(),
    another: page(),
    before: page(),
    leaf,
  }
  const flags = PRESENT | WRITE
  const path = [...places.tables, places.page]
  const edges = [places.space / 4 + SpaceTable.words.root, tables[0] / 4, tables[1] / 4, leaf]
  for (const [level, target] of path.entries()) {
    const isLeaf = level === 3
    const entry = entryOf(target / 4096, isLeaf ? flags | DIRTY | ACCESSED : flags)
    mem.storeAtomic32(memory.i32, edges[level] ?? 0, entry)
    mem.store32(memory.i32, (places.root + PagingRoot.stride) / 4 + target / 4096, 1)
  }
  mem.storeAtomic32(memory.i32, leaf - 1, entryOf(places.before / 4096, flags | DIRTY | ACCESSED))
  mem.store32(memory.i32, (places.root + PagingRoot.stride) / 4 + places.before / 4096, 1)
  mem.store32(memory.i32, places.page / 4, FIRST)
  mem.storeAtomic32(memory.i32, places.words / 4, 1)
  return places
}

/** What one CPU does with the page. */
export class PageCpu {
  readonly bare: BareCpu
  readonly use: Use
  readonly pager: InstanceType<typeof Pager>
  readonly access: InstanceType<typeof SpaceAccess>
  readonly #places: Places
  readonly #world: World
  /** The page that it takes next. */
  #free: number

  constructor(bare: BareCpu, places: Places, world: World) {
    this.bare = bare
    this.#places = places
    this.#world = world
    const { memory } = world
    const { cpu, table, doorbell, gracePeriods, idle } = bare
    const own = { cpu, table, memory, doorbell, gracePeriods, idle, incarnation: 1, isOnline: true }
    const notes = Array.from({ length: CPUS }, (_, each) => (places.notes + each * PagingNote.stride) / 4)
    const note = notes[cpu] ?? 0
    this.#free = places.page
    const { words } = this
    let looks = 0
    const area = { from: 0, to: 8, flags: 3 }
    const areaAt = (): unknown => (words.area.load() === 1 ? area : undefined)
    this.pager = new Pager({
      own: { ...own, assertOnline: () => undefined },
      root: places.root / 4,
      framesOf: memory.byteLength / 4096,
      notes,
      lock: new LayerLock(memory, note, (1 << 8) | cpu, Infinity),
      // The one page that there is: who takes it fills it before.
      pages: {
        alloc: () => this.#free,
        persist: () => undefined,
        adopt: () => undefined,
        free: () => undefined,
      },
      areas: { at: areaAt, first: areaAt },
      patience: () => ({ isOver: () => ++looks > 2 }),
    } as unknown as PagerParts)
    const place = { address: places.space, id: 1, table: places.space / 4 }
    this.use = new SpaceUse(own as never, place.table)
    this.access = new SpaceAccess({ memory, place, pager: this.pager, use: this.use, life: new Life() })
  }
  get words() {
    return this.#world.at(Words, this.#places.words)
  }
  get #word(): number {
    return this.#places.page / 4
  }

  begin(): void {
    this.pager.enter(this.use)
  }
  end(): void {
    this.pager.leave(this.use)
  }

  /** What the page has: it is never what its memory has for another use. */
  read(): number | string {
    const { i32 } = this.#world.memory
    const isOver = this.words.over.load() === 1
    try {
      const value = this.access.reading(PAGE, (word) => (word === 0 ? 0 : mem.load32(i32, word)))
      assert.notEqual(value, POISON, 'memory that is used for something else is read')
      assert.ok(!isOver || value !== FIRST, 'what was unmapped is read')
      return value
    } catch (error) {
      if (!(error instanceof percpu.FaultError)) throw error
      return FAULT
    }
  }
  /** In a deaf stretch. */
  readDeaf(): number | string {
    return this.bare.idle.deaf(() => this.read())
  }

  /** Takes the page out of the table, and uses its memory for something else. */
  async unmap(): Promise<void> {
    const { words } = this
    words.area.store(0)
    this.pager.gather.push(this.#places.leaf, PAGE_LEVEL)
    await this.pager.round(this.access.place, new Deadline())
    this.pager.gather.release()
    mem.store32(this.#world.memory.i32, this.#word, POISON)
    words.over.store(1)
  }
  /**
   * Writes a word of the page, if that can be without the changer's leave. Else it would wait, or
   * copy the page.
   */
  write(word: number, value: number): boolean {
    const { i32 } = this.#world.memory
    this.pager.fault = () => {
      throw new percpu.FaultError('a copy is needed', {})
    }
    try {
      this.access.writing(PAGE, (first) => mem.store32(i32, first + word, value))
      return true
    } catch (error) {
      if (!(error instanceof percpu.FaultError)) throw error
      return false
    }
  }
  /** The words of the page, at a moment from which on nobody writes to it. */
  async fork(words: number): Promise<number[]> {
    this.pager.tables.protect(this.#places.space / 4 + SpaceTable.words.root)
    await this.pager.round(this.access.place, new Deadline())
    return Array.from({ length: words }, (_, word) => mem.load32(this.#world.memory.i32, this.#word + word))
  }
  /**
   * As {@link unmap}, as the changer of the space. False if the page is pinned. `isNoted`: others
   * can end it, if this thread is killed.
   */
  async unmapUnpinned(isNoted = false): Promise<boolean> {
    const { place } = this.access
    const changes = new Changes(this.pager, undefined as never)
    assert.equal(changes.begin(place), 0)
    try {
      changes.checkPins(place, PAGE, PAGE + 1)
      if (isNoted) noteLeaving(this.pager, place, PAGE, PAGE + 1)
      await this.unmap()
      return true
    } catch (error) {
      if (!(error instanceof percpu.PinnedError)) throw error
      return false
    } finally {
      changes.end(place)
    }
  }
  /** Pins the page, unless there is none, or somebody changes the space. */
  pin(): Pin | undefined {
    this.pager.awaitChanger = () => {
      throw new percpu.FaultError('it is to wait', {})
    }
    try {
      return pinPage(this.access, { page: PAGE, end: PAGE + 1, address: PAGE * 4096, bytes: 4096 })
    } catch (error) {
      if (!(error instanceof percpu.FaultError)) throw error
      return undefined
    }
  }
  /** Maps another page there, when nobody changes the space; false if it gives up waiting. */
  mapAnother(): boolean {
    try {
      this.pager.awaitChanger(this.access.place)
      // It was not unmapped.
      if (this.words.area.load() === 1) return false
    } catch (error) {
      if (!isTimeout(error)) throw error
      return false
    }
    this.words.over.store(1)
    this.#free = this.#places.another
    this.map(this.#free / 4)
    return true
  }
  /** Maps a page there that has another value. */
  map(word = this.#word): void {
    mem.store32(this.#world.memory.i32, word, SECOND)
    this.words.area.store(1)
    this.pager.tables.write(this.#places.space / 4 + SpaceTable.words.root, PAGE)
  }
}

/** Values that a CPU has read one after the other: none comes again. */
export function assertInOrder(values: readonly unknown[]): void {
  const order = [FIRST, FAULT, 0, SECOND]
  const places = values.map((value) => order.indexOf(value as never))
  assert.ok(
    places.every((place, index) => place >= 0 && place >= (places[index - 1] ?? 0)),
    values.join(' '),
  )
}
