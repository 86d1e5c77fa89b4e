// All small mutations of a source file.

import ts from 'typescript'
import { conditionMutations, expressionMutations } from './expressions.mjs'
import { placeOf } from './places.mjs'
import { statementMutations } from './statements.mjs'

/**
 * Lists the mutations of a TypeScript file, in the order of its text. Each has its `kind`, the
 * range `start` to `end` that `text` replaces, `before` and `after` to show in one line, `line` and
 * `column` from 1, and its `place`: see places.mjs.
 *
 * Types, declarations without values, imports and what an error says are left alone.
 */
export function mutationsOf(file, text) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found = []
  const visit = (node) => {
    if (isLeftAlone(node)) return
    for (const offer of statementMutations(node)) found.push(finished(source, offer))
    for (const offer of conditionMutations(node)) found.push(finished(source, offer))
    for (const offer of expressionMutations(node)) found.push(finished(source, offer))
    // The error of a throw says what it says.
    if (!ts.isThrowStatement(node)) ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** The text of the file with the mutation applied. */
export function applyMutation(text, mutation) {
  return text.slice(0, mutation.start) + mutation.text + text.slice(mutation.end)
}

function isLeftAlone(node) {
  return (
    ts.isTypeNode(node) ||
    ts.isTypeParameterDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isImportDeclaration(node) ||
    ts.isExportDeclaration(node) ||
    ts.isModuleDeclaration(node) ||
    (ts.isNewExpression(node) && /Error$/.test(node.expression.getText()))
  )
}

function finished(source, { kind, node, text, end = node.getEnd(), shown }) {
  const start = node.getStart(source)
  const { line, character } = source.getLineAndCharacterOfPosition(start)
  const before = source.text.slice(start, end)
  return {
    kind,
    start,
    end,
    text,
    before: oneLine(before),
    after: oneLine(shown ?? text),
    line: line + 1,
    column: character + 1,
    place: placeOf(node),
  }
}

const shownWidth = 100

/** The text in one line, without what a statement does not need, cut where it gets long. */
function oneLine(text) {
  const line = text.replace(/\s+/g, ' ').replace(/^; ?/, '').replace(/;$/, '')
  if (line === '') return '(nothing)'
  return line.length > shownWidth ? `${line.slice(0, shownWidth - 1)}…` : line
}
