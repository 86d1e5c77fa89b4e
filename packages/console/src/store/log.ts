/**
 * The files of the log, and what is written to the last of them. One call at a time.
 *
 *     log-1 ── sealed ──▶ log-501 ── sealed ──▶ log-907       appended to here
 *
 * A file is sealed when the next one is made: it is on the disk as a whole before anything is
 * appended to its successor. So only the last file can have a torn end.
 */
import { placeFile, quietly } from './aside.js'
import type { StoreFile, StoreFolder } from './folder.js'
import { encodeFileHeader, FILE_HEADER_BYTES, fileName } from './format.js'
import { encodeRecords, type LogRecord } from './frame.js'
import type { StoreContents } from './read-store.js'

interface LogFile {
  readonly name: string
  /** The last sequence number before it. */
  readonly before: number
  bytes: number
}

export class Log {
  readonly #folder: StoreFolder
  readonly #segmentBytes: number
  /** The oldest first; the last one is appended to. */
  readonly #files: LogFile[]
  #file: StoreFile
  #last: number
  #unsynced = false

  private constructor(
    folder: StoreFolder,
    segmentBytes: number,
    files: LogFile[],
    file: StoreFile,
    last: number,
  ) {
    this.#folder = folder
    this.#segmentBytes = segmentBytes
    this.#files = files
    this.#file = file
    this.#last = last
  }

  /**
   * Goes on with the log that was read, or begins it. A torn end is cut off. What was read is on
   * the disk then.
   *
   * @throws DiskError
   */
  static async open(folder: StoreFolder, segmentBytes: number, contents: StoreContents): Promise<Log> {
    const { segments, torn, lastSequence } = contents
    const files = segments.map(({ name, before, bytes }) => ({ name, before, bytes }))
    // The process that wrote it may have been killed between a write or a rename and its sync.
    // Mutants: store/found-name-unsynced, store/found-unsynced.
    await folder.sync()
    const last = files.at(-1)
    if (!last) {
      const { made, file } = await makeFile(folder, 0)
      return new Log(folder, segmentBytes, [made], file, lastSequence)
    }
    const file = await folder.open(last.name, 'write')
    try {
      // Nothing of it follows what is appended. Mutant: store/torn-kept.
      if (torn) await file.truncate(torn.offset)
      await file.sync()
    } catch (error) {
      await quietly(() => file.close())
      throw error
    }
    return new Log(folder, segmentBytes, files, file, lastSequence)
  }

  /** The last sequence number. */
  get last(): number {
    return this.#last
  }
  get bytes(): number {
    return this.#files.reduce((sum, { bytes }) => sum + bytes, 0)
  }
  get files(): number {
    return this.#files.length
  }
  /** Whether something was written that may not be on the disk. */
  get unsynced(): boolean {
    return this.#unsynced
  }

  /**
   * Writes the records, which ascend, as one frame.
   *
   * @throws DiskError; unless its outcome is `unknown`, the log is as before
   */
  async append(records: readonly LogRecord[]): Promise<void> {
    if (this.#active.bytes >= this.#segmentBytes) await this.seal()
    const active = this.#active
    const frame = encodeRecords(records, active.bytes)
    try {
      await this.#file.write(frame, active.bytes)
    } catch (error) {
      // A part may have been written. If it cannot be cut off, that is the error. Were the cut not
      // on the disk, the part could follow a shorter append there. Mutant: store/half-kept.
      await this.#file.truncate(active.bytes)
      await this.#file.sync()
      throw error
    }
    active.bytes += frame.length
    this.#last = records.at(-1)?.sequence ?? this.#last
    this.#unsynced = true
  }

  /** @throws DiskError, after which it is not known what is on the disk */
  async sync(): Promise<void> {
    if (!this.#unsynced) return
    await this.#file.sync()
    this.#unsynced = false
  }

  /**
   * Goes on in a new file, if the last one has records. All records so far are on the disk then.
   *
   * @throws DiskError; unless its outcome is `unknown`, the log is as before
   */
  async seal(): Promise<void> {
    if (this.#active.bytes === FILE_HEADER_BYTES) return
    // Only the last file may have a torn end. Mutant: store/seal-unsynced.
    await this.sync()
    const { made, file } = await makeFile(this.#folder, this.#last)
    const sealed = this.#file
    this.#file = file
    this.#files.push(made)
    await quietly(() => sealed.close())
  }

  /**
   * Removes the files all of whose records are of `sequence` or before, the oldest first.
   *
   * @throws DiskError; the log is right all the same
   */
  async dropUntil(sequence: number): Promise<void> {
    for (let next = this.#files[1]; next && next.before <= sequence; next = this.#files[1]) {
      const [oldest] = this.#files.splice(0, 1)
      if (oldest) await this.#folder.remove(oldest.name)
    }
  }

  async close(): Promise<void> {
    await quietly(() => this.#file.close())
  }

  get #active(): LogFile {
    const file = this.#files.at(-1)
    if (!file) throw new TypeError('a log has a file')
    return file
  }
}

async function makeFile(folder: StoreFolder, before: number): Promise<{ made: LogFile; file: StoreFile }> {
  const name = fileName('log', before + 1)
  const file = await placeFile(folder, name, (aside) => aside.write(encodeFileHeader('log', before), 0))
  return { made: { name, before, bytes: FILE_HEADER_BYTES }, file }
}
