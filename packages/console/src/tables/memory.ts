/** Shared memory for changes that are made in parts, taken before they are logged. */
import { OutOfMemoryError, type Machine } from 'percpu'
import type { Table, Write } from './table.js'

/** What a change takes in a map, beside its key and value: nodes that are made anew. */
const CHANGE_BYTES = 2048
/** Nodes have 16 keys of text, which may be as long as that of the change; some are cut in two. */
const KEYS_ANEW = 24
/** The way from the root of each map, and what rounding up takes. */
const GROUP_OVERHEAD_BYTES = 64 * 1024
/** Larger values have blocks of their own; what the others take is cut into such blocks. */
const BLOCK_BYTES = 32 * 1024

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
  await relieve(machine, tables)
  return takeBlocks(machine, sizes)
}

/** Waits until all that tables replaced before is free, for blocks of any size. */
export async function relieve(machine: Machine, tables: Iterable<Table>): Promise<void> {
  for (const table of tables) await table.map.barrier()
  machine.heap.trim()
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

/**
 * Sizes of blocks of memory that changes may take.
 *
 * @param rests bytes of values of which rests are written anew
 */
export function blocksOf(writes: readonly Write[], rests: readonly number[]): readonly number[] {
  const blocks: number[] = []
  let rest = GROUP_OVERHEAD_BYTES
  for (const length of [...writes.map(({ value }) => value?.length ?? 0), ...rests]) {
    if (length > BLOCK_BYTES) blocks.push(length + CHANGE_BYTES)
    else rest += 2 * length
    rest += CHANGE_BYTES
  }
  for (const { from } of writes) if (from instanceof Uint8Array) rest += KEYS_ANEW * from.length
  for (; rest > 0; rest -= BLOCK_BYTES) blocks.push(BLOCK_BYTES)
  return blocks
}
