/**
 * The four kinds of machines. Those with SMP and MMU map units page by page; the others have a
 * block a chunk.
 */
export const kinds = [
  { name: 'SMP, MMU', options: { smp: true, mmu: true, cpus: 3 } },
  { name: 'SMP, no MMU', options: { smp: true, mmu: false, cpus: 3 } },
  { name: 'one CPU, MMU', options: { smp: false, mmu: true } },
  { name: 'one CPU, no MMU', options: { smp: false, mmu: false } },
] as const
