/** The parts of a syntax tree that may touch shared memory, and the means to rewrite them. */
import type MagicString from 'magic-string'
import { ts } from './typescript.js'
import { accessMethods } from './method-names.js'

/** The edits to one file, and the name that its runtime has there. */
export interface Edits {
  readonly name: string
  readonly edits: MagicString
  /** A blank where an inserted name would join the word before it: `return[a][0]`. */
  gap(position: number): string
}

const globals = new Set(['globalThis', 'self', 'window', 'global'])

/** `globalThis.Atomics`, if `globalThis` is not something else here. */
export function isGlobalAtomics(node: ts.Node): node is ts.PropertyAccessExpression {
  return (
    ts.isPropertyAccessExpression(node) &&
    node.name.text === 'Atomics' &&
    ts.isIdentifier(node.expression) &&
    globals.has(node.expression.text)
  )
}

/** `a[i]`, read or written. Neither `super[i]` nor a deletion touches an element. */
export function isElementAccess(node: ts.Node): node is ts.ElementAccessExpression {
  return (
    ts.isElementAccessExpression(node) &&
    node.expression.kind !== ts.SyntaxKind.SuperKeyword &&
    !ts.isDeleteExpression(outermost(node).parent)
  )
}

/** `a.fill(x)`, with a name that a typed array or DataView has. */
export function isMethodCall(
  node: ts.Node,
): node is ts.CallExpression & { readonly expression: ts.PropertyAccessExpression } {
  return ts.isCallExpression(node) && isMethod(node.expression)
}

export function isSuperCall(node: ts.Node): node is ts.CallExpression {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false
  const { expression, name } = node.expression
  return expression.kind === ts.SyntaxKind.SuperKeyword && accessMethods.has(name.text)
}

export function isMethod(node: ts.Node): node is ts.PropertyAccessExpression {
  return (
    ts.isPropertyAccessExpression(node) &&
    accessMethods.has(node.name.text) &&
    ts.isIdentifier(node.name) &&
    node.expression.kind !== ts.SyntaxKind.SuperKeyword
  )
}

/** `[a, b] = c` as a statement. The value of any other one would be the proxy. */
export function isPatternAssignment(node: ts.Node): node is ts.BinaryExpression {
  return (
    ts.isBinaryExpression(node) &&
    node.operatorToken.kind === ts.SyntaxKind.EqualsToken &&
    (ts.isArrayLiteralExpression(node.left) || ts.isObjectLiteralExpression(node.left)) &&
    ts.isExpressionStatement(outermost(node).parent)
  )
}

/** Whether an array or object literal is a pattern to assign to, or a part of one. */
export function isPattern(literal: ts.Node): boolean {
  if (!ts.isArrayLiteralExpression(literal) && !ts.isObjectLiteralExpression(literal)) return false
  const inner = outermost(literal)
  const { parent } = inner
  // A default: `[[a] = b] = c`.
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.EqualsToken)
    return parent.left === inner
  if (ts.isForOfStatement(parent) || ts.isForInStatement(parent)) return parent.initializer === inner
  const part = ts.isPropertyAssignment(parent) || ts.isSpreadElement(parent) || ts.isSpreadAssignment(parent)
  return isPattern(part ? parent.parent : parent)
}

/** The node with the parentheses around it. */
function outermost(node: ts.Node): ts.Node {
  let outer = node
  while (ts.isParenthesizedExpression(outer.parent)) outer = outer.parent
  return outer
}

/** Whether it begins the callee of `new`, where a call needs parentheses: `new a[i]()`. */
export function isConstructor(node: ts.Node): boolean {
  let inner = node
  for (let outer = node.parent; ; inner = outer, outer = outer.parent) {
    if (ts.isNewExpression(outer)) return outer.expression === inner
    if (ts.isPropertyAccessExpression(outer) || ts.isElementAccessExpression(outer)) {
      if (outer.expression !== inner) return false
    } else if (!ts.isTaggedTemplateExpression(outer) || outer.tag !== inner) return false
  }
}
