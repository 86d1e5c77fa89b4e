/** Shared memory for changes, taken before they are logged: what is logged can be made. */
import { OutOfMemoryError, type Machine } from 'percpu'
import type { Table } from './table.js'

/**
 * Takes blocks of these sizes, until the function is called that it returns. If there is no room,
 * it waits once until all that was replaced before is free.
 *
 * @throws OutOfMemoryError. Nothing is taken then.
 */
export async function reserve(
  machine: Machine,
  tables: Iterable<Table>,
  sizes: readonly number[],
): Promise<() => void> {
  try {
    return takeBlocks(machine, sizes)
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error
  }
  for (const table of tables) await table.map.barrier()
  machine.heap.trim()
  return takeBlocks(machine, sizes)
}

function takeBlocks({ heap }: Machine, sizes: readonly number[]): () => void {
  const blocks: number[] = []
  const giveBack = () => {
    for (const block of blocks.splice(0)) heap.free(block)
  }
  try {
    for (const size of sizes) blocks.push(heap.alloc(size))
  } catch (error) {
    giveBack()
    throw error
  }
  return giveBack
}
