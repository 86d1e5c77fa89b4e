import type { Machine } from 'percpu'

/**
 * Takes all boot memory that is free between regions. Returns the address from which on all is
 * free.
 */
export function fillGaps({ heap: { memblock } }: Machine): number {
  let end = 0
  for (const { address, size } of memblock.report().regions) {
    if (address > end) memblock.alloc({ size: address - end, limit: address, zero: false })
    end = address + size
  }
  return end
}

/** Takes all boot memory but the last `left` bytes. */
export function fillAll(machine: Machine, left: number): void {
  const { memblock } = machine.heap
  const end = fillGaps(machine)
  const { total } = memblock.report()
  if (end + left < total) memblock.alloc({ size: total - left - end, zero: false })
}
