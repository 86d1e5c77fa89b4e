/**
 * Reads and checks all that a store's folder holds, and changes nothing.
 *
 *     snapshot-S        log-A          log-B          log-C
 *     entries as of S   …, S, S+1 …    …              … (torn end)
 *
 * The newest snapshot counts. Of the log, what the snapshot has already is passed over; a file of
 * the log whose successor begins at S+1 or before is not even read. Each file's header names the
 * last sequence number before it, so that a file which is missing in between is noticed.
 *
 * The end of the last file may be torn: an append that never ended. Everything else that does not
 * check is damage.
 */
import { quietly } from './aside.js'
import type { StoreFile, StoreFolder } from './folder.js'
import { ASIDE, FILE_HEADER_BYTES, fileName, parseFileName, readFileHeader, type FileKind } from './format.js'
import {
  END,
  ENTRIES,
  readEnd,
  readEntries,
  readRecords,
  RECORDS,
  type FrameHeader,
  type LogRecord,
} from './frame.js'
import { readFrames } from './read-frames.js'

/** What is told of a store as it is read: the snapshot's entries, then the records after it. */
export interface StoreSink {
  /** Before its entries; not called if there is no snapshot. */
  snapshot(sequence: number): void
  /** The bytes are part of a larger buffer: copy what is kept for long. */
  entry(payload: Uint8Array): void
  /** As of {@link entry}. */
  record(record: LogRecord): void
}

/** Something that does not check. */
export interface Damage {
  readonly file: string
  /** Bytes from the start of the file; undefined if no place in it is meant. */
  readonly offset: number | undefined
  /** In words. */
  readonly what: string
}

export interface Segment {
  readonly name: string
  /** The sequence number before its first record, and its last one; the same if it has none. */
  readonly before: number
  readonly last: number
  readonly records: number
  readonly bytes: number
}

export interface StoreContents {
  readonly snapshot:
    | { readonly name: string; readonly sequence: number; readonly entries: number; readonly bytes: number }
    | undefined
  /** Files of the log that count, the oldest first. */
  readonly segments: readonly Segment[]
  /** The last sequence number: of the log, or of the snapshot. 0 if there is nothing. */
  readonly lastSequence: number
  /** The end of the last file of the log, if its last append never ended. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | undefined
  readonly damages: readonly Damage[]
  /** Files that nothing needs any more. */
  readonly leftovers: readonly string[]
}

/**
 * Tells `sink` what the folder holds, until something does not check; the rest is still read.
 *
 * @throws DiskError if a file cannot be read
 */
export async function readStore(folder: StoreFolder, sink: StoreSink): Promise<StoreContents> {
  return new StoreReader(folder, sink).read()
}

class StoreReader {
  readonly #folder: StoreFolder
  readonly #sink: StoreSink
  readonly #damages: Damage[] = []

  constructor(folder: StoreFolder, sink: StoreSink) {
    this.#folder = folder
    this.#sink = sink
  }

  async read(): Promise<StoreContents> {
    const names = await this.#folder.list()
    const numbers = (kind: FileKind) =>
      names
        .map(parseFileName)
        .filter((parsed) => parsed?.kind === kind)
        .map((parsed) => parsed?.number ?? 0)
        .sort((one, other) => one - other)
    const snapshots = numbers('snapshot')
    const logs = numbers('log')
    const newest = snapshots.pop()
    const snapshot = newest === undefined ? undefined : await this.#readSnapshot(newest)
    const from = newest ?? 0
    const firstNeeded = logs.findLastIndex((number, i) => i === 0 || number - 1 <= from)
    const needed = logs.slice(Math.max(firstNeeded, 0))
    const segments: Segment[] = []
    let torn: StoreContents['torn']
    for (const number of needed) {
      const before = segments.at(-1)
      const isKnown = before === undefined || this.#isUnharmed(before.name)
      const found = await this.#readSegment(number, from, number === needed.at(-1))
      const { name, before: base } = found.segment
      // The oldest one may hold records that the snapshot has, too.
      const expected = before ? before.last : Math.min(from, base)
      if (isKnown && base !== expected) this.#damage(name, undefined, gap(expected, base))
      segments.push(found.segment)
      torn = found.torn
    }
    const last = segments.at(-1)
    if (newest !== undefined && (!last || (last.last < newest && this.#isUnharmed(last.name))))
      this.#damage(
        last?.name ?? fileName('log', newest + 1),
        undefined,
        `the log ends at ${last?.last ?? 0}, and its snapshot is of ${newest}: the end of the log is missing`,
      )
    return {
      snapshot,
      segments,
      lastSequence: Math.max(last?.last ?? 0, from),
      torn,
      damages: this.#damages,
      leftovers: [
        ...names.filter((name) => name.endsWith(ASIDE) && parseFileName(name.slice(0, -ASIDE.length))),
        ...snapshots.map((number) => fileName('snapshot', number)),
        ...logs.slice(0, logs.length - needed.length).map((number) => fileName('log', number)),
      ],
    }
  }

  async #readSnapshot(sequence: number): Promise<NonNullable<StoreContents['snapshot']>> {
    const name = fileName('snapshot', sequence)
    let entries = 0
    let told: number | undefined
    const bytes = await this.#withFile(name, async (file) => {
      if (!(await this.#hasHeader(name, file, 'snapshot', sequence))) return
      if (this.#isWhole) this.#sink.snapshot(sequence)
      const end = await readFrames(file, ({ kind, count }: FrameHeader, body) => {
        if (told !== undefined) return 'something follows the end of the snapshot'
        if (kind === END) {
          told = readEnd(body)
          return told === entries ? undefined : `the snapshot has ${entries} entries, and says it has ${told}`
        }
        if (kind !== ENTRIES) return `a frame has the kind ${kind}`
        entries += count
        return readEntries(body, count, (entry) => {
          if (this.#isWhole) this.#sink.entry(entry)
        })
      })
      if (end.fault !== undefined) this.#damage(name, end.position, end.fault)
      else if (told === undefined) this.#damage(name, end.position, 'the end of the snapshot is missing')
    })
    return { name, sequence, entries, bytes }
  }

  async #readSegment(
    number: number,
    from: number,
    isLast: boolean,
  ): Promise<{ readonly segment: Segment; readonly torn: StoreContents['torn'] }> {
    const name = fileName('log', number)
    const before = number - 1
    let last = before
    let records = 0
    let torn: StoreContents['torn']
    const bytes = await this.#withFile(name, async (file) => {
      if (!(await this.#hasHeader(name, file, 'log', before))) return
      const end = await readFrames(file, ({ kind, count }, body) => {
        if (kind !== RECORDS) return `a frame has the kind ${kind}`
        const read = readRecords(body, count, last, (record) => {
          if (record.sequence > from && this.#isWhole) this.#sink.record(record)
        })
        if (typeof read === 'string') return read
        last = read
        records += count
        return undefined
      })
      if (end.fault === undefined) return
      if (isLast && end.isTorn) torn = { file: name, offset: end.position, bytes: end.size - end.position }
      else this.#damage(name, end.position, end.fault)
    })
    return { segment: { name, before, last, records, bytes: torn?.offset ?? bytes }, torn }
  }

  /** Whether the file has its header. If not, that is noted. */
  async #hasHeader(name: string, file: StoreFile, kind: FileKind, sequence: number): Promise<boolean> {
    const bytes = await file.read(0, Math.min(await file.size(), FILE_HEADER_BYTES))
    const found = readFileHeader(bytes, kind)
    if (found === sequence) return true
    const fault =
      typeof found === 'string'
        ? found
        : `the header names the sequence number ${found}, and the file's name ${sequence}`
    this.#damage(name, 0, fault)
    return false
  }

  /** Resolves with the size of the file. */
  async #withFile(name: string, work: (file: StoreFile) => Promise<void>): Promise<number> {
    const file = await this.#folder.open(name, 'read')
    try {
      await work(file)
      return await file.size()
    } finally {
      await quietly(() => file.close())
    }
  }

  /** Whether nothing was found to be damaged. */
  get #isWhole(): boolean {
    return this.#damages.length === 0
  }

  #isUnharmed(name: string): boolean {
    return !this.#damages.some(({ file }) => file === name)
  }

  #damage(file: string, offset: number | undefined, what: string): void {
    this.#damages.push({ file, offset, what })
  }
}

function gap(end: number, start: number): string {
  return end < start
    ? `records ${end + 1} to ${start} are missing before it`
    : `it begins after record ${start}, and the file before it ends with ${end}`
}
