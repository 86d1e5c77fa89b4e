/** Processes: parameters, declarations, statements. */
import { LitmusSyntaxError, LitmusUnsupportedError } from './errors.js'
import type { Token, TokenReader } from './lexer.js'
import { addressOf, isTypeWord, parseExpression, skipType } from './parse-expression.js'
import type { BinaryOperator, Expression, Statement } from './syntax.js'

export interface ParsedProcess {
  readonly number: number
  readonly parameters: readonly { readonly name: string; readonly token: Token }[]
  readonly registers: readonly string[]
  readonly body: readonly Statement[]
}

/**
 * Parses `P0(int *x, int *y) { ... }`. `preset` gives the registers of the process that the init
 * block names.
 */
export function parseProcess(
  reader: TokenReader,
  preset: (process: number) => Iterable<string>,
): ParsedProcess {
  const head = reader.name('a process such as P0')
  const number = /^P(\d+)$/.exec(head.text)?.[1]
  if (number === undefined)
    throw new LitmusSyntaxError(`expected a process such as P0, found ${head.text}`, head.position)
  const parameters = parseParameters(reader)
  const parser = new BodyParser(
    reader,
    parameters.map(({ name }) => name),
    preset(Number(number)),
  )
  const body = parser.block()
  return { number: Number(number), parameters, registers: [...parser.registers], body }
}

function parseParameters(reader: TokenReader): { name: string; token: Token }[] {
  const parameters: { name: string; token: Token }[] = []
  reader.expect('(')
  if (reader.sees('void') && reader.peek(1).text === ')') reader.take()
  while (!reader.sees(')')) {
    const start = reader.peek()
    skipType(reader)
    let pointers = 0
    while (reader.skip('*')) pointers++
    while (reader.sees('const') || reader.sees('volatile')) reader.take()
    // A parameter that the process does not use needs no name.
    if (reader.sees(',') || reader.sees(')')) {
      reader.skip(',')
      continue
    }
    const token = reader.name('a parameter')
    if (pointers === 0)
      throw new LitmusUnsupportedError(`parameter ${token.text} is not a pointer`, start.position)
    if (reader.sees('[')) throw new LitmusUnsupportedError('arrays are not supported', token.position)
    parameters.push({ name: token.text, token })
    if (!reader.sees(')')) reader.expect(',')
  }
  reader.expect(')')
  return parameters
}

class BodyParser {
  readonly registers: Set<string>
  readonly #reader: TokenReader
  readonly #parameters: ReadonlySet<string>

  constructor(reader: TokenReader, parameters: readonly string[], preset: Iterable<string>) {
    this.#reader = reader
    this.#parameters = new Set(parameters)
    this.registers = new Set(preset)
  }

  block(): Statement[] {
    const reader = this.#reader
    reader.expect('{')
    const statements: Statement[] = []
    while (!reader.skip('}')) statements.push(...this.#statement())
    return statements
  }

  #statement(): Statement[] {
    const reader = this.#reader
    const token = reader.peek()
    if (reader.sees('{')) return this.block()
    if (reader.skip(';')) return []
    if (reader.skip('if')) return [this.#if()]
    if (['while', 'for', 'do', 'goto', 'switch', 'return', 'break', 'continue'].includes(token.text))
      throw new LitmusUnsupportedError(`${token.text} is not supported`, token.position, { name: token.text })
    if (isTypeWord(token)) return this.#declaration()
    const statement = this.#assignment()
    reader.expect(';')
    return [statement]
  }

  #if(): Statement {
    const reader = this.#reader
    reader.expect('(')
    const condition = this.#expression()
    reader.expect(')')
    const then = this.#statement()
    const otherwise = reader.skip('else') ? this.#statement() : []
    return { kind: 'if', condition, then, otherwise }
  }

  /**
   * `int r0, *r1 = e;` The type does not matter: each register holds a 32-bit integer or an
   * address.
   */
  #declaration(): Statement[] {
    const reader = this.#reader
    skipType(reader)
    const statements: Statement[] = []
    do {
      while (reader.skip('*'));
      const { text, position } = reader.name('the name of a register')
      if (this.#parameters.has(text))
        throw new LitmusUnsupportedError(`register ${text} has the name of a parameter`, position)
      if (reader.sees('[')) throw new LitmusUnsupportedError('arrays are not supported', position)
      this.registers.add(text)
      if (reader.skip('=')) statements.push({ kind: 'assign', register: text, value: this.#expression() })
    } while (reader.skip(','))
    reader.expect(';')
    return statements
  }

  #assignment(): Statement {
    const reader = this.#reader
    const { kind, text, position } = reader.peek()
    // Generated tests leave out the declarations.
    if (kind === 'name' && reader.peek(1).text === '=' && !this.#parameters.has(text))
      this.registers.add(text)
    const target = this.#expression()
    const operator = ['=', '+=', '-=', '&=', '|=', '^='].find((sign) => reader.sees(sign))
    if (operator === undefined) {
      if (reader.sees('++') || reader.sees('--'))
        throw new LitmusUnsupportedError(`${reader.peek().text} is not supported`, reader.peek().position)
      return { kind: 'evaluate', expression: target }
    }
    reader.take()
    const right = this.#expression()
    const value: Expression =
      operator === '='
        ? right
        : { kind: 'binary', operator: operator.charAt(0) as BinaryOperator, left: target, right }
    if (target.kind === 'name' && this.registers.has(target.name))
      return { kind: 'assign', register: target.name, value }
    const address = addressOf(target)
    if (address === undefined) throw new LitmusSyntaxError('this cannot be assigned to', position)
    const operation = { does: 'store', order: 'plain', fenced: false } as const
    const store: Expression = {
      kind: 'operation',
      name: '*',
      operation,
      operands: [address, value],
      position,
    }
    return { kind: 'evaluate', expression: store }
  }

  #expression(): Expression {
    return parseExpression(this.#reader, { registers: this.registers, parameters: this.#parameters })
  }
}
