/** Finds the accesses of a file, and records the text to insert around them. */
import type MagicString from 'magic-string'
import ts from 'typescript'
import { isChainEnd, rewriteChain } from './chains.js'
import {
  isConstructor,
  isElementAccess,
  isGlobalAtomics,
  isMethod,
  isMethodCall,
  isPattern,
  isPatternAssignment,
  isSuperCall,
  type Edits,
} from './syntax.js'

const typedArrays = new Set(
  'Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array BigUint64Array'.split(
    ' ',
  ),
)

/** Walks a file once. */
export class Rewriter implements Edits {
  readonly name: string
  readonly edits: MagicString
  usesAtomics = false
  readonly #file: ts.SourceFile

  constructor(file: ts.SourceFile, edits: MagicString, name: string) {
    this.#file = file
    this.edits = edits
    this.name = name
  }

  run(): void {
    this.#visit(this.#file)
  }

  #visit(node: ts.Node): void {
    if (ts.isIdentifier(node) && node.text === 'Atomics') this.usesAtomics = true
    if (isChainEnd(node)) rewriteChain(this, node)
    // Outer openings come first, and so do inner closings.
    const inner = this.#viewOf(node)
    if (inner) this.#open(inner)
    if (isSuperCall(node)) this.#wrapSuper(node.expression)
    ts.forEachChild(node, (child) => this.#visit(child))
    if (inner) this.edits.appendLeft(inner.getEnd(), isConstructor(inner) ? '))' : ')')
  }

  /** The expression below a node whose value may be a view that the node reads or writes. */
  #viewOf(node: ts.Node): ts.Expression | undefined {
    if (isElementAccess(node)) return ts.isOptionalChain(node.expression) ? undefined : node.expression
    if (isMethodCall(node))
      return ts.isOptionalChain(node.expression.expression) ? undefined : node.expression.expression
    if (ts.isForOfStatement(node)) return node.expression
    if (ts.isSpreadElement(node) || ts.isSpreadAssignment(node))
      return isPattern(node.parent) ? undefined : node.expression
    if (ts.isYieldExpression(node) && node.asteriskToken) return node.expression
    if (ts.isVariableDeclaration(node) && !ts.isIdentifier(node.name)) return node.initializer
    if (isPatternAssignment(node)) return node.right
    if (isGlobalAtomics(node)) return node.expression
    return this.#firstArgument(node)
  }

  /** `super.fill(0)`: a method of the engine would not take a proxy for `this`. */
  #wrapSuper(method: ts.Expression): void {
    const start = method.getStart(this.#file)
    this.edits.appendRight(start, `${this.gap(start)}${this.name}.inherited(`)
    this.edits.appendLeft(method.getEnd(), ', this)')
  }

  /** The list that a new array is made from. */
  #firstArgument(node: ts.Node): ts.Expression | undefined {
    const make =
      ts.isNewExpression(node) && ts.isIdentifier(node.expression) && typedArrays.has(node.expression.text)
    const from =
      ts.isCallExpression(node) &&
      ts.isPropertyAccessExpression(node.expression) &&
      node.expression.name.text === 'from' &&
      ts.isIdentifier(node.expression.expression) &&
      (node.expression.expression.text === 'Array' || typedArrays.has(node.expression.expression.text))
    if (!make && !from) return undefined
    const first = node.arguments?.[0]
    return first && !ts.isSpreadElement(first) ? first : undefined
  }

  #open(inner: ts.Expression): void {
    const start = inner.getStart(this.#file)
    const call = functionFor(inner.parent)
    this.edits.appendRight(start, `${this.gap(start)}${isConstructor(inner) ? '(' : ''}${this.name}.${call}(`)
  }

  gap(position: number): string {
    return /[\p{ID_Continue}$]/u.test(this.#file.text[position - 1] ?? '') ? ' ' : ''
  }
}

function functionFor(parent: ts.Node): string {
  if (isGlobalAtomics(parent)) return 'host'
  return isMethod(parent) && parent.name.text === 'set' ? 'setter' : 'view'
}
