/**
 * Turns a JSON array of strings, of any length, into NDJSON, in constant memory and in one pass
 * over its bytes.
 *
 * Outside of strings, commas become line ends and white space disappears; a JSON string never
 * contains a raw line end, so each string is a line. The array's structure is checked here, to the
 * last byte; what is inside the strings is left to whoever parses the lines, on another thread.
 */
import { MalformedInputError } from '../errors.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d
const NEWLINE = 0x0a

type State = 'start' | 'first' | 'element' | 'string' | 'escape' | 'after' | 'end'

const expected: Readonly<Record<State, string>> = {
  start: "a JSON array of strings, beginning with '['",
  first: "a string or ']'",
  element: 'a string',
  string: 'the end of the string',
  escape: 'the end of the string',
  after: "',' or ']'",
  end: 'nothing after the array',
}

export class JsonArrayFlattener {
  #state: State = 'start'
  #position = 0
  #element = 0

  /**
   * The lines, or parts of them, that `piece` contributes.
   *
   * @throws MalformedInputError at the first byte that does not belong into an array of strings.
   */
  push(piece: Uint8Array): Uint8Array {
    const out = new Uint8Array(piece.length)
    let length = 0
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i] as number
      if (this.#state === 'string') {
        if (byte === QUOTE) this.#state = 'after'
        else if (byte === BACKSLASH) this.#state = 'escape'
        else if (byte < 0x20) throw this.#unexpected(byte, i)
        out[length++] = byte
      } else if (this.#state === 'escape') {
        this.#state = 'string'
        out[length++] = byte
      } else if (!isSpace(byte)) {
        const kept = this.#structure(byte, i)
        if (kept !== undefined) out[length++] = kept
      }
    }
    this.#position += piece.length
    return out.subarray(0, length)
  }

  /** @throws MalformedInputError if the array has not ended. */
  finish(): void {
    if (this.#state === 'end') return
    throw new MalformedInputError(
      `JSON ends at byte ${this.#position}, before the array does: expected ${expected[this.#state]}`,
      {
        position: this.#position,
      },
    )
  }

  /**
   * Follows a byte outside of strings; returns what stands for it in the output, if anything does.
   */
  #structure(byte: number, at: number): number | undefined {
    const state = this.#state
    if (state === 'start' && byte === OPEN) {
      this.#state = 'first'
      return undefined
    }
    if ((state === 'first' || state === 'element') && byte === QUOTE) {
      this.#state = 'string'
      this.#element++
      return QUOTE
    }
    if ((state === 'first' || state === 'after') && byte === CLOSE) {
      this.#state = 'end'
      return undefined
    }
    if (state === 'after' && byte === COMMA) {
      this.#state = 'element'
      return NEWLINE
    }
    throw this.#unexpected(byte, at)
  }

  #unexpected(byte: number, at: number): MalformedInputError {
    const position = this.#position + at
    const found =
      byte > 0x20 && byte < 0x7f
        ? `'${String.fromCharCode(byte)}'`
        : `byte 0x${byte.toString(16).padStart(2, '0')}`
    const where = this.#element > 0 ? `, after string ${this.#element}` : ''
    return new MalformedInputError(
      `malformed JSON at byte ${position}${where}: expected ${expected[this.#state]}, found ${found}`,
      { position, element: this.#element },
    )
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
