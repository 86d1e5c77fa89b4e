// Checks which module of packages/percpu/src may import which. The layers form a straight line:
//
//     mem ← layout ← machine ← cpus ← bootmem ← sync ← watch ← alloc ← percpu ← rcu ← collections ← paging
//
// 1. A layer (a folder of src) imports only from itself and from layers to its left.
// 2. Files directly in src, such as errors.ts, are the base: every layer may import them, they import only each other.
// 3. Four files directly in src are the top: compose.ts ← machine.ts ← boot.ts ← index.ts. They import everything to their
//    left; no layer imports them.
// 4. The mem layer is imported as `#mem`, never by path, so that one import map can replace it.
// 5. Nothing else is imported: no package and no `node:` module. Specifiers are string literals.
//
//     node tools/check-imports.mjs [source folder]

import { readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { isMain, listFiles, reportProblems, repositoryRoot, segments } from './lib/cli.mjs'

export const layers = [
  ...['mem', 'layout', 'machine', 'cpus', 'bootmem', 'sync', 'watch', 'alloc', 'percpu'],
  ...['rcu', 'collections', 'paging'],
]

const base = '(base)'
/** The files at the top, each of which may import those before it. */
const top = ['compose', 'machine', 'boot', 'index'].map((name) => `(${name})`)

/** Checks every source file below `root`; gives the problems found, each with `file`, `line` and `message`. */
export function checkImports(root) {
  const problems = []
  for (const file of listFiles(root, ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'])) {
    const layer = layerOf(file)
    if (layer === undefined) {
      problems.push({
        file,
        line: 1,
        message: `folder ${segments(file)[0]} is not one of the layers ${layers.join(', ')}`,
      })
      continue
    }
    const source = ts.createSourceFile(
      file,
      readFileSync(path.join(root, file), 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    )
    for (const { specifier, position } of importsOf(source)) {
      const message = judge(file, layer, specifier)
      const line = source.getLineAndCharacterOfPosition(position).line + 1
      if (message !== undefined) problems.push({ file, line, message })
    }
  }
  return problems
}

/** The layer of a file given relative to src, or undefined for a folder that is no layer. */
function layerOf(file) {
  const [first, ...rest] = segments(file)
  if (rest.length > 0) return layers.includes(first) ? first : undefined
  const name = `(${first.replace(/\.[cm]?[jt]s$/, '')})`
  return top.includes(name) ? name : base
}

/** Says what is wrong with one import, or undefined. `specifier` is undefined when it is no string literal. */
function judge(file, layer, specifier) {
  if (specifier === undefined) return 'imports by an expression: use a string literal'
  if (specifier === '#mem')
    return layer === 'mem' || layer === base ? `#mem may not be imported from ${place(layer)}` : undefined
  if (!specifier.startsWith('./') && !specifier.startsWith('../')) {
    return `imports '${specifier}': the library imports only its own files and '#mem'`
  }
  const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier))
  if (target === '..' || target.startsWith('../'))
    return `imports '${specifier}', which is outside the source folder`
  const targetLayer = layerOf(target)
  if (targetLayer === undefined) return `imports '${specifier}' from an unknown layer`
  if (targetLayer === 'mem' && layer !== 'mem')
    return `imports '${specifier}': import the mem layer as '#mem'`
  if (top.includes(targetLayer)) {
    if (top.indexOf(targetLayer) < top.indexOf(layer)) return undefined
    return `imports '${specifier}': ${place(layer)} does not import ${place(targetLayer)}`
  }
  if (top.includes(layer) || targetLayer === base || targetLayer === layer) return undefined
  if (layer === base) return `imports '${specifier}': base files import no layer`
  if (layers.indexOf(targetLayer) < layers.indexOf(layer)) return undefined
  return `imports '${specifier}': ${targetLayer} comes after ${layer} in the line of layers`
}

function place(layer) {
  if (top.includes(layer)) return layer.slice(1, -1)
  return layer === base ? 'a base file' : `the ${layer} layer`
}

/** Every module specifier of a file: static and dynamic imports, re-exports, import types, require, references. */
export function importsOf(source) {
  const found = []
  const add = (node) => {
    const literal = node !== undefined && ts.isStringLiteralLike(node)
    found.push({
      specifier: literal ? node.text : undefined,
      position: node === undefined ? 0 : node.getStart(source),
    })
  }
  const visit = (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      add(node.moduleSpecifier)
    else if (ts.isExternalModuleReference(node)) add(node.expression)
    else if (ts.isImportTypeNode(node))
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument)
    else if (ts.isCallExpression(node) && isImportCall(node)) add(node.arguments[0])
    ts.forEachChild(node, visit)
  }
  visit(source)
  for (const reference of [...source.referencedFiles, ...source.typeReferenceDirectives]) {
    found.push({ specifier: reference.fileName, position: reference.pos })
  }
  return found
}

function isImportCall(call) {
  const callee = call.expression
  return callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require')
}

if (isMain(import.meta.url)) {
  const root = path.resolve(process.argv[2] ?? path.join(repositoryRoot, 'packages/percpu/src'))
  reportProblems('imports', checkImports(root), 'every import follows the line of layers')
}
