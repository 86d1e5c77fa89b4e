import type { AnyStruct } from '../layout/index.js'

/**
 * What lies where in a machine's memory, for tools that show memory: dumps, traces, model checkers.
 * The words of each CPU are listed under `cpu[n]`. Objects of users are theirs to describe. The
 * machine's own memory refuses accessors in its header page; `openMemory(buffer)` has none.
 */
export interface PlacedStruct {
  readonly name: string
  /** Bytes. */
  readonly address: number
  readonly struct: AnyStruct
}
