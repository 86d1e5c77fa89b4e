/**
 * The page tables of mapped units: they come with the first page that is mapped through them, and
 * go with the last one, whatever fails and whoever is killed in between.
 *
 * Of the machines here a table is for four chunks. That of the first one is boot memory; it is for
 * the empty chunks 2 and 3, too. Chunk 4 has a table of its own.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, joinAs, killAtAccess, mem } from '../support/hooked-percpu.js'
import { backendOf, failPages, stateOf } from './support/inside.js'
import { pagesOutside } from './support/pages.js'

const { populateChunk, depopulateChunk } = await import('../../dist/percpu/growth.js')
const { PercpuRoot } = await import('../../dist/percpu/layouts.js')
const { planGeometry } = await import('../../dist/percpu/options.js')
const { repair } = await import('../../dist/percpu/operation.js')
const { targetOf } = await import('../../dist/pagetable/entry.js')
const { tablesFor } = await import('../../dist/percpu/tables.js')

const CPUS = 16
const PAGE = 4096
const CHUNK = 4
/** Around what links a table each access is tried, elsewhere one of so many. */
const NEAR = 24
const FAR = 151
/** The root, and a table of each of the two levels below. */
const BOOT_TABLES = 3 * PAGE

function scene(): Omit<Scene, 'run'> {
  const machine = fresh({ cpus: CPUS, memory: '4 MiB', percpu: { unit: '64 KiB' } })
  for (let index = 2; index <= CHUNK; index++) backendOf(machine).addEmptyChunk()
  const victim = joinAs(machine, 101)
  // What the layer and the heap make once is there.
  victim.percpu.report()
  const { i32 } = machine.memory
  const root = mem.loadAtomic32(i32, stateOf(machine).tables.root + PercpuRoot.words.edge)
  return { machine, victim, edge: targetOf(mem.loadAtomic32(i32, targetOf(root))) + 1 }
}
const tableBytes = (machine: Machine): number => machine.percpu.report().tableBytes

/** What a CPU does under the lock. */
function locked<Result>(
  machine: Machine,
  change: (state: ReturnType<typeof stateOf>) => Result,
): () => Result {
  const state = stateOf(machine)
  return () => {
    state.locked.lock(state.tables.root + PercpuRoot.words.lock)
    try {
      repair(state)
      return change(state)
    } finally {
      state.locked.unlock()
    }
  }
}
/** Populates the first page of each unit of a chunk. */
function populate(machine: Machine, index = CHUNK): () => boolean {
  return locked(machine, (state) => populateChunk(state, state.record(index), 0, 1))
}
function depopulate(machine: Machine, index = CHUNK): () => void {
  return locked(machine, (state) => {
    const unmapped: number[] = []
    depopulateChunk(state, state.record(index), 0, 1, unmapped)
    state.backend.release(unmapped)
  })
}

interface Scene {
  readonly machine: Machine
  readonly victim: Machine
  /** Word index of the entry that leads to the chunk's table. */
  readonly edge: number
  readonly run: () => unknown
}
/**
 * At which of its accesses a thread is killed: all around those that link or unlink the table, and
 * some of the others. `lastMapped`: the last one that maps.
 */
function rehearse({ run, edge }: Scene): { readonly accesses: number[]; readonly lastMapped: number } {
  let [count, linked, lastMapped] = [0, 0, 0]
  mem.control.before = (name, [, word, value]) => {
    if (name === 'storeAtomic32' && word === edge) linked = count
    if (name === 'storeAtomic32' && value !== 0) lastMapped = count
    count++
  }
  run()
  mem.control.before = undefined
  assert.ok(linked > NEAR)
  const accesses = Array.from({ length: count }, (_, at) => at)
  return {
    accesses: accesses.filter((at) => Math.abs(at - linked) < NEAR || at % FAR === 0 || at > count - NEAR),
    lastMapped,
  }
}

/** All is right, and there are so many tables beside those of boot. */
function check(machine: Machine, tables: number, what: string): void {
  machine.percpu.verify()
  assert.equal(tableBytes(machine), BOOT_TABLES + tables * PAGE, what)
  assert.equal(pagesOutside(machine), 0, what)
}

describe('page tables of units', () => {
  it('come with the first page and go with the last one, behind the flush', () => {
    const { machine } = scene()
    check(machine, 0, 'at first')
    for (const [index, tables] of [
      [3, 0],
      [CHUNK, 1],
    ] as const) {
      assert.ok(populate(machine, index)())
      check(machine, tables, `populated ${index}`)
      const state = stateOf(machine)
      const order: string[] = []
      const run = depopulate(machine, index)
      const flushes = state.tables.root + PercpuRoot.words.flushes
      const free = state.pages.free.bind(state.pages)
      state.pages.free = (...given) => {
        order.push('free')
        free(...given)
      }
      mem.control.before = (name, [view, word, value]) => {
        if (view !== machine.memory.i32) return
        if (name === 'storeAtomic32' && value === 0) order.push('unlink')
        if (name === 'store32' && word === flushes) order.push('flush')
      }
      run()
      mem.control.before = undefined
      Reflect.deleteProperty(state.pages, 'free')
      const count = CPUS + tables
      assert.equal(order.filter((each) => each === 'free').length, count)
      // Unlocking is such a store as well.
      assert.ok(order.slice(0, count).every((each) => each === 'unlink'))
      assert.equal(order.indexOf('flush'), count)
      assert.ok(order.indexOf('free') > count)
      check(machine, 0, `depopulated ${index}`)
    }
  })

  it('that cannot be had for lack of memory leave all as it was', () => {
    for (let calls = 0; ; calls++) {
      const { machine } = scene()
      const { flushes } = machine.percpu.report()
      failPages(machine, calls)
      const isPopulated = populate(machine)()
      failPages(machine, -1)
      check(machine, isPopulated ? 1 : 0, `call ${calls}`)
      if (isPopulated) {
        // A page for each CPU, and the table.
        assert.equal(calls, CPUS + 1)
        break
      }
      assert.equal(machine.percpu.report().flushes, flushes)
    }
  })

  const scenes: Readonly<Record<string, () => Scene>> = {
    'are whole, or not there, whenever a thread is killed that populates a chunk': () => {
      const made = scene()
      return { ...made, run: populate(made.victim) }
    },
    'are whole, or gone, whenever a thread is killed that depopulates one': () => {
      const made = scene()
      assert.ok(populate(made.machine)())
      return { ...made, run: depopulate(made.victim) }
    },
    'are unlinked by the next one, where the one is killed that repairs': () => {
      const { machine, victim: first, edge } = scene()
      const victim = joinAs(machine, 102)
      const run = locked(victim, () => undefined)
      // All is mapped, and does not count yet.
      killAtAccess(populate(first), lastMapped + 3, first)
      machine.cpus.declareDead(first.cpu)
      return { machine, victim, edge, run }
    },
  }
  const rehearsed = scene()
  const { lastMapped } = rehearse({ ...rehearsed, run: populate(rehearsed.victim) })
  for (const [name, make] of Object.entries(scenes))
    it(name, () => {
      const seen = new Set<number>()
      for (const at of rehearse(make()).accesses) {
        const { machine, victim, run } = make()
        assert.ok(killAtAccess(run, at, victim), `access ${at}`)
        machine.cpus.declareDead(victim.cpu)
        machine.percpu.verify()
        const chunk = machine.percpu.report().chunks.find(({ index }) => index === CHUNK)
        const tables = chunk?.populated === 0 ? 0 : 1
        seen.add(tables)
        check(machine, tables, `access ${at}`)
      }
      assert.equal(seen.size, name.includes('repairs') ? 1 : 2)
    })

  it('are as many as pages need, and no machine has more pages than a tree', () => {
    assert.deepEqual([1, 1024, 1025, 2 ** 20 + 1].map(tablesFor), [3, 3, 4, 1 + 2 + 1025])
    for (const unit of [2 ** 12, 2 ** 22]) {
      const memory = { byteLength: 2 ** 33 }
      const geometry = planGeometry({ map: { mmu: true, cpus: 256 }, memory } as never, { unit })
      assert.ok(geometry.pageNumber(geometry.capacity, 0, 0) <= 2 ** 29)
      assert.equal(geometry.indexOfPage(geometry.pageNumber(7, 255, geometry.pages - 1)), 7)
    }
  })
})
