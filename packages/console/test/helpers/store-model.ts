/** What a store is expected to hold: records and entries that can be told from any others. */
import { pino } from 'pino'
import type { StoreFolder } from '../../dist/store/folder.js'
import { Store, type LogRecord, type StoreOptions, type StoreSink } from '../../dist/store/store.js'

export const silent = pino({ level: 'silent' })

/** Of various lengths, and each another one. */
export function payloadOf(sequence: number): Uint8Array {
  return Buffer.from(`${sequence}:`.repeat(1 + (sequence % 7)))
}
export function recordsOf(...sequences: number[]): LogRecord[] {
  return sequences.map((sequence) => ({ sequence, payload: payloadOf(sequence) }))
}
/** From `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}
/** A snapshot has an entry for each record. */
export function entriesOf(sequence: number): Uint8Array[] {
  return range(1, sequence).map(payloadOf)
}

/** Gathers what a store tells, and checks each payload. */
export class Told implements StoreSink {
  /** Sequence numbers, in the order in which they were told; an entry's is in its payload. */
  readonly sequences: number[] = []
  snapshotSequence: number | undefined

  snapshot(sequence: number): void {
    this.snapshotSequence = sequence
  }
  entry(payload: Uint8Array): void {
    this.#add(Number.parseInt(Buffer.from(payload).toString()), payload)
  }
  record({ sequence, payload }: LogRecord): void {
    this.#add(sequence, payload)
  }

  #add(sequence: number, payload: Uint8Array): void {
    if (!Buffer.from(payloadOf(sequence)).equals(payload))
      throw new Error(`${sequence} is ${Buffer.from(payload).toString()}`)
    this.sequences.push(sequence)
  }
}

export interface Recovered {
  readonly store: Store
  readonly told: Told
  readonly last: number
}

/** A store on the folder, recovered. */
export async function recovered(
  folder: StoreFolder,
  options: Partial<StoreOptions> = {},
): Promise<Recovered> {
  const store = new Store(folder, { sync: 'always', logger: silent, ...options })
  const told = new Told()
  const last = await store.recover(told)
  return { store, told, last }
}
