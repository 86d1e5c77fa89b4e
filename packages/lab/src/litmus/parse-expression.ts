/** Expressions of process bodies: C's operators and the primitives. */
import { LitmusSyntaxError, LitmusUnsupportedError } from './errors.js'
import type { Token, TokenReader } from './lexer.js'
import { primitiveNamed, type OperandKind, type Primitive } from './primitives.js'
import type { BinaryOperator, Expression, Operation, UnaryOperator } from './syntax.js'

/** The names that have a meaning in an expression. */
export interface Scope {
  readonly registers: ReadonlySet<string>
  readonly parameters: ReadonlySet<string>
}

const precedence: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
]
/** Words that begin a type. `struct` is followed by its tag. */
const typeWords = new Set(
  'int long short char unsigned signed const volatile void struct intptr_t uintptr_t bool atomic_t spinlock_t'.split(
    ' ',
  ),
)
export function isTypeWord(token: Token): boolean {
  return token.kind === 'name' && typeWords.has(token.text)
}
/** Takes the words of a type, without its stars. */
export function skipType(reader: TokenReader): void {
  if (!isTypeWord(reader.peek())) throw reader.unexpected('a type')
  while (isTypeWord(reader.peek())) if (reader.take().text === 'struct') reader.name('the name of a struct')
}
/** Takes a type with its stars. */
export function skipPointerType(reader: TokenReader): void {
  skipType(reader)
  while (reader.skip('*'));
}
const plainLoad: Operation = { does: 'load', order: 'plain' }

export function parseExpression(reader: TokenReader, scope: Scope): Expression {
  return binary(reader, scope, 0)
}

function binary(reader: TokenReader, scope: Scope, level: number): Expression {
  const operators = precedence[level]
  if (operators === undefined) return unary(reader, scope)
  let left = binary(reader, scope, level + 1)
  for (;;) {
    const operator = operators.find((sign) => reader.sees(sign))
    if (operator === undefined) return left
    reader.take()
    left = { kind: 'binary', operator, left, right: binary(reader, scope, level + 1) }
  }
}

function unary(reader: TokenReader, scope: Scope): Expression {
  const token = reader.peek()
  if (['!', '~', '-', '+'].includes(token.text)) {
    reader.take()
    return { kind: 'unary', operator: token.text as UnaryOperator, operand: unary(reader, scope) }
  }
  if (reader.skip('*')) {
    const operands = [unary(reader, scope)]
    return { kind: 'operation', name: '*', operation: plainLoad, operands, position: token.position }
  }
  if (reader.skip('&')) {
    // `&*p` is p.
    const operand = unary(reader, scope)
    const address = addressOf(operand)
    if (address === undefined)
      throw new LitmusUnsupportedError('the address of anything but *p is not supported', token.position)
    return address
  }
  if (reader.sees('(') && isTypeWord(reader.peek(1))) {
    skipCast(reader)
    return unary(reader, scope)
  }
  return primary(reader, scope)
}

/** p, for `*p`; undefined for other expressions. */
export function addressOf(expression: Expression): Expression | undefined {
  return expression.kind === 'operation' && expression.name === '*' ? expression.operands[0] : undefined
}

function skipCast(reader: TokenReader): void {
  reader.expect('(')
  while (isTypeWord(reader.peek()) || reader.peek().kind === 'name') reader.take()
  while (reader.skip('*'));
  reader.expect(')')
}

function primary(reader: TokenReader, scope: Scope): Expression {
  const token = reader.take()
  if (token.kind === 'number') return { kind: 'number', value: Number(token.text) | 0 }
  if (token.kind === 'sign' && token.text === '(') {
    const inner = parseExpression(reader, scope)
    reader.expect(')')
    return inner
  }
  if (token.kind !== 'name')
    throw new LitmusSyntaxError(`expected a value, found ${token.text}`, token.position)
  if (reader.sees('(')) return call(reader, scope, token)
  if (token.text === 'NULL') return { kind: 'number', value: 0 }
  if (reader.sees('->') || reader.sees('.') || reader.sees('['))
    throw new LitmusUnsupportedError('fields and array elements are not supported', token.position)
  if (!scope.registers.has(token.text) && !scope.parameters.has(token.text))
    throw new LitmusSyntaxError(`${token.text} is not declared`, token.position, { name: token.text })
  return { kind: 'name', name: token.text }
}

function call(reader: TokenReader, scope: Scope, token: Token): Expression {
  const primitive = primitiveNamed(token.text)
  if (primitive === undefined)
    throw new LitmusUnsupportedError(`${token.text} is not supported`, token.position, { name: token.text })
  reader.expect('(')
  const given: Expression[] = []
  while (!reader.sees(')')) {
    const kind = primitive.operands[given.length]
    if (kind === undefined) throw wrongCount(token, primitive)
    given.push(operand(reader, scope, kind))
    if (!reader.sees(')')) reader.expect(',')
  }
  if (given.length !== primitive.operands.length) throw wrongCount(token, primitive)
  reader.expect(')')
  const operands = (primitive.reorder ?? given.map((_, i) => i)).map((i) => given[i] as Expression)
  return {
    kind: 'operation',
    name: token.text,
    operation: primitive.operation,
    operands,
    position: token.position,
  }
}

function wrongCount(token: Token, primitive: Primitive): LitmusSyntaxError {
  const { length } = primitive.operands
  return new LitmusSyntaxError(`${token.text} takes ${length} operands`, token.position, { name: token.text })
}

function operand(reader: TokenReader, scope: Scope, kind: OperandKind): Expression {
  const { position } = reader.peek()
  const expression = parseExpression(reader, scope)
  if (kind !== 'lvalue') return expression
  const address = addressOf(expression)
  if (address === undefined)
    throw new LitmusUnsupportedError('an access to anything but *p is not supported', position)
  return address
}
