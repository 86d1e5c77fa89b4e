/** The token that changes need: `Authorization: Bearer TOKEN`. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'

/** Of a token that is made: 256 bits. */
const TOKEN_BYTES = 32
/** What a token from a file must have at least, characters. */
const LEAST_CHARACTERS = 16

export class Token {
  readonly text: string
  /** Whether it was made now, so that nobody knows it yet. */
  readonly isNew: boolean
  readonly #hash: Buffer

  constructor(text: string, isNew: boolean) {
    this.text = text
    this.isNew = isNew
    this.#hash = hashOf(text)
  }

  static make(): Token {
    return new Token(randomBytes(TOKEN_BYTES).toString('base64url'), true)
  }

  /**
   * That in a file, which is made if there is none, readable for its owner only.
   *
   * @throws FileError if it cannot be read or made, or holds no token.
   */
  static async inFile(file: string): Promise<Token> {
    try {
      const made = Token.make()
      await writeFile(file, `${made.text}\n`, { mode: 0o600, flag: 'wx' })
      return made
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw failure(file, error)
    }
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      throw failure(file, error)
    })
    const token = text.trim()
    if (token.length >= LEAST_CHARACTERS && /^[!-~]+$/.test(token)) return new Token(token, false)
    throw new FileError(
      `${file} holds no token: expected one line of at least ${LEAST_CHARACTERS} characters of ASCII, without spaces`,
      { file },
    )
  }

  /**
   * Whether a header has it. Takes the same time for each wrong one: hashes are compared, all of
   * them.
   */
  isIn(authorization: string | undefined): boolean {
    const [, given = ''] = /^Bearer +(\S+)$/i.exec(authorization?.trim() ?? '') ?? []
    return timingSafeEqual(hashOf(given), this.#hash)
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function failure(file: string, error: unknown): FileError {
  const message = error instanceof Error ? error.message : String(error)
  return new FileError(`the token cannot be kept in ${file}: ${message}`, { file }, { cause: error })
}
