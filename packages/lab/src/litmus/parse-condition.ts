/** The end of a litmus test: `locations`, `filter`, and `exists`, `~exists` or `forall`. */
import { LitmusSyntaxError, LitmusUnsupportedError } from './errors.js'
import type { TokenReader } from './lexer.js'
import { isTypeWord, skipPointerType } from './parse-expression.js'
import type { LitmusTest, Observable, Position, Proposition } from './syntax.js'

/** The names that conditions may use. */
export interface Names {
  /** Number of the variable; new ones have the initial value 0. */
  variable(name: string): number
  /** The address of the variable of that name, or undefined when there is none. */
  addressOf(name: string): number | undefined
  hasRegister(process: number, register: string): boolean
}

type Conditions = Pick<LitmusTest, 'observables' | 'filter' | 'proposition' | 'quantifier'>

export function parseConditions(reader: TokenReader, names: Names): Conditions {
  const parser = new ConditionParser(reader, names)
  let filter: Proposition | undefined
  for (;;) {
    if (reader.skip('locations')) parser.locations()
    else if (reader.skip('filter')) filter = parser.proposition()
    else break
  }
  const quantifier = parseQuantifier(reader)
  const proposition = parser.proposition()
  reader.skip(';')
  if (reader.peek().kind !== 'end') throw reader.unexpected('the end of the file')
  return { observables: parser.observables, filter, proposition, quantifier }
}

function parseQuantifier(reader: TokenReader): LitmusTest['quantifier'] {
  if (reader.skip('exists')) return 'exists'
  if (reader.skip('forall')) return 'forall'
  if (reader.skip('~') || reader.skip('not')) {
    reader.expect('exists')
    return 'not exists'
  }
  throw reader.unexpected('exists, ~exists or forall')
}

class ConditionParser {
  readonly observables: Observable[] = []
  readonly #reader: TokenReader
  readonly #names: Names

  constructor(reader: TokenReader, names: Names) {
    this.#reader = reader
    this.#names = names
  }

  locations(): void {
    const reader = this.#reader
    reader.expect('[')
    while (!reader.skip(']')) {
      // A register that no process has is left out here. Other tools print it as 0.
      this.#typedObservable(true)
      while (reader.skip(';'));
    }
  }

  proposition(): Proposition {
    let left = this.#conjunction()
    while (this.#reader.skip('\\/')) left = { kind: 'or', left, right: this.#conjunction() }
    return left
  }

  #conjunction(): Proposition {
    let left = this.#negation()
    while (this.#reader.skip('/\\')) left = { kind: 'and', left, right: this.#negation() }
    return left
  }

  #negation(): Proposition {
    const reader = this.#reader
    if (reader.skip('~') || reader.skip('not')) return { kind: 'not', operand: this.#negation() }
    if (reader.skip('(')) {
      const inner = this.proposition()
      reader.expect(')')
      return inner
    }
    if (reader.skip('true')) return { kind: 'constant', value: true }
    if (reader.skip('false')) return { kind: 'constant', value: false }
    return this.#equation()
  }

  #equation(): Proposition {
    const reader = this.#reader
    const observable = this.#typedObservable()
    const differs = reader.skip('!=')
    if (!differs && !reader.skip('==')) reader.expect('=')
    const equation: Proposition = this.#seesRegister()
      ? { kind: 'same', observable, other: this.#typedObservable() }
      : { kind: 'equals', observable, value: this.#value() }
    return differs ? { kind: 'not', operand: equation } : equation
  }

  /** Whether a register such as `0:r1` is next, and not a number. */
  #seesRegister(): boolean {
    return this.#reader.peek().kind === 'number' && this.#reader.peek(1).text === ':'
  }

  #value(): number {
    const reader = this.#reader
    if (reader.skip('(')) {
      const inner = this.#value()
      reader.expect(')')
      return inner
    }
    const isNegative = reader.skip('-')
    const token = reader.peek()
    if (token.kind === 'number') {
      reader.take()
      return (isNegative ? -Number(token.text) : Number(token.text)) | 0
    }
    reader.skip('&')
    const name = reader.name('a value')
    const address = this.#names.addressOf(name.text)
    if (address === undefined)
      throw new LitmusSyntaxError(`there is no variable ${name.text}`, name.position, { name: name.text })
    return address
  }

  /**
   * An observable with or without its type: `x`, `x int`, `0:r1 int *` or `0:r1:int`. The type does
   * not matter.
   */
  #typedObservable(optional = false): number {
    const reader = this.#reader
    const observable = this.#observable(optional)
    reader.skip(':')
    if (isTypeWord(reader.peek())) skipPointerType(reader)
    while (reader.skip('*'));
    return observable
  }

  /** `0:r1`, `x`, `*x` or `[x]`. */
  #observable(optional = false): number {
    const reader = this.#reader
    const { position } = reader.peek()
    if (reader.peek().kind === 'number') return this.#register(position, optional)
    const bracket = reader.skip('[')
    if (!bracket) reader.skip('*')
    const { text } = reader.name('a register such as 0:r1, or a variable')
    if (bracket) reader.expect(']')
    else if (reader.sees('[')) throw new LitmusUnsupportedError('arrays are not supported', position)
    return this.#index({ kind: 'variable', variable: this.#names.variable(text) })
  }

  #register(position: Position, optional: boolean): number {
    const reader = this.#reader
    const process = Number(reader.take().text)
    reader.expect(':')
    const { text } = reader.name('a register')
    const exists = this.#names.hasRegister(process, text)
    if (!exists && optional) return -1
    if (!exists)
      throw new LitmusSyntaxError(`there is no register ${process}:${text}`, position, {
        process,
        name: text,
      })
    return this.#index({ kind: 'register', process, register: text })
  }

  #index(wanted: Observable): number {
    const found = this.observables.findIndex((known) => sameObservable(known, wanted))
    return found >= 0 ? found : this.observables.push(wanted) - 1
  }
}

function sameObservable(a: Observable, b: Observable): boolean {
  if (a.kind === 'variable') return b.kind === 'variable' && a.variable === b.variable
  return b.kind === 'register' && a.process === b.process && a.register === b.register
}
