/** The last of the changes that are recovered, for the history: only these become events. */
import type { LogRecord } from '../store/store.js'
import { eventOf, type History } from './history.js'
import { writeIn } from './recorded.js'
import type { Table } from './table.js'

/** Of an event, beside its value: no more than a history counts. */
const EVENT_BYTES = 100
/** Bytes of UTF-8 that a character has at most. */
const CHARACTER_BYTES = 3

export class RecentChanges {
  readonly #history: History
  #records: LogRecord[] = []
  /** Of each record. */
  #tables: Table[] = []
  #first = 0
  #bytes = 0

  constructor(history: History) {
    this.#history = history
  }

  /** @param record of a change of the table that sets or deletes */
  add(table: Table, record: LogRecord): void {
    this.#records.push(record)
    this.#tables.push(table)
    this.#bytes += bytesOf(record)
    while (this.#bytes > this.#history.limit) {
      const oldest = this.#records[this.#first++] as LogRecord
      this.#bytes -= bytesOf(oldest)
      this.#history.startAt(oldest.sequence)
    }
    if (this.#first * 2 > this.#records.length) this.#compact()
  }
  /** A table is another one now. */
  addReset(table: Table, sequence: number): void {
    this.tell()
    const data = `{"sequence":${sequence}}`
    this.#history.add({ sequence, table: table.name, kind: 'reset', data })
  }
  /** What was before is not known. */
  startAt(sequence: number): void {
    this.#records = []
    this.#tables = []
    this.#first = this.#bytes = 0
    this.#history.startAt(sequence)
  }
  /** Tells the history of what was added. */
  tell(): void {
    this.#compact()
    for (const [i, record] of this.#records.entries()) {
      const table = this.#tables[i] as Table
      this.#history.add(eventOf(table, writeIn(table, record)))
    }
    this.#records = []
    this.#tables = []
    this.#bytes = 0
  }

  #compact(): void {
    this.#records = this.#records.slice(this.#first)
    this.#tables = this.#tables.slice(this.#first)
    this.#first = 0
  }
}

function bytesOf({ payload }: LogRecord): number {
  return EVENT_BYTES + payload.length / CHARACTER_BYTES
}
