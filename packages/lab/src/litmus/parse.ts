/**
 * Parses litmus tests in the kernel's C format, the subset of docs/litmus.md.
 *
 *     C SB+poonceonces                                    name
 *     (* Result: Sometimes *)                             the answer of the LKMM
 *     { x = 0; int *p = &x; 0:r2 = 5; }                   initial values, all others 0
 *     P0(int *x, int *y) { WRITE_ONCE(*x, 1); ... }       processes
 *     filter (0:r1=1)  locations [x]                      optional
 *     exists (0:r0=0 /\ 1:r0=0)                           or ~exists, or forall
 */
import { LitmusSyntaxError, LitmusUnsupportedError } from './errors.js'
import { readTokens, TokenReader } from './lexer.js'
import { parseProcess, type ParsedProcess } from './parse-body.js'
import { parseConditions, type Names } from './parse-condition.js'
import { isTypeWord, skipPointerType } from './parse-expression.js'
import {
  ADDRESS,
  type LitmusProcess,
  type LitmusTest,
  type LitmusVariable,
  type Position,
  type Verdict,
} from './syntax.js'

/**
 * Parses one test.
 *
 * @throws LitmusSyntaxError with line and column, if the text is no litmus test
 * @throws LitmusUnsupportedError with line and column, if the test uses something outside the
 *   subset
 */
export function parseLitmus(source: string): LitmusTest {
  const { name, result, tokens } = readTokens(source)
  const reader = new TokenReader(tokens)
  while (reader.peek().kind === 'text') reader.take()
  const initial = new InitBlock()
  initial.parse(reader)
  const parsed: ParsedProcess[] = []
  while (/^P\d+$/.test(reader.peek().text)) parsed.push(parseProcess(reader, (p) => initial.registersOf(p)))
  if (parsed.length === 0) throw reader.unexpected('a process such as P0')
  for (const { parameters } of parsed)
    for (const { name: parameter } of parameters) initial.declare(parameter)
  const processes = parsed.map((process, index) => finish(process, index, initial, reader))
  const conditions = parseConditions(reader, namesOf(initial, processes))
  return {
    name,
    expected: verdictOf(result),
    expectsRace: /\bDATARACE\b|\bdata-race\b/.test(result ?? ''),
    result,
    variables: initial.variables(),
    processes,
    ...conditions,
  }
}

function finish(
  process: ParsedProcess,
  index: number,
  initial: InitBlock,
  reader: TokenReader,
): LitmusProcess {
  if (process.number !== index)
    throw new LitmusSyntaxError(`expected P${index}, found P${process.number}`, reader.peek().position)
  const { number, registers, body } = process
  const parameters = process.parameters.map((parameter) => parameter.name)
  return { number, parameters, registers, initial: initial.valuesOf(number), body }
}

function namesOf(initial: InitBlock, processes: readonly LitmusProcess[]): Names {
  return {
    variable: (name) => initial.declare(name),
    addressOf: (name) => initial.addressOf(name),
    hasRegister: (process, register) => processes[process]?.registers.includes(register) ?? false,
  }
}

function verdictOf(result: string | undefined): Verdict | undefined {
  const word = result === undefined ? undefined : /^\w+/.exec(result)?.[0].toLowerCase()
  const verdicts: readonly Verdict[] = ['Never', 'Sometimes', 'Always', 'Deadlock']
  return verdicts.find((verdict) => verdict.toLowerCase() === word)
}

type InitialValue = number | { readonly name: string; readonly position: Position }

/** The variables, and the values that the init block gives to them and to registers. */
class InitBlock {
  readonly #variables = new Map<string, InitialValue>()
  readonly #registers = new Map<number, Map<string, InitialValue>>()

  /** The number of the variable. Makes the variable if there is none of that name. */
  declare(name: string): number {
    if (!this.#variables.has(name)) this.#variables.set(name, 0)
    return [...this.#variables.keys()].indexOf(name)
  }
  addressOf(name: string): number | undefined {
    return this.#variables.has(name) ? ADDRESS + this.declare(name) : undefined
  }
  variables(): LitmusVariable[] {
    return [...this.#variables].map(([name, value]) => ({ name, initial: this.#resolve(value) }))
  }
  registersOf(process: number): string[] {
    return [...(this.#registers.get(process)?.keys() ?? [])]
  }
  valuesOf(process: number): Map<string, number> {
    const values = this.#registers.get(process) ?? new Map<string, InitialValue>()
    return new Map([...values].map(([name, value]) => [name, this.#resolve(value)]))
  }

  parse(reader: TokenReader): void {
    reader.expect('{')
    while (!reader.skip('}')) {
      if (reader.skip(';')) continue
      this.#entry(reader)
      if (!reader.sees('}')) reader.expect(';')
    }
  }

  #entry(reader: TokenReader): void {
    // The type of a register stands before the number of its process, or after it.
    if (isTypeWord(reader.peek())) skipPointerType(reader)
    if (reader.peek().kind === 'number') {
      const process = Number(reader.take().text)
      reader.expect(':')
      if (isTypeWord(reader.peek())) skipPointerType(reader)
      const { text } = reader.name('a register')
      const registers = this.#registers.get(process) ?? new Map<string, InitialValue>()
      this.#registers.set(process, registers.set(text, reader.skip('=') ? this.#value(reader) : 0))
      return
    }
    const isBracketed = reader.skip('[')
    const { text, position } = reader.name('a variable')
    if (isBracketed) reader.expect(']')
    else if (reader.sees('[')) throw new LitmusUnsupportedError('arrays are not supported', position)
    const value = reader.skip('=') ? this.#value(reader) : 0
    this.#variables.set(text, value)
    if (typeof value !== 'number') this.declare(value.name)
  }

  #value(reader: TokenReader): InitialValue {
    const isNegative = reader.skip('-')
    if (reader.peek().kind === 'number') {
      const value = Number(reader.take().text)
      return (isNegative ? -value : value) | 0
    }
    if (reader.skip('(') || reader.skip('{')) {
      const inner = reader.sees('}') ? 0 : this.#value(reader)
      if (!reader.skip(')')) reader.expect('}')
      return inner
    }
    reader.skip('&')
    const { text, position } = reader.name('a value')
    // A call stands for its argument: ATOMIC_INIT(1), for example.
    if (reader.sees('(')) return this.#value(reader)
    return { name: text, position }
  }

  #resolve(value: InitialValue): number {
    return typeof value === 'number' ? value : (this.addressOf(value.name) ?? 0)
  }
}
