// Checks which module of a package may import which.
//
// 1. No file imports itself, directly or through others: types count too.
// 2. The folders of src form a straight line. A folder imports only from itself and from folders to
//    its left.
// 3. Files directly in src are the base: every folder may import them, they import only each other.
//    Some are the top instead: they import everything to their left, and no folder imports them.
//
// The library, packages/percpu, has two rules more:
//
// 4. The mem layer is imported as `#mem`, never by path, so that one import map can replace it.
// 5. Nothing else is imported: no package and no `node:` module. Specifiers are string literals.
//
//     node tools/check-imports.mjs

import path from 'node:path'
import { isMain, reportProblems, repositoryRoot, segments } from './lib/cli.mjs'
import { importCircles } from './lib/import-circles.mjs'
import { readImports } from './lib/imports.mjs'

/**
 * The line of folders of the library, from left to right, and the files of its top: each may import
 * the ones before it.
 */
export const library = {
  layers: [
    ...['mem', 'layout', 'machine', 'cpus', 'bootmem', 'sync', 'watch', 'alloc', 'names', 'pagetable'],
    ...['percpu', 'rcu', 'collections', 'paging'],
  ],
  top: ['compose', 'machine', 'boot', 'index'],
  isClosed: true,
}

/** That of the lab, whose base is the trace and the checks of arguments. It may import packages. */
export const lab = {
  layers: [
    ...['foreign', 'engine', 'mem', 'linearizability', 'scenario', 'search', 'oracles', 'report'],
    ...['explore', 'testing', 'litmus', 'conformance', 'command'],
  ],
  top: ['index'],
  isClosed: false,
}

/** The rules of each source folder. The console has no line of folders. */
const packages = {
  'packages/percpu/src': { ...library, allowsCircles: true },
  'packages/lab/src': lab,
  'packages/console/src': undefined,
}

const base = '(base)'

/**
 * Checks the source files below `root`; gives the problems found, each with `file`, `line` and
 * `message`. Without `rules`, only for circles.
 */
export function checkImports(root, rules = undefined) {
  const files = readImports(root)
  const circles = rules?.allowsCircles === true ? [] : importCircles(files)
  return [...(rules === undefined ? [] : checkLine(files, new Line(rules))), ...circles]
}

function checkLine(files, line) {
  return files.flatMap(({ file, imports }) => {
    const layer = line.layerOf(file)
    if (layer === undefined) {
      const message = `folder ${segments(file)[0]} is not one of the layers ${line.layers.join(', ')}`
      return [{ file, line: 1, message }]
    }
    return imports
      .map((one) => ({ file, line: one.line, message: line.judge(layer, one) }))
      .filter(({ message }) => message !== undefined)
  })
}

class Line {
  constructor({ layers, top, isClosed }) {
    this.layers = layers
    this.top = top.map((name) => `(${name})`)
    this.isClosed = isClosed
  }

  /** The layer of a file given relative to src, or undefined for a folder that is no layer. */
  layerOf(file) {
    const [first, ...rest] = segments(file)
    if (rest.length > 0) return this.layers.includes(first) ? first : undefined
    const name = `(${first.replace(/\.[cm]?[jt]s$/, '')})`
    return this.top.includes(name) ? name : base
  }

  /** Says what is wrong with one import of a file of `layer`, or undefined. */
  judge(layer, { specifier, target }) {
    if (target === undefined) return this.isClosed ? this.#judgeClosed(layer, specifier) : undefined
    if (target === '..' || target.startsWith('../'))
      return `imports '${specifier}', which is outside the source folder`
    const targetLayer = this.layerOf(target)
    if (targetLayer === undefined) return `imports '${specifier}' from an unknown layer`
    if (this.isClosed && targetLayer === 'mem' && layer !== 'mem')
      return `imports '${specifier}': import the mem layer as '#mem'`
    return this.#isToTheLeft(targetLayer, layer)
      ? undefined
      : `imports '${specifier}': ${this.#reason(layer, targetLayer)}`
  }

  /** Imports that are not relative. */
  #judgeClosed(layer, specifier) {
    if (specifier === undefined) return 'imports by an expression: use a string literal'
    if (specifier !== '#mem')
      return `imports '${specifier}': the library imports only its own files and '#mem'`
    return layer === 'mem' || layer === base
      ? `#mem may not be imported from ${this.#name(layer)}`
      : undefined
  }

  #isToTheLeft(targetLayer, layer) {
    const { layers, top } = this
    if (top.includes(targetLayer)) return top.indexOf(targetLayer) < top.indexOf(layer)
    if (top.includes(layer) || targetLayer === base || targetLayer === layer) return true
    return layer !== base && layers.indexOf(targetLayer) < layers.indexOf(layer)
  }

  #reason(layer, targetLayer) {
    if (this.top.includes(targetLayer))
      return `${this.#name(layer)} does not import ${this.#name(targetLayer)}`
    if (layer === base) return 'base files import no layer'
    return `${targetLayer} comes after ${layer} in the line of layers`
  }

  #name(layer) {
    if (this.top.includes(layer)) return layer.slice(1, -1)
    return layer === base ? 'a base file' : `the ${layer} layer`
  }
}

if (isMain(import.meta.url)) {
  const problems = Object.entries(packages).flatMap(([folder, rules]) =>
    checkImports(path.join(repositoryRoot, folder), rules).map((problem) => ({
      ...problem,
      file: `${folder}/${problem.file}`,
    })),
  )
  reportProblems('imports', problems, 'every import follows its line of layers, without circles')
}
