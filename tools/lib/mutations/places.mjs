// Where code runs: the place of a node is the statement, or expression, that runs as a whole or not
// at all.

import ts from 'typescript'

/**
 * The place of a node: `{ kind, node }`. A `statement` stands in a list of statements; a `branch`
 * is the only statement of an `if` or a loop; a `result` is the expression that is an arrow
 * function's body. Code outside of these, like the initial value of a field, has the place
 * `module`: it may run once the module is loaded.
 */
export function placeOf(node) {
  for (let inner = node; !ts.isSourceFile(inner); inner = inner.parent) {
    const { parent } = inner
    if (ts.isStatement(inner) && !ts.isBlock(inner) && !ts.isLabeledStatement(parent)) {
      return { kind: hasStatements(parent) ? 'statement' : 'branch', node: inner }
    }
    if (ts.isArrowFunction(parent) && parent.body === inner && !ts.isBlock(inner)) {
      return { kind: 'result', node: inner }
    }
    if (ts.isFunctionLike(parent) || ts.isClassLike(parent)) break
  }
  return { kind: 'module', node: node.getSourceFile() }
}

/** Whether the node has a list of statements: of a block, a case, or a module. */
export function hasStatements(node) {
  return ts.isBlock(node) || ts.isCaseOrDefaultClause(node) || ts.isSourceFile(node)
}

/** The function around a node, or undefined. */
export function functionAround(node) {
  let around = node.parent
  while (around !== undefined && !ts.isFunctionLike(around)) {
    if (ts.isClassStaticBlockDeclaration(around) || ts.isPropertyDeclaration(around)) return undefined
    around = around.parent
  }
  return around
}
