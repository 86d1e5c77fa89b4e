/** The inside of a machine's per-CPU allocator, for faults that users cannot cause. */
import type { Machine } from 'percpu'

const { PercpuLayer } = await import('../../../dist/percpu/layer.js')
const { MappedBackend } = await import('../../../dist/percpu/vm.js')
const { createChunk } = await import('../../../dist/percpu/growth.js')
const { PercpuRoot } = await import('../../../dist/percpu/layouts.js')

type Layer = InstanceType<typeof PercpuLayer>

/** What a thread has of the layer: what its per-CPU memory is asked of. */
function cpuStateOf(machine: Machine): ReturnType<Layer['use']> {
  const prototype: { use: (this: Layer) => ReturnType<Layer['use']> } = PercpuLayer.prototype
  const { use } = prototype
  let found: ReturnType<Layer['use']> | undefined
  prototype.use = function () {
    return (found = use.call(this))
  }
  try {
    machine.percpu.report()
  } finally {
    prototype.use = use
  }
  if (!found) throw new Error('a report does not use the layer any more')
  return found
}

export interface Inside {
  /** Byte addresses of the records of all chunks. */
  records(): number[]
  readonly recordBytes: number
  /** The mapping of a page after so many others fails. */
  failMapping(after: number | undefined): void
  /** Adds a chunk without pages. */
  addEmptyChunk(): void
}

/** What the parts of the allocator share. */
export function stateOf(machine: Machine) {
  return cpuStateOf(machine).state
}

export function backendOf(machine: Machine): Inside {
  const state = stateOf(machine)
  return {
    records: () => [...state.records()].map((record) => record * 4),
    recordBytes: state.geometry.recordWords * 4,
    failMapping(after) {
      if (!(state.backend instanceof MappedBackend)) throw new Error('not mapped')
      let left = after ?? 0
      const backend = state.backend as unknown as { beforeMap: (() => void) | undefined }
      backend.beforeMap =
        after === undefined
          ? undefined
          : () => {
              if (left-- === 0) throw new Error('no page table')
            }
    },
    addEmptyChunk() {
      state.locked.lock(state.tables.root + PercpuRoot.words.lock)
      createChunk(state)
      state.locked.unlock()
    },
  }
}

/** Of the next calls of `pages.tryAlloc`, the one after so many finds nothing; none for -1. */
export function failPages(machine: Machine, after: number): void {
  const { pages } = machine.heap
  const prototype = Object.getPrototypeOf(pages) as typeof pages
  Reflect.deleteProperty(pages, 'tryAlloc')
  let left = after
  const tryAlloc: typeof pages.tryAlloc = (...request) => {
    if (left-- !== 0) return prototype.tryAlloc.apply(pages, request)
    Reflect.deleteProperty(pages, 'tryAlloc')
    return undefined
  }
  if (after >= 0) Object.defineProperty(pages, 'tryAlloc', { configurable: true, value: tryAlloc })
}
