/**
 * A thread's table from the start of a service on: the packed rows of the first table until that is
 * published, which takes seconds, then the maps.
 */
import type { AddressTable, TableSummary } from './address-table.js'
import type { PairTable } from './lookup-table.js'
import { PackedTable } from './packed-table.js'
import type { TableRows } from './read.js'

export class FirstTable {
  readonly #published: AddressTable
  readonly #fields: readonly string[]
  #rows: TableRows | undefined
  #packed: PackedTable | undefined

  /** @param fields columns of data */
  constructor(published: AddressTable, fields: readonly string[], rows?: TableRows) {
    this.#published = published
    this.#fields = fields
    if (rows) this.answerFrom(rows)
  }

  /** What the first table will hold. Ignored if there is one. */
  answerFrom(rows: TableRows): void {
    this.#rows = rows
    this.#packed = new PackedTable(rows.ipv4, rows.ipv6, this.#fields)
  }

  /** What it answers from until the first table is published. */
  get rows(): TableRows | undefined {
    if (this.#rows && this.#published.generation > 0) this.#rows = this.#packed = undefined
    return this.#rows
  }

  /** What answers now. Ask again for each address: the numbers of pairs are its own. */
  get now(): PairTable {
    return this.rows && this.#packed ? this.#packed : this.#published
  }

  summary(): TableSummary {
    const { rows } = this
    if (!rows) return this.#published.summary()
    const { ipv4, ipv6 } = rows
    return {
      generation: 0,
      rows4: ipv4.length,
      rows6: ipv6.length,
      entries: ipv4.textEnds.length + ipv6.textEnds.length,
      bytes: ipv4.memory.byteLength + ipv6.memory.byteLength,
    }
  }
}
