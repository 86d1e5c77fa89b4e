import type { Machine } from 'percpu'

/** Pages that were taken from the page allocator and that per-CPU memory does not know of. Nothing else may use the heap. */
export function pagesOutside(machine: Machine): number {
  machine.heap.pages.trim()
  const taken = machine.heap.pages.report().reduce((sum, { total, free }) => sum + total - free, 0) / 4096
  const { backend, chunks, cpus, unitBytes } = machine.percpu.report()
  const ordinary = chunks.filter(({ kind }) => kind === 'ordinary')
  const record = 1
  const block = 2 ** Math.ceil(Math.log2((cpus * unitBytes) / 4096))
  const known = ordinary.map(({ populated }) => record + (backend === 'km' ? block : populated * cpus))
  return taken - known.reduce((sum, pages) => sum + pages, 0)
}
