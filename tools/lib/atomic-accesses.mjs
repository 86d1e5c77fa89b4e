// Finds the places where code uses atomic accesses.

import ts from 'typescript'

const accessName =
  /^(?:(?:load|store|add|sub|and|or|exchange|compareExchange)Atomic(?:32|U32|U64)|wait32|waitAsync32|notify32)$/
const cellMethod = /^(?:load|store|add|sub|and|or|exchange|compareExchange|wait|waitAsync|notify)$/
const cellName = /^Atomic[A-Z]\w*$/

/**
 * Lists the uses of atomic accesses in a file: of the functions of `#mem` by their names, and
 * method calls on atomic cells, which are values whose type's name starts with `Atomic`. The inside
 * of a cell's class is left out: there the callers count. Each has `name`, `line` (from 0) and the
 * `node`.
 */
export function atomicAccesses(source, checker) {
  const found = []
  const add = (name, node) => {
    found.push({ name, node, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line })
  }
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return
    if (ts.isClassDeclaration(node) && node.name !== undefined && cellName.test(node.name.text)) return
    if (ts.isIdentifier(node) && accessName.test(node.text) && !isDeclaredName(node)) add(node.text, node)
    else if (isCellCall(node, checker)) add(node.expression.name.text, node.expression.name)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/**
 * A declaration, or `{ loadAtomic32 } = mem`, which keeps the name; a renamed copy would escape and
 * counts as a use.
 */
function isDeclaredName(node) {
  const { parent } = node
  const declares =
    ts.isFunctionLike(parent) || ts.isVariableDeclaration(parent) || ts.isBindingElement(parent)
  return declares && parent.name === node
}

function isCellCall(node, checker) {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false
  if (!cellMethod.test(node.expression.name.text)) return false
  const type = checker.getTypeAtLocation(node.expression.expression)
  const parts = type.isUnionOrIntersection() ? type.types : [type]
  return parts.some((part) => isAtomicName(part.aliasSymbol) || isAtomicName(part.getSymbol()))
}

function isAtomicName(symbol) {
  return symbol !== undefined && cellName.test(symbol.getName())
}

/**
 * The functions around a node, innermost first: each as the node that carries the function's
 * leading comment.
 */
export function enclosingFunctions(node) {
  const functions = []
  for (let parent = node.parent; parent !== undefined; parent = parent.parent) {
    if (ts.isFunctionLike(parent)) functions.push(commentCarrier(parent))
  }
  return functions
}

const wrappers = new Set([
  ts.SyntaxKind.ArrowFunction,
  ts.SyntaxKind.FunctionExpression,
  ts.SyntaxKind.ParenthesizedExpression,
  ts.SyntaxKind.AsExpression,
  ts.SyntaxKind.SatisfiesExpression,
  ts.SyntaxKind.VariableDeclaration,
  ts.SyntaxKind.VariableDeclarationList,
])

/**
 * For `const f = () => ...` the statement, for a property or a class field its member, otherwise
 * the function itself.
 */
function commentCarrier(node) {
  let carrier = node
  while (wrappers.has(carrier.kind)) carrier = carrier.parent
  return ts.isStatement(carrier) || ts.isClassElement(carrier) || ts.isPropertyAssignment(carrier)
    ? carrier
    : node
}
