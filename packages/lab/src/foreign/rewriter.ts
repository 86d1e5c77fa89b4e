/** Finds the accesses of a file, and records the text to insert around them. */
import type MagicString from 'magic-string'
import { ts } from './typescript.js'
import { isChainEnd, rewriteChain } from './chains.js'
import { chainsOfWaitingLoop, type Loop } from './loops.js'
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
  /** Whether `Atomics` may be something else in the file. */
  readonly #ownAtomics: boolean

  constructor(file: ts.SourceFile, edits: MagicString, name: string) {
    this.#file = file
    this.edits = edits
    this.name = name
    this.#ownAtomics = declaresAtomics(file)
  }

  run(): void {
    this.#visit(this.#file)
  }

  #visit(node: ts.Node): void {
    if (ts.isIdentifier(node) && node.text === 'Atomics') this.usesAtomics = true
    if (isChainEnd(node)) rewriteChain(this, node)
    const chains = this.#ownAtomics ? undefined : chainsOfWaitingLoop(node)
    // Outer openings come first, and so do inner closings.
    if (chains) this.#openLoop(node as Loop, chains)
    const inner = this.#viewOf(node)
    if (inner) this.#open(inner)
    if (isSuperCall(node)) this.#wrapSuper(node.expression)
    ts.forEachChild(node, (child) => this.#visit(child))
    if (inner) this.edits.appendLeft(inner.getEnd(), isConstructor(inner) ? '))' : ')')
    if (chains) this.#closeLoop(node as Loop)
  }

  /**
   * Says where each turn begins: before the condition, or before the body if that comes first. The
   * chains are looked at when a turn was in vain.
   */
  #openLoop(loop: Loop, chains: readonly string[]): void {
    const start = loop.getStart(this.#file)
    const name = `${this.name}Loop`
    this.edits.appendRight(start, `{ const ${name} = ${this.name}.loop(() => [${chains.join(', ')}]); `)
    const condition = conditionFirst(loop)
    if (condition) this.edits.appendRight(condition.getStart(this.#file), `${name}.turn() && (`)
    else this.edits.appendRight(loop.statement.getStart(this.#file), `{ ${name}.turn(); `)
  }

  #closeLoop(loop: Loop): void {
    const condition = conditionFirst(loop)
    if (condition) this.edits.appendLeft(condition.getEnd(), ')')
    else this.edits.appendLeft(loop.statement.getEnd(), ' }')
    this.edits.appendLeft(loop.getEnd(), ' }')
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

/** The condition that a turn begins with, if it does. */
function conditionFirst(loop: Loop): ts.Expression | undefined {
  if (ts.isDoStatement(loop)) return undefined
  return ts.isForStatement(loop) ? loop.condition : loop.expression
}

function declaresAtomics(node: ts.Node): boolean {
  const { name } = node as { readonly name?: ts.Node }
  if (name && ts.isIdentifier(name) && name.text === 'Atomics' && !ts.isPropertyAccessExpression(node))
    return true
  return ts.forEachChild(node, declaresAtomics) ?? false
}
