/** The per-CPU allocator of a machine, looked at from outside, by its memory alone. */
import { mem } from 'percpu-lab'
import type { Memory } from 'percpu/mem'
import { verify as verifyHeap } from '../../alloc/support/verify.js'
import { insideOf } from '../../support/inside.js'

const { USED } = await import('../../../dist/alloc/page-map.js')
const { tokenOf } = await import('../../../dist/machine/token.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { LAYER_OBJECTS, LAYER_PAGES, LAYER_PERCPU, LayerLock } =
  await import('../../../dist/sync/layer-lock.js')
const { HeapMap } = await import('../../../dist/alloc/heap-map.js')
const { Owner } = await import('../../../dist/alloc/owner.js')
const { PageAllocator } = await import('../../../dist/alloc/pages.js')
const { makeState } = await import('../../../dist/percpu/layer.js')
const { openRoot } = await import('../../../dist/percpu/setup.js')
const { makeReport } = await import('../../../dist/percpu/report.js')
const { findFaults } = await import('../../../dist/percpu/verify.js')

type PageSource = Parameters<typeof makeState>[4]
// The declarations leave out how the layer makes it.
const Pages = PageAllocator as unknown as new (owner: InstanceType<typeof Owner>) => PageSource
/** CPU of no thread, in whose name the examiner repairs. */
const EXAMINER = 1

/**
 * Looks at a copy, in which whatever was left to the next owner of the lock is repaired. So the
 * memory itself stays as it is.
 */
export class Examined {
  readonly #memory: Memory
  readonly #state: ReturnType<typeof makeState>

  constructor({ memory }: { readonly memory: Memory }) {
    this.#memory = copyOf(memory)
    const { table, objects, map, memblock } = insideOf(this.#memory)
    const { geometry, tables } = openRoot({ own: { table }, objects } as never)
    const sync = SyncMap.open(this.#memory, objects)
    const token = tokenOf(EXAMINER, 1)
    const layerLock = (layer: number) => new LayerLock(this.#memory, sync.layerRecord(EXAMINER, layer), token)
    const locks = { pageLock: layerLock(LAYER_PAGES), objectLock: layerLock(LAYER_OBJECTS) }
    const heap = HeapMap.open(this.#memory, objects, map)
    const owner = new Owner({ table, map: heap, memblock, cpu: EXAMINER, token, ...locks, isReaper: false })
    this.#state = makeState(table, geometry, tables, layerLock(LAYER_PERCPU), new Pages(owner))
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

  /** Pages allocated but of no chunk, or of a chunk but free. Nothing else may use the heap. */
  get wrongPages(): number[] {
    const { blocks, cacheBlocks, faults } = verifyHeap({ memory: this.#memory })
    if (faults.length > 0) throw new Error(faults.join('; '))
    const used = [...blocks].filter(([page, { kind }]) => kind === USED && !cacheBlocks.has(page))
    const allocated = new Set(used.map(([page]) => page))
    const known = new Set(this.#pages())
    return [...allocated, ...known].filter((page) => !(allocated.has(page) && known.has(page)))
  }

  /** First pages of the blocks of the page allocator that chunks consist of. */
  *#pages(): Iterable<number> {
    const { geometry, backend } = this.#state
    for (const record of this.#state.records()) {
      // Of boot memory.
      if (this.#state.isImmutable(record)) continue
      yield record / 1024
      for (let cpu = 0; cpu < geometry.cpus; cpu++)
        for (let page = 0; page < geometry.pages; page++) {
          const address = backend.translate(record, cpu, page * 1024)
          const isFirst = backend.name === 'vm' || (cpu === 0 && page === 0)
          if (address !== undefined && isFirst) yield address / 4096
        }
    }
  }
}

function copyOf({ buffer }: Memory): Memory {
  const copy = new SharedArrayBuffer(buffer.byteLength)
  new Uint8Array(copy).set(new Uint8Array(buffer))
  return mem.openMemory(copy)
}
