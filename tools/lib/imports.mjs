// What the source files of a folder import.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { listFiles } from './cli.mjs'

const extensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs']

/**
 * Lists the source files below `root`, each as `{ file, imports }` with `file` relative to `root`.
 * An import has its `specifier` (undefined when it is no string literal), its `line`, and for a
 * relative one the `target`: a path relative to `root`, that of the source file if there is one.
 */
export function readImports(root) {
  return listFiles(root, extensions).map((file) => {
    const text = readFileSync(path.join(root, file), 'utf8')
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
    const imports = importsOf(source).map(({ specifier, position }) => ({
      specifier,
      line: source.getLineAndCharacterOfPosition(position).line + 1,
      target: targetOf(root, file, specifier),
    }))
    return { file, imports }
  })
}

/** `./a.js` is a.ts, where that exists. */
function targetOf(root, file, specifier) {
  if (specifier === undefined || !/^\.\.?\//.test(specifier)) return undefined
  const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier))
  const source = target.replace(/\.([cm]?)js$/, '.$1ts')
  return existsSync(path.join(root, source)) ? source : target
}

/**
 * Every module specifier of a file: static and dynamic imports, re-exports, import types, require,
 * references.
 */
function importsOf(source) {
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
