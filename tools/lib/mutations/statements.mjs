// Mutations of statements: dropped, swapped, returned from early, returning something else.

import ts from 'typescript'
import { negation } from './expressions.mjs'
import { functionAround, hasStatements } from './places.mjs'

const { SyntaxKind: Kind } = ts

/**
 * What `node` itself offers, without what is inside it: `{ kind, node, text }` each. `end` tells
 * where a mutation ends if not with the node, `shown` how to show it if not as its text.
 */
export function statementMutations(node) {
  if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) return resultMutations(node.body, node)
  if (!ts.isStatement(node) || ts.isEmptyStatement(node)) return []
  return [...droppings(node), ...swappings(node), ...earlyReturns(node), ...returnMutations(node)]
}

function droppings(node) {
  const drop = (kind) => [{ kind, node, text: ';' }]
  if (ts.isThrowStatement(node)) return drop('dropped throw')
  if (ts.isBreakStatement(node) || ts.isContinueStatement(node)) return drop('dropped jump')
  if (ts.isReturnStatement(node) && node.expression === undefined) return drop('dropped return')
  if (!ts.isExpressionStatement(node)) return []
  if (isStore(node.expression)) return drop('dropped store')
  return isCall(node.expression) ? drop('dropped call') : []
}

function isStore(node) {
  if (ts.isBinaryExpression(node))
    return node.operatorToken.kind >= Kind.FirstAssignment && node.operatorToken.kind <= Kind.LastAssignment
  return (
    ts.isDeleteExpression(node) ||
    ((ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) &&
      (node.operator === Kind.PlusPlusToken || node.operator === Kind.MinusMinusToken))
  )
}

function isCall(node) {
  if (ts.isAwaitExpression(node) || ts.isVoidExpression(node)) return isCall(node.expression)
  return ts.isNewExpression(node) || (ts.isCallExpression(node) && node.expression.kind !== Kind.SuperKeyword)
}

/** The node and the statement after it, exchanged; not the declarations of a module. */
function swappings(node) {
  if (!hasStatements(node.parent) || ts.isSourceFile(node.parent)) return []
  const { statements } = node.parent
  const next = statements[statements.indexOf(node) + 1]
  if (next === undefined || !areExchangeable(node, next)) return []
  const source = node.getSourceFile()
  const between = source.text.slice(node.getEnd(), next.getStart())
  const swapped = `${ended(next)}${between}${ended(node)}`
  // It must not go on with the line before it.
  const text = /^[[(`/+-]/.test(swapped) ? `;${swapped}` : swapped
  return [{ kind: 'swapped statements', node, text, end: next.getEnd() }]
}

function ended(statement) {
  const text = statement.getText()
  return text.endsWith(';') ? text : `${text};`
}

/**
 * Whether two statements do not need each other's names, and their order may matter: one is a call
 * or changes an object, and the other one calls something or changes an object, too.
 */
function areExchangeable(one, other) {
  const pair = [one, other]
  return (
    pair.every((statement) => ts.isExpressionStatement(statement) || ts.isVariableStatement(statement)) &&
    pair.every((statement) => contains(statement, isEffect)) &&
    pair.some((statement) => ts.isExpressionStatement(statement) && isEffect(statement.expression)) &&
    !uses(other, changedNames(one)) &&
    !uses(one, changedNames(other))
  )
}

function isEffect(node) {
  if (ts.isAwaitExpression(node) || ts.isVoidExpression(node)) return isEffect(node.expression)
  return (
    ts.isCallExpression(node) ||
    (isStore(node) && ts.isBinaryExpression(node) && isForeignProperty(node.left))
  )
}

/** A property of another object than `this`: perhaps a setter, or a field of shared memory. */
function isForeignProperty(node) {
  const isProperty = ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)
  return isProperty && node.expression.kind !== Kind.ThisKeyword
}

/** The names that a statement declares or assigns; of a property of `this`, the property's. */
function changedNames(statement) {
  const names = new Set()
  contains(statement, (node) => {
    const isDeclared = ts.isVariableDeclaration(node) || ts.isBindingElement(node)
    if (isDeclared && ts.isIdentifier(node.name)) names.add(node.name.text)
    if (!isStore(node)) return false
    const target = ts.isBinaryExpression(node) ? node.left : (node.operand ?? node.expression)
    if (ts.isIdentifier(target)) names.add(target.text)
    if (ts.isPropertyAccessExpression(target) && !isForeignProperty(target)) names.add(target.name.text)
    return false
  })
  return names
}

function uses(statement, names) {
  return contains(
    statement,
    (node) => (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) && names.has(node.text),
  )
}

function contains(node, predicate) {
  return predicate(node) || ts.forEachChild(node, (child) => contains(child, predicate)) === true
}

/** A return in front of the statement, from a function whose results can be guessed. */
function earlyReturns(node) {
  const around = functionAround(node)
  if (around === undefined || !hasStatements(node.parent)) return []
  if (ts.isFunctionDeclaration(node) || ts.isReturnStatement(node) || ts.isThrowStatement(node)) return []
  const results = guessedResults(around)
  const isLast = node.parent === around.body && around.body.statements.at(-1) === node
  return results
    .filter((result) => result !== '' || !isLast)
    .map((result) => {
      const early = result === '' ? 'return' : `return ${result}`
      return { kind: 'early return', node, text: `${early};${node.getText()}`, shown: `${early}; …` }
    })
}

/** Texts of results that a function may have; '' where it has none. */
function guessedResults(around) {
  const declared = resultType(around)
  if (declared !== undefined) {
    if (declared === 'void') return ['']
    if (declared === 'boolean') return ['true', 'false']
    if (declared === 'number') return ['0']
    return /(^|\| )undefined$/.test(declared) ? ['undefined'] : []
  }
  if (ts.isConstructorDeclaration(around) || ts.isSetAccessor(around)) return ['']
  // The type of a callback is inferred.
  return contains(around.body, (node) => ts.isReturnStatement(node) && node.expression !== undefined)
    ? []
    : ['']
}

/** The declared type of what a function returns, or its promise gives, if one is declared. */
function resultType({ type, modifiers, asteriskToken }) {
  if (asteriskToken !== undefined) return 'generator'
  if (type === undefined) return undefined
  const isAsync = modifiers?.some(({ kind }) => kind === Kind.AsyncKeyword) ?? false
  return isAsync ? type.getText().replace(/^Promise<([^]*)>$/, '$1') : type.getText()
}

function returnMutations(node) {
  if (!ts.isReturnStatement(node) || node.expression === undefined) return []
  const around = functionAround(node)
  return around === undefined ? [] : resultMutations(node.expression, around)
}

/** Another result in the place of `node`; a literal is mutated as such. */
function resultMutations(node, around) {
  const kind = 'changed result'
  const type = resultType(around)
  const isLiteral = ts.isLiteralExpression(node) || /^(true|false|undefined)$/.test(node.getText())
  if (isLiteral || type === undefined) return []
  if (type === 'boolean') return [{ kind, node, text: negation(node) }]
  if (type === 'number') return [{ kind, node, text: `(${node.getText()}) + 1` }]
  return /\| undefined$/.test(type) ? [{ kind, node, text: 'undefined' }] : []
}
