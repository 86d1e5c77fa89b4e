/**
 * The compile step for foreign code: rewrites a JavaScript or TypeScript source so that each access that may touch shared
 * memory goes through the lab (runtime.ts). What an access touches is decided at run time by looking at the value; for
 * anything but a view of shared memory the program does what it did.
 *
 *     a[i] += f(x)             lab.view(a)[i] += f(x)
 *     a.fill(0)                lab.view(a).fill(0)          methods that typed arrays and DataViews have
 *     for (const x of a)       for (const x of lab.view(a))
 *     [...a]  const [x] = a    [...lab.view(a)]  const [x] = lab.view(a)
 *     super.fill(0)            lab.inherited(super.fill, this)(0)
 *     o?.words[i]              lab.optional(o)?.prop("words").view[i]
 *     new Int8Array(a)         new Int8Array(lab.view(a))   also Array.from(a)
 *     Atomics.add(a, i, 1)     unchanged, but `Atomics` is the lab's
 *
 * Every line stays where it was; TypeScript becomes JavaScript first. A source map tells the columns (and, for TypeScript,
 * the lines).
 *
 * What it does not see: accesses inside functions of the engine or of Node that are given a view whole (`TextDecoder`,
 * `JSON.stringify`, `Array.prototype.slice.call(a)`, `Object.assign`, WebAssembly; those of `Buffer` are reported), the
 * conversion of a view to a string (`${a}`), destructuring parameters, and code made by `eval`.
 */
import remapping, { type EncodedSourceMap } from '@jridgewell/remapping'
import MagicString from 'magic-string'
import ts from 'typescript'
import { rewriteChain, isChainEnd } from './chains.js'
import { dataMethodNames } from './data-view.js'
import { methodNames } from './methods.js'

export interface TransformOptions {
  /** Name of the file, for its extension and the source map. */
  readonly file: string
  /** `module`, the default, imports the runtime; `commonjs` finds it where the runtime has put it for all. */
  readonly format?: 'module' | 'commonjs'
  /** What modules import; the file URL of the runtime if left out. */
  readonly runtime?: string
}

export interface Transformed {
  /** With the source map as a comment at its end. */
  readonly code: string
  readonly map: string
}

const runtimeUrl = new URL('./runtime.js', import.meta.url).href

/** @throws SyntaxError if the source does not parse. */
export function transform(source: string, options: TransformOptions): Transformed {
  const format = options.format ?? 'module'
  const { text, map } = toJavaScript(source, options.file)
  const file = ts.createSourceFile('source.jsx', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JSX)
  refuseErrors(file, options.file)
  const edits = new MagicString(text)
  const rewriter = new Rewriter(file, edits, freeName(text))
  rewriter.run()
  addRuntime(file, edits, rewriter, format, options.runtime ?? runtimeUrl)
  const own = edits.generateMap({ source: options.file, includeContent: true, hires: 'boundary' })
  const combined = map ? remapping([own.toString(), map], () => null).toString() : own.toString()
  const comment = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(combined).toString('base64')}`
  const code = edits.toString().replace(/^\/\/# sourceMappingURL=.*$/gm, '')
  return { code: `${code}\n${comment}`, map: combined }
}

/** Strips types; JavaScript is taken as it is. */
function toJavaScript(source: string, file: string): { text: string; map: EncodedSourceMap | undefined } {
  if (!/\.[cm]?tsx?$/.test(file)) return { text: source, map: undefined }
  const { outputText, sourceMapText } = ts.transpileModule(source, {
    fileName: file,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: file.endsWith('.cts') ? ts.ModuleKind.CommonJS : ts.ModuleKind.ESNext,
      jsx: ts.JsxEmit.Preserve,
      sourceMap: true,
      inlineSources: true,
      verbatimModuleSyntax: !file.endsWith('.cts'),
    },
  })
  const map = JSON.parse(sourceMapText ?? '{}') as EncodedSourceMap
  return { text: outputText, map: { ...map, sources: [file] } }
}

const PRIVATE_IN_CHAIN = 18030

function refuseErrors(file: ts.SourceFile, name: string): void {
  const { parseDiagnostics } = file as unknown as { parseDiagnostics: readonly ts.DiagnosticWithLocation[] }
  // TypeScript has no private names in optional chains; the language does, and the tree is right.
  const problem = parseDiagnostics.find(({ code }) => code !== PRIVATE_IN_CHAIN)
  if (!problem) return
  const { line } = file.getLineAndCharacterOfPosition(problem.start)
  throw new SyntaxError(`${name}:${line + 1}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`)
}

/** A name that the source does not contain. */
function freeName(text: string): string {
  let name = '__lab'
  while (text.includes(name)) name += '_'
  return name
}

/** Puts the runtime's names into scope, on a line that is there already. */
function addRuntime(
  file: ts.SourceFile,
  edits: MagicString,
  { name, usesAtomics }: Rewriter,
  format: 'module' | 'commonjs',
  runtime: string,
): void {
  const atomics = usesAtomics && !declaresAtomics(file) ? ', Atomics' : ''
  const binding = format === 'module' ? `lab as ${name}${atomics}` : `lab: ${name}${atomics}`
  const statement =
    format === 'module'
      ? `import { ${binding} } from ${JSON.stringify(runtime)}; `
      : `const { ${binding} } = globalThis[Symbol.for("percpu-lab.foreign")]; `
  const directive = file.statements.findLast(
    (one, index) => ts.isExpressionStatement(one) && file.statements.slice(0, index + 1).every(isDirective),
  )
  if (directive) edits.appendLeft(directive.end, ` ; ${statement}`)
  else
    edits.appendRight(
      ts.getShebang(file.text)?.length ?? 0,
      file.text.startsWith('#!') ? `\n${statement}` : statement,
    )
}

function isDirective(statement: ts.Statement): boolean {
  return ts.isExpressionStatement(statement) && ts.isStringLiteral(statement.expression)
}

/** Whether the file has a binding called Atomics of its own at its top level. */
function declaresAtomics(file: ts.SourceFile): boolean {
  let found = false
  const visit = (node: ts.Node, top: boolean): void => {
    const named = node as ts.Node & { name?: ts.Node }
    const declares =
      ts.isVariableDeclaration(node) ||
      ts.isBindingElement(node) ||
      ts.isImportSpecifier(node) ||
      ts.isImportClause(node) ||
      ts.isNamespaceImport(node) ||
      ((ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node)) && top)
    if (declares && named.name && ts.isIdentifier(named.name) && named.name.text === 'Atomics') found = true
    if (ts.isFunctionLike(node) || ts.isClassLike(node)) return
    const lexical = ts.isVariableDeclarationList(node) && (node.flags & ts.NodeFlags.BlockScoped) !== 0
    if (lexical && !top) return
    const below =
      top && !ts.isBlock(node) && !ts.isIterationStatement(node, false) && !ts.isSwitchStatement(node)
    ts.forEachChild(node, (child) => visit(child, below))
  }
  visit(file, true)
  return found
}

const called = new Set([...methodNames, ...dataMethodNames])
const typedArrays = new Set(
  'Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array BigUint64Array'.split(
    ' ',
  ),
)
const globals = new Set(['globalThis', 'self', 'window', 'global'])

/** Walks a file once and records what to insert. */
export class Rewriter {
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
    // Outer openings come first, and inner closings.
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

  /** A blank where an inserted name would join the word before it: `return[a][0]`. */
  gap(position: number): string {
    return /[\p{ID_Continue}$]/u.test(this.#file.text[position - 1] ?? '') ? ' ' : ''
  }
}

function functionFor(parent: ts.Node): string {
  if (isGlobalAtomics(parent)) return 'host'
  return isMethod(parent) && parent.name.text === 'set' ? 'setter' : 'view'
}

/** `globalThis.Atomics`, if `globalThis` is not something else here. */
function isGlobalAtomics(node: ts.Node): node is ts.PropertyAccessExpression {
  return (
    ts.isPropertyAccessExpression(node) &&
    node.name.text === 'Atomics' &&
    ts.isIdentifier(node.expression) &&
    globals.has(node.expression.text)
  )
}

/** `a[i]`, read or written, but not `super[i]` and not deleted: that touches no element. */
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

function isSuperCall(node: ts.Node): node is ts.CallExpression {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false
  const { expression, name } = node.expression
  return expression.kind === ts.SyntaxKind.SuperKeyword && called.has(name.text)
}

export function isMethod(node: ts.Node): node is ts.PropertyAccessExpression {
  return (
    ts.isPropertyAccessExpression(node) &&
    called.has(node.name.text) &&
    ts.isIdentifier(node.name) &&
    node.expression.kind !== ts.SyntaxKind.SuperKeyword
  )
}

/** `[a, b] = c` whose value nobody uses: it would be the proxy. */
function isPatternAssignment(node: ts.Node): node is ts.BinaryExpression {
  return (
    ts.isBinaryExpression(node) &&
    node.operatorToken.kind === ts.SyntaxKind.EqualsToken &&
    (ts.isArrayLiteralExpression(node.left) || ts.isObjectLiteralExpression(node.left)) &&
    ts.isExpressionStatement(outermost(node).parent)
  )
}

/** Whether an array or object literal is a pattern to assign to, or a part of one. */
function isPattern(literal: ts.Node): boolean {
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
