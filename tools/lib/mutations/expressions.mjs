// Mutations of expressions: conditions, bounds, logic, arithmetic, constants.

import ts from 'typescript'

const { SyntaxKind: Kind } = ts

/** Pairs of operators; either becomes the other. */
function swaps(pairs) {
  return new Map([...pairs, ...pairs.map(([one, other]) => [other, one])])
}
const bounds = swaps([
  ['<', '<='],
  ['>', '>='],
])
const logic = swaps([['&&', '||']])
const equalities = swaps([
  ['===', '!=='],
  ['==', '!='],
])
const arithmetic = new Map([
  ...swaps([
    ['+', '-'],
    ['*', '/'],
    ['<<', '>>'],
    ['&', '|'],
  ]),
  ['%', '*'],
  ['**', '*'],
  ['>>>', '<<'],
  ['^', '|'],
])
const assignments = new Map([...arithmetic].map(([one, other]) => [`${one}=`, `${other}=`]))
const opposites = new Map([
  ...equalities,
  ...swaps([
    ['<', '>='],
    ['>', '<='],
  ]),
])

/** What `node` itself offers, without what is inside it: `{ kind, node, text }` each. */
export function expressionMutations(node) {
  if (ts.isBinaryExpression(node)) return binaryMutations(node)
  if (ts.isNumericLiteral(node) || ts.isBigIntLiteral(node)) return numberMutations(node)
  if (node.kind === Kind.TrueKeyword) return [{ kind: 'flipped boolean', node, text: 'false' }]
  if (node.kind === Kind.FalseKeyword) return [{ kind: 'flipped boolean', node, text: 'true' }]
  if (ts.isPrefixUnaryExpression(node)) return prefixMutations(node)
  if (ts.isPostfixUnaryExpression(node)) return [{ kind: 'swapped arithmetic', node, text: stepped(node) }]
  if (ts.isCallExpression(node)) return extremeMutations(node)
  return []
}

/** What a condition offers: `if`, a loop's, or that of `?:`. */
export function conditionMutations(node) {
  const condition = conditionOf(node)
  // An endless loop on purpose.
  if (condition === undefined || condition.kind === Kind.TrueKeyword) return []
  const negated = { kind: 'negated condition', node: condition, text: negation(condition) }
  if (!ts.isIfStatement(node) && !ts.isConditionalExpression(node)) return [negated]
  const fixed = ['true', 'false'].map((text) => ({ kind: 'fixed condition', node: condition, text }))
  return [negated, ...fixed]
}

function conditionOf(node) {
  if (ts.isForStatement(node) || ts.isConditionalExpression(node)) return node.condition
  const hasCondition = ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)
  return hasCondition ? node.expression : undefined
}

/** The text of the opposite of a boolean expression. */
export function negation(node) {
  const text = node.getText()
  if (ts.isPrefixUnaryExpression(node) && node.operator === Kind.ExclamationToken)
    return node.operand.getText()
  if (ts.isParenthesizedExpression(node)) return `(${negation(node.expression)})`
  if (ts.isBinaryExpression(node)) {
    const opposite = opposites.get(node.operatorToken.getText())
    return opposite === undefined ? `!(${text})` : withOperator(node, opposite)
  }
  if (node.kind === Kind.TrueKeyword) return 'false'
  if (node.kind === Kind.FalseKeyword) return 'true'
  return ts.isLeftHandSideExpression(node) ? `!${text}` : `!(${text})`
}

function binaryMutations(node) {
  const operator = node.operatorToken.getText()
  const found = []
  const offer = (kind, replacement) => {
    if (replacement !== undefined)
      found.push({ kind, node, text: asOperand(node, withOperator(node, replacement)) })
  }
  offer('moved bound', bounds.get(operator))
  offer('swapped logic', logic.get(operator))
  offer('swapped arithmetic', arithmetic.get(operator) ?? assignments.get(operator))
  // That of a whole condition is negated already.
  if (conditionOf(node.parent) !== node) offer('swapped equality', equalities.get(operator))
  return found
}

/** Operators whose replacements bind otherwise. */
const needsParentheses = new Set(['&', '|', '^', '**', '&&', '||'])

function withOperator({ left, right, operatorToken }, operator) {
  const isLoose = needsParentheses.has(operatorToken.getText())
  const side = (node) => (isLoose && ts.isBinaryExpression(node) ? `(${node.getText()})` : node.getText())
  return `${side(left)} ${operator} ${side(right)}`
}

/** The text for the place of `node`, in parentheses where another operator stands beside it. */
function asOperand({ parent, operatorToken }, text) {
  const { kind } = ts.isBinaryExpression(parent) ? parent.operatorToken : {}
  const isOperand = kind !== undefined && !(kind >= Kind.FirstAssignment && kind <= Kind.LastAssignment)
  const isAsserted = ts.isAsExpression(parent) || ts.isSatisfiesExpression(parent)
  const isLoose = needsParentheses.has(operatorToken.getText())
  return isLoose && (isOperand || isAsserted) ? `(${text})` : text
}

function numberMutations(node) {
  // The name of a property.
  if (node.parent.name === node) return []
  const text = node.getText().replaceAll('_', '')
  const isBig = ts.isBigIntLiteral(node)
  const value = isBig ? BigInt(text.slice(0, -1)) : Number(text)
  const one = isBig ? 1n : 1
  return [value + one, value - one]
    .filter((changed) => changed !== value)
    .map((changed) => ({ kind: 'changed number', node, text: numberText(changed, text, isBig) }))
}

function numberText(value, original, isBig) {
  const isHex = /^0x/i.test(original) && value >= 0
  const text = `${isHex ? `0x${value.toString(16)}` : value}${isBig ? 'n' : ''}`
  return value < 0 ? `(${text})` : text
}

function prefixMutations(node) {
  const operand = node.operand.getText()
  if (node.operator === Kind.PlusPlusToken || node.operator === Kind.MinusMinusToken)
    return [{ kind: 'swapped arithmetic', node, text: stepped(node) }]
  if (node.operator === Kind.ExclamationToken)
    // That of a whole condition is negated already.
    return conditionOf(node.parent) === node ? [] : [{ kind: 'dropped operator', node, text: operand }]
  if (node.operator === Kind.MinusToken || node.operator === Kind.TildeToken)
    return [{ kind: 'dropped operator', node, text: operand }]
  return []
}

function stepped(node) {
  const operator = node.operator === Kind.PlusPlusToken ? '--' : '++'
  const operand = node.operand.getText()
  return ts.isPrefixUnaryExpression(node) ? operator + operand : operand + operator
}

function extremeMutations(node) {
  const callee = node.expression
  const name = /^Math\.(min|max)$/.exec(callee.getText())?.[1]
  return name === undefined
    ? []
    : [{ kind: 'swapped extreme', node: callee, text: `Math.${name === 'min' ? 'max' : 'min'}` }]
}
