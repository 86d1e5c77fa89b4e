/** The per-CPU allocator of a machine, looked at from outside, by its memory alone. */
import type { Memory } from 'percpu/mem'
import { verify as verifyHeap } from '../../alloc/support/verify.js'
import { insideOf } from '../../support/inside.js'

const { USED } = await import('../../../dist/alloc/page-map.js')
const { tokenOf } = await import('../../../dist/machine/token.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { LayerLock } = await import('../../../dist/sync/layer-lock.js')
const { makeState } = await import('../../../dist/percpu/layer.js')
const { openRoot } = await import('../../../dist/percpu/setup.js')
const { makeReport } = await import('../../../dist/percpu/report.js')
const { findFaults } = await import('../../../dist/percpu/verify.js')

const noPages = {
  tryAlloc: () => undefined,
  free: () => undefined,
  persist: () => undefined,
  adopt: () => undefined,
}

export class Examined {
  readonly #memory: Memory
  readonly #state: ReturnType<typeof makeState>

  constructor({ memory }: { readonly memory: Memory }) {
    this.#memory = memory
    const { table, objects } = insideOf(memory)
    const { geometry, tables } = openRoot({ own: { table }, objects } as never)
    const record = SyncMap.open(memory, objects).layerRecord(1, 0)
    this.#state = makeState(table, geometry, tables, new LayerLock(memory, record, tokenOf(1, 1)), noPages)
  }

  /** What the verifier finds. */
  get faults(): readonly string[] {
    return findFaults(this.#state)
  }

  /** Allocations and bytes of each chunk that has any. */
  get usage(): string {
    const { chunks } = makeReport({ state: this.#state } as never)
    const inUse = chunks.filter(({ used }) => used > 0)
    return JSON.stringify(inUse.map(({ used, allocations }) => [used, allocations]))
  }

  /** Pages that are allocated, but that no chunk has. Nothing else may use the heap. */
  get lostPages(): number[] {
    const { blocks, cacheBlocks, faults } = verifyHeap({ memory: this.#memory })
    if (faults.length > 0) throw new Error(faults.join('; '))
    const known = new Set(this.#pages())
    return [...blocks]
      .filter(([page, { kind }]) => kind === USED && !cacheBlocks.has(page) && !known.has(page))
      .map(([page]) => page)
  }

  /** First pages of the blocks that chunks consist of. */
  *#pages(): Iterable<number> {
    const { geometry, backend } = this.#state
    for (const record of this.#state.records()) {
      yield record / 1024
      for (let cpu = 0; cpu < geometry.cpus; cpu++)
        for (let page = 0; page < geometry.pages; page++)
          yield (backend.translate(record, cpu, page * 1024) ?? 0) / 4096
    }
  }
}
