/**
 * A store: numbered changes that survive the process, as a log and a snapshot in a directory.
 *
 *     append ──▶ log-… ──┐
 *                        ├──▶ recover, at the next start
 *     writeSnapshot ─────┘    snapshot-… goes in place of the log before it
 *
 * It knows nothing of what the payloads mean. What is acknowledged is found again, in its order,
 * or it is told that it cannot be. docs/table-log.md has the format, and what is promised.
 */
import { ArgumentError } from 'percpu'
import type { Logger } from 'pino'
import { FileError, StoreDamagedError, StoreFailedError, StoreFullError } from '../errors.js'
import { placeFile, quietly } from './aside.js'
import { DiskError, makeFolder, type StoreFolder } from './folder.js'
import { fileName } from './format.js'
import { MAX_BODY_BYTES, recordBytes, type LogRecord } from './frame.js'
import { takeLock } from './lock.js'
import { Log } from './log.js'
import { readStore, type Damage, type StoreSink } from './read-store.js'
import { Turns } from './turns.js'
import { writeSnapshotFile } from './write-snapshot.js'

export type { LogRecord, StoreSink }

export interface StoreOptions {
  /**
   * When what was appended is synced: before {@link Store.append} resolves, or at most so long
   * after.
   */
  readonly sync: 'always' | { readonly intervalMilliseconds: number }
  /** Size from which the log goes on in a new file. Default: 64 MiB. */
  readonly segmentBytes?: number
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>
}

export interface StoreReport {
  /** On the disk: of the log and the snapshot. */
  readonly bytes: number
  /** Files of the log. */
  readonly segments: number
  /** 0: nothing was ever appended. */
  readonly lastSequence: number
  /** 0: there is no snapshot. */
  readonly snapshotSequence: number
  /** Whether something was acknowledged that may not be on the disk yet. */
  readonly unsynced: boolean
  /** Why nothing is accepted any more; undefined while it is. */
  readonly failed: string | undefined
}

const SEGMENT_BYTES = 64 * 2 ** 20
/** Of what is logged between attempts to write a snapshot. */
const MAX_DOUBLINGS = 5

export class Store {
  readonly #folder: StoreFolder
  readonly #options: StoreOptions
  readonly #segmentBytes: number
  readonly #release: () => void
  readonly #writes = new Turns()
  readonly #snapshots = new Turns()
  #log: Log | undefined
  #snapshot: { readonly sequence: number; readonly bytes: number } | undefined
  /** Bytes of the log from which another snapshot is worth while. */
  #snapshotFrom = 0
  /** Snapshots that failed since the last one. */
  #failures = 0
  /** Snapshots that were asked for, and have not ended. */
  #snapshotsUnderWay = 0
  #timer: NodeJS.Timeout | undefined
  #failure: DiskError | undefined
  #closing: Promise<void> | undefined

  /** @param release lets the folder go; see {@link Store.open}, which programs use */
  constructor(folder: StoreFolder, options: StoreOptions, release: () => void = () => undefined) {
    this.#folder = folder
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    this.#release = release
  }

  /**
   * Takes the directory for this process alone; it is made if it is missing.
   *
   * @throws StoreBusyError if another living process has it; FileError, StoreFullError,
   * StoreFailedError
   */
  static async open(directory: string, options: StoreOptions): Promise<Store> {
    const folder = await translating(() => makeFolder(directory))
    return new Store(folder, options, await takeLock(directory))
  }

  /**
   * Reads and checks all that is there, once, before anything is appended. A torn end, of an append
   * that never ended, is cut off. If it rejects, the store is still to be closed.
   *
   * @returns the last sequence number; 0 if nothing was ever appended
   * @throws StoreDamagedError: what `sink` was told until then is not to be used; FileError,
   * StoreFullError, StoreFailedError; and what `sink` throws
   */
  recover(sink: StoreSink): Promise<number> {
    return this.#writes.run(async () => {
      this.#refuseEnded()
      if (this.#log) throw new StoreFailedError('the store was recovered already')
      const contents = await this.#attempt(() => readStore(this.#folder, sink))
      if (contents.damages.length > 0) throw damagedError(this.#folder.path, contents.damages)
      const log = await this.#attempt(() => Log.open(this.#folder, this.#segmentBytes, contents))
      this.#log = log
      this.#snapshot = contents.snapshot
      this.#settle()
      if (contents.torn)
        this.#options.logger.warn(contents.torn, 'the last append to the log never ended: cut off')
      for (const name of contents.leftovers) await this.#tidy(() => this.#folder.remove(name))
      return log.last
    })
  }

  /**
   * Adds the records to the log, all or none: with one write, and one sync if each append is
   * synced. Payloads must not change until it resolves.
   *
   * Resolved: they are on the disk with `sync: 'always'`, else written, so that the end of the
   * process loses nothing.
   *
   * @throws ArgumentError for sequence numbers that do not ascend, and for more than 256 MiB;
   * StoreFullError, FileError: they are not there; StoreFailedError: whether they are there is
   * known after the next start
   */
  append(records: readonly LogRecord[]): Promise<void> {
    return this.#writes.run(async () => {
      const log = this.#ready()
      checkRecords(records, log.last)
      if (records.length === 0) return
      await this.#attempt(async () => {
        await log.append(records)
        // Mutant: store/append-unsynced.
        if (this.#options.sync === 'always') await log.sync()
      })
      this.#syncLater(log)
    })
  }

  /**
   * Writes a snapshot, then removes the files of the log that it replaces. Appends go on meanwhile.
   * One of the same sequence number as the last one is not written again, unless it `isAnew`: it
   * takes that one's place then.
   *
   * @param sequence that of a record, or 0; nothing after it is in `entries`
   * @throws ArgumentError; StoreFullError, FileError: the snapshot before stays, and so does the
   * log; StoreFailedError; AbortedError if the store is closed meanwhile; and what `entries`
   * throws
   */
  async writeSnapshot(
    sequence: number,
    entries: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    isAnew = false,
  ): Promise<void> {
    this.#snapshotsUnderWay++
    try {
      await this.#snapshots.run(() => this.#replaceLog(sequence, entries, isAnew))
    } finally {
      this.#snapshotsUnderWay--
    }
  }

  /** Whether enough was logged since the last snapshot to make another worth while. */
  get wantsSnapshot(): boolean {
    const log = this.#log
    return (
      log !== undefined && this.#snapshotsUnderWay === 0 && !this.#failure && log.bytes >= this.#snapshotFrom
    )
  }

  report(): StoreReport {
    return {
      bytes: (this.#log?.bytes ?? 0) + (this.#snapshot?.bytes ?? 0),
      segments: this.#log?.files ?? 0,
      lastSequence: this.#log?.last ?? 0,
      snapshotSequence: this.#snapshot?.sequence ?? 0,
      unsynced: this.#log?.unsynced ?? false,
      failed: this.#failure?.message,
    }
  }

  /**
   * Ends what was asked for, syncs, and lets the directory go. A snapshot that is being written is
   * given up. If the last sync fails, the logger is told.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#snapshots.run(() => Promise.resolve())
    await this.#writes.run(async () => {
      clearTimeout(this.#timer)
      const log = this.#log
      // Another sync may well say that all is good. Mutant: store/synced-after-failure.
      if (log && !this.#failure) await this.#attempt(() => log.sync()).catch(() => undefined)
      await log?.close()
    })
    this.#release()
  }

  async #replaceLog(
    sequence: number,
    entries: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    isAnew: boolean,
  ): Promise<void> {
    const log = this.#ready()
    const before = this.#snapshot
    if (sequence === before?.sequence && !isAnew) return
    const least = before?.sequence ?? 0
    if (!Number.isSafeInteger(sequence) || sequence > log.last || sequence < least)
      throw new ArgumentError(`a snapshot of ${sequence}: expected ${least} to ${log.last}`, { sequence })
    try {
      // What the snapshot has is in sealed files then: they are on the disk before it, and can go
      // after it. Mutants: store/snapshot-before-log, store/dropped-early.
      await this.#writes.run(() => this.#attempt(() => log.seal()))
      this.#snapshot = await this.#attempt(() => this.#placeSnapshot(sequence, entries))
    } catch (error) {
      // Each attempt writes as much as there is, for nothing.
      this.#snapshotFrom = log.bytes + this.#segmentBytes * 2 ** Math.min(this.#failures++, MAX_DOUBLINGS)
      throw error
    }
    this.#failures = 0
    if (before && before.sequence !== sequence)
      await this.#tidy(() => this.#folder.remove(fileName('snapshot', before.sequence)))
    await this.#tidy(() => log.dropUntil(sequence))
    this.#settle()
  }

  async #placeSnapshot(
    sequence: number,
    entries: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<{ readonly sequence: number; readonly bytes: number }> {
    let bytes = 0
    const file = await placeFile(this.#folder, fileName('snapshot', sequence), async (aside) => {
      bytes = await writeSnapshotFile(aside, sequence, entries, () => this.#closing !== undefined)
    })
    await quietly(() => file.close())
    return { sequence, bytes }
  }

  /** In the interval mode: syncs in time what was appended. */
  #syncLater(log: Log): void {
    const { sync } = this.#options
    if (sync === 'always' || this.#timer) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      // A failure is told to the logger, and to the next append.
      void this.#writes
        .run(async () => {
          if (!this.#failure && !this.#closing) await this.#attempt(() => log.sync())
        })
        .catch(() => undefined)
    }, sync.intervalMilliseconds).unref()
  }

  /** The next snapshot is worth while when the log is as long as the last one. */
  #settle(): void {
    this.#snapshotFrom = Math.max(this.#segmentBytes, this.#snapshot?.bytes ?? 0)
  }

  /** The log, if something may be done with it. */
  #ready(): Log {
    this.#refuseEnded()
    if (!this.#log) throw new StoreFailedError('the store was not recovered')
    return this.#log
  }

  #refuseEnded(): void {
    if (this.#closing) throw new StoreFailedError('the store was closed')
    if (this.#failure) throw failedError(this.#failure)
  }

  /** What the disk refuses becomes an error of the store. */
  async #attempt<Value>(work: () => Promise<Value>): Promise<Value> {
    return translating(work, (error) => {
      this.#failure ??= error
      this.#options.logger.error({ err: error }, 'the store failed: it takes nothing until a restart')
    })
  }

  /** Removes what nothing needs; it may as well stay. */
  async #tidy(work: () => Promise<void>): Promise<void> {
    const error = await quietly(work)
    if (error) this.#options.logger.warn({ err: error }, 'a file that is not needed any more stays')
  }
}

/** @param onFailure called if it is not known what is on the disk */
async function translating<Value>(
  work: () => Promise<Value>,
  onFailure: (error: DiskError) => void = () => undefined,
): Promise<Value> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const details = { file: error.file }
    if (error.outcome === 'full')
      throw new StoreFullError(`the disk is full: ${error.message}`, details, { cause: error })
    if (error.outcome === 'unchanged') throw new FileError(error.message, details, { cause: error })
    onFailure(error)
    throw failedError(error)
  }
}

function failedError(error: DiskError): StoreFailedError {
  return new StoreFailedError(
    `the store takes nothing until a restart: ${error.message}`,
    { file: error.file },
    { cause: error },
  )
}

function damagedError(directory: string, damages: readonly Damage[]): StoreDamagedError {
  const [{ file, offset, what } = { file: directory, offset: undefined, what: '' }] = damages
  const place = offset === undefined ? file : `${file}, byte ${offset}`
  const more = damages.length > 1 ? ` (and ${damages.length - 1} more)` : ''
  return new StoreDamagedError(
    `${directory} is damaged: ${place}: ${what}${more}. Nothing was changed. ` +
      `Put back a copy of the directory; percpu log ${directory} tells what can be read`,
    { directory, file, offset, what, damages },
  )
}

function checkRecords(records: readonly LogRecord[], last: number): void {
  let before = last
  let bytes = 0
  for (const { sequence, payload } of records) {
    if (!Number.isSafeInteger(sequence) || sequence <= before)
      throw new ArgumentError(`sequence number ${sequence} after ${before}: they ascend`, {
        sequence,
        before,
      })
    before = sequence
    bytes += recordBytes(payload)
  }
  if (bytes > MAX_BODY_BYTES)
    throw new ArgumentError(`${bytes} bytes in one append: at most ${MAX_BODY_BYTES}`, { bytes })
}
