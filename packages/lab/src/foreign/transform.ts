/**
 * The compile step for foreign code. It rewrites a JavaScript or TypeScript source so that each
 * access that may touch shared memory goes through the lab (runtime.ts). The value decides at run
 * time what an access touches: for anything but a view of shared memory the program does what it
 * did.
 *
 *     a[i] += f(x)             lab.view(a)[i] += f(x)
 *     a.fill(0)                lab.view(a).fill(0)          methods of typed arrays and DataViews
 *     for (const x of a)       for (const x of lab.view(a))
 *     [...a]  const [x] = a    [...lab.view(a)]  const [x] = lab.view(a)
 *     super.fill(0)            lab.inherited(super.fill, this)(0)
 *     o?.words[i]              lab.optional(o)?.prop("words").view[i]
 *     new Int8Array(a)         new Int8Array(lab.view(a))   also Array.from(a)
 *     Atomics.add(a, i, 1)     unchanged, but `Atomics` is the lab's
 *     while (!a[i]);           tells where each turn begins, if the loop waits (loops.ts)
 *
 * Every line stays where it was; TypeScript becomes JavaScript first. A source map tells the
 * columns and, for TypeScript, the lines.
 *
 * It does not see these accesses:
 * - inside functions of the engine or of Node that are given a view whole: `TextDecoder`,
 *   `JSON.stringify`, `Array.prototype.slice.call(a)`, `Object.assign`, WebAssembly (the functions
 *   of `Buffer` are reported);
 * - by the conversion of a view to a string (`${a}`), and by parameters that are destructured;
 * - in code made by `eval`.
 */
import remapping, { type EncodedSourceMap } from '@jridgewell/remapping'
import MagicString from 'magic-string'
import { ts } from './typescript.js'
import { Rewriter } from './rewriter.js'

export interface TransformOptions {
  /** Name of the file, for its extension and the source map. */
  readonly file: string
  /**
   * 'module', the default, imports the runtime. 'commonjs' finds it where the runtime has put it
   * for all.
   */
  readonly format?: 'module' | 'commonjs'
  /** The specifier that modules import. Default: the file URL of the runtime. */
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
  return withMap(edits.toString(), combined)
}

/** Takes the types away, and leaves the accesses as they are. The source may hold errors. */
export function compile(source: string, file: string): Transformed {
  const { text, map } = toJavaScript(source, file)
  return withMap(text, JSON.stringify(map))
}

function withMap(text: string, map: string): Transformed {
  const comment = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}`
  return { code: `${text.replace(/^\/\/# sourceMappingURL=.*$/gm, '')}\n${comment}`, map }
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
  // TypeScript has no private names in optional chains. The language does, and the syntax tree is
  // right.
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
