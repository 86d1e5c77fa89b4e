// Compiles single files of a package with changed text, as the package's own build would.

import path from 'node:path'
import ts from 'typescript'

/**
 * Makes a compiler for the packages below `root`. `compile(file, text)` type-checks `file`
 * (relative to root) as if it held `text`. It gives `{ output, js }` with the path of its
 * JavaScript relative to root, or `{ errors }`. With `{ check: false }` it only looks at the
 * syntax.
 */
export function createCompiler(root) {
  const services = new Map()
  const serviceOf = (file) => {
    const config = ts.findConfigFile(path.dirname(path.join(root, file)), ts.sys.fileExists)
    if (config === undefined) throw new Error(`${file} has no tsconfig.json above it`)
    if (!services.has(config)) services.set(config, createService(config))
    return services.get(config)
  }
  return (file, text, { check = true } = {}) =>
    compileWith(serviceOf(file), root, path.join(root, file), text, check)
}

function createService(config) {
  const { options, fileNames } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(config, ts.sys.readFile).config,
    ts.sys,
    path.dirname(config),
  )
  const changed = { file: undefined, text: '', version: 0 }
  const host = {
    getCompilationSettings: () => options,
    getScriptFileNames: () => fileNames,
    getScriptVersion: (file) => (file === changed.file ? `changed ${changed.version}` : 'as built'),
    getScriptSnapshot: (file) => {
      const text = file === changed.file ? changed.text : ts.sys.readFile(file)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => path.dirname(config),
    getDefaultLibFileName: (settings) => ts.getDefaultLibFilePath(settings),
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  }
  return { service: ts.createLanguageService(host), changed }
}

function compileWith({ service, changed }, root, file, text, check) {
  changed.file = file
  changed.text = text
  changed.version++
  const syntactic = service.getSyntacticDiagnostics(file)
  const diagnostics = check ? [...syntactic, ...service.getSemanticDiagnostics(file)] : syntactic
  if (diagnostics.length > 0) {
    return { errors: diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')) }
  }
  const output = service.getEmitOutput(file).outputFiles.find(({ name }) => /\.[cm]?js$/.test(name))
  if (output === undefined) throw new Error(`the build of ${file} writes no JavaScript`)
  return { output: path.relative(root, output.name), js: output.text }
}
