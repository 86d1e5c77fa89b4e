/**
 * Cuts an input of any length into batches that end at line ends, in constant memory.
 *
 * A batch is handed to a worker as it stands: text, one address a line, or NDJSON, one string a
 * line. JSON arrays become NDJSON before (json-array.ts).
 */
import { MalformedInputError } from '../errors.js'

/** A line longer than this is no address, whatever it is. */
export const MAX_LINE_BYTES = 32 * 1024

const NEWLINE = 0x0a

/** Collects pieces of input and gives them back as batches of whole lines. */
export class LineSplitter {
  readonly #buffer: Uint8Array<ArrayBuffer>
  readonly #limit: number
  #length = 0
  /** Position behind the last line end in the buffer. */
  #complete = 0
  /** Bytes of the input that have left the buffer. */
  #taken = 0

  /**
   * @param batchBytes largest batch, and longest line if that is less than {@link MAX_LINE_BYTES}
   */
  constructor(batchBytes: number) {
    this.#buffer = new Uint8Array(batchBytes)
    this.#limit = Math.min(MAX_LINE_BYTES, batchBytes - 1)
  }

  /** Whether there is at least one whole line. */
  get hasLines(): boolean {
    return this.#complete > 0
  }
  /** Whether a batch has to be taken before more can be pushed. */
  get isFull(): boolean {
    return this.#length === this.#buffer.length
  }

  /**
   * Takes as much of `piece`, from `from` on, as fits, and returns the position behind it.
   *
   * @throws MalformedInputError for a line that is too long.
   */
  push(piece: Uint8Array, from: number): number {
    const part = piece.subarray(from, from + this.#buffer.length - this.#length)
    this.#buffer.set(part, this.#length)
    const last = part.lastIndexOf(NEWLINE)
    if (last >= 0) this.#complete = this.#length + last + 1
    this.#length += part.length
    if (this.#length - this.#complete > this.#limit) {
      const position = this.#taken + this.#complete
      throw new MalformedInputError(
        `the line that begins at byte ${position} is longer than ${this.#limit} bytes: expected one address a line`,
        { position },
      )
    }
    return from + part.length
  }

  /** The whole lines collected so far, or undefined if there are none. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    return this.#cut(this.#complete)
  }

  /** All that is left, even if its last line has no end; for the end of the input. */
  finish(): Uint8Array<ArrayBuffer> | undefined {
    return this.#cut(this.#length)
  }

  #cut(end: number): Uint8Array<ArrayBuffer> | undefined {
    if (end === 0) return undefined
    const bytes = this.#buffer.slice(0, end)
    this.#buffer.copyWithin(0, end, this.#length)
    this.#length -= end
    this.#complete = 0
    this.#taken += end
    return bytes
  }
}
