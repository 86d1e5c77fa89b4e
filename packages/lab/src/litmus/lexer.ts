/**
 * The words and signs of a litmus file. Comments of all three kinds, `(* *)`, `/* *\/` and `//`,
 * are left out. The text after `Result:` in a comment is kept.
 */
import { LitmusSyntaxError } from './errors.js'
import type { Position } from './syntax.js'

export interface Token {
  readonly kind: 'name' | 'number' | 'sign' | 'text' | 'end'
  readonly text: string
  readonly position: Position
}

export interface LitmusText {
  /** The name on the first line, `C name`. */
  readonly name: string
  /** The text after `Result:` in a comment. */
  readonly result: string | undefined
  readonly tokens: readonly Token[]
}

const whitespace = /\s+/y
const comment = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/y
/** Comments of this kind do not stand in the body of a process: there `(*p)` is an expression. */
const outerComment = /\(\*[\s\S]*?\*\)/y
/** `Cycle=...` and its like: generators write them between the name and the init block. */
const information = /[A-Za-z]\w*=[^\n]*/y
const unclosed = /\(\*|\/\*/y
const token =
  /(?<name>[A-Za-z_]\w*)|(?<number>(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*)|(?<text>"[^"]*")|(?<sign>\/\\|\\\/|\|\||&&|==|!=|<=|>=|<<|>>|->|\+\+|--|[-+&|^]=|[-+*/%&|^~!<>=(){}[\];:,.?#@])/y

/**
 * Reads the whole text of a file.
 *
 * @throws LitmusSyntaxError if the text does not begin with `C name`, or has a sign that no litmus
 *   test has
 */
export function readTokens(source: string): LitmusText {
  const header = /^\s*C[ \t]+(\S+)[ \t]*\r?$/m.exec(source)
  if (header?.[1] === undefined || source.slice(0, header.index).trim() !== '')
    throw new LitmusSyntaxError('a litmus test begins with a line "C name"', { line: 1, column: 1 })
  const at = positions(source)
  const tokens: Token[] = []
  let result: string | undefined
  let index = header.index + header[0].length
  let depth = 0
  // The first braces are those of the initial values.
  let isPastInit = false
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = index
    return pattern.exec(source)
  }
  while (index < source.length) {
    const space = take(whitespace)
    const note =
      space === null ? (take(comment) ?? (isPastInit && depth > 0 ? null : take(outerComment))) : null
    if (note !== null) result ??= /\bResult:[ \t]*(.*?)[ \t]*(?:\*\)|\*\/|\r?$)/m.exec(note[0])?.[1]
    const skipped = space ?? note ?? (tokens.every(({ kind }) => kind === 'text') ? take(information) : null)
    if (skipped !== null) {
      index += skipped[0].length
      continue
    }
    if (!(isPastInit && depth > 0) && take(unclosed) !== null)
      throw new LitmusSyntaxError('a comment without end', at(index))
    const match = take(token)
    if (match === null) throw new LitmusSyntaxError(`unexpected '${source.charAt(index)}'`, at(index))
    if (match[0] === '{') depth++
    else if (match[0] === '}' && --depth === 0) isPastInit = true
    const kind = kindOf(match.groups ?? {})
    const text = kind === 'number' ? match[0].replace(/[uUlL]+$/, '') : match[0]
    tokens.push({ kind, text, position: at(index) })
    index += match[0].length
  }
  tokens.push({ kind: 'end', text: 'the end of the file', position: at(source.length) })
  return { name: header[1], result, tokens }
}

function kindOf(groups: Readonly<Record<string, string | undefined>>): Token['kind'] {
  if (groups['name'] !== undefined) return 'name'
  if (groups['number'] !== undefined) return 'number'
  return groups['text'] === undefined ? 'sign' : 'text'
}

function positions(source: string): (index: number) => Position {
  const starts = [0]
  for (let i = 0; i < source.length; i++) if (source[i] === '\n') starts.push(i + 1)
  return (index) => {
    let line = starts.length
    while (line > 1 && (starts[line - 1] ?? 0) > index) line--
    return { line, column: index - (starts[line - 1] ?? 0) + 1 }
  }
}

/** The tokens one after another. */
export class TokenReader {
  readonly #tokens: readonly Token[]
  #next = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  peek(ahead = 0): Token {
    const last = this.#tokens.length - 1
    const found = this.#tokens[Math.min(this.#next + ahead, last)]
    if (found === undefined) throw new RangeError('no tokens: readTokens ends them with one of kind end')
    return found
  }
  take(): Token {
    const found = this.peek()
    if (found.kind !== 'end') this.#next++
    return found
  }
  /** Whether the next token is this sign or word. */
  sees(text: string): boolean {
    const { kind } = this.peek()
    return this.peek().text === text && (kind === 'sign' || kind === 'name')
  }
  /** Takes the sign or word if it is next. */
  skip(text: string): boolean {
    const seen = this.sees(text)
    if (seen) this.take()
    return seen
  }
  expect(text: string): Token {
    if (!this.sees(text)) throw this.unexpected(`'${text}'`)
    return this.take()
  }
  name(what: string): Token {
    if (this.peek().kind !== 'name') throw this.unexpected(what)
    return this.take()
  }
  unexpected(wanted: string): LitmusSyntaxError {
    const { text, position } = this.peek()
    return new LitmusSyntaxError(`expected ${wanted}, found ${text}`, position, { wanted, found: text })
  }
}
