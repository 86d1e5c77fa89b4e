/** The words of spaces: address spaces, sparse arrays, and snapshots of both. */
import type { NameSpace } from '../bootmem/names.js'
import { CollectionHead } from '../collections/presence.js'
import { published, struct, u32 } from '../layout/index.js'
import { SpaceCpu, SpaceTable } from '../pagetable/layouts.js'

/** A space's named object; behind it lies a SpaceCpu for each CPU. */
export const SpaceRoot = struct(
  'SpaceRoot',
  {
    collection: CollectionHead,
    /** The number by which its areas are found: areas.ts. */
    id: published(u32),
    /** Of a sparse array: what its values are, by their number; else 0. sparse-kinds.ts */
    values: published(u32),
    table: SpaceTable,
  },
  { align: 64 },
)

/** The name spaces of what has tables. */
export const SPACE_KINDS = ['space', 'sparseArray', 'snapshot'] as const satisfies readonly NameSpace[]
export type SpaceKind = (typeof SPACE_KINDS)[number]

/** Bytes of a space of a machine with so many CPUs. */
export function spaceBytes(cpus: number): number {
  return SpaceRoot.stride + cpus * SpaceCpu.stride
}

/** Where the words of a space are, by the byte address of its SpaceRoot. */
export interface SpacePlace {
  readonly address: number
  readonly id: number
  /** Word index of its SpaceTable. */
  readonly table: number
}
