// Finds which test files run which places of the code. Coverage as V8 reports it is lost with a
// thread or process that is killed. Here a place writes a mark to a file just before it runs.

import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { createCompiler } from './compile.mjs'
import { loadedFrom } from './joined-modules.mjs'

const logName = 'coverage-marks'
const markFunction = '__percpuMark'

/**
 * Compiles the files of `mutants` below `root` with a mark at the place of each mutant. Gives a
 * list of `{ output, js }`, to be put in a copy of the workspace.
 */
export function compileMarked(root, mutants) {
  const compile = createCompiler(root)
  return [...new Set(mutants.map(({ file }) => file))].map((file) => {
    const text = readFileSync(path.join(root, file), 'utf8')
    const marks = mutants.filter((mutant) => mutant.file === file)
    const log = `${'../'.repeat(loadedFrom(root, file).split('/').length - 1)}${logName}`
    return compile(file, markedText(text, marks, log), { check: false })
  })
}

/** The ids of the mutants whose places ran in `copy` since the last call. */
export function takeMarks(copy) {
  const log = path.join(copy.path, logName)
  let text = ''
  try {
    text = readFileSync(log, 'utf8')
  } catch (error) {
    // Nothing was written.
    if (error.code !== 'ENOENT') throw error
  }
  rmSync(log, { force: true })
  return new Set(text.split('\n').filter(Boolean).map(Number))
}

/**
 * The text of a TypeScript file in which each place of `marks` (`{ id, place }`; see
 * mutations/places.mjs) appends its id to the file `log` when a thread first reaches it. The path
 * of `log` is relative to the file that is loaded. Only the text's syntax is right, not its types.
 */
export function markedText(text, marks, log) {
  const edits = marks.flatMap(({ id, place: { kind, node } }) => {
    const call = `${markFunction}(${id})`
    const [start, end] = [node.getStart(), node.getEnd()]
    if (kind === 'module') return []
    if (kind === 'statement') return [opening(start, end, `${call};`)]
    if (kind === 'branch') return [opening(start, end, `{${call};`), closing(start, end, '}')]
    return [opening(start, end, `(${call}, `), closing(start, end, ')')]
  })
  const ofModule = marks.filter(({ place }) => place.kind === 'module')
  let at = (ts.getShebang(text) ?? '').length
  let result = `${text.slice(0, at)}\n${markDeclaration(log)}`
  for (const { id } of ofModule) result += `${markFunction}(${id});`
  for (const edit of edits.sort(byPosition)) {
    result += text.slice(at, edit.at) + edit.text
    at = edit.at
  }
  return result + text.slice(at)
}

// Hoisted, so that it is there when a circle of imports calls the module before it has run.
function markDeclaration(log) {
  return `var ${markFunction}s
function ${markFunction}(id) {
  if (${markFunction}s?.[id]) return
  ;(${markFunction}s ??= [])[id] = true
  const { appendFileSync } = globalThis.process.getBuiltinModule('node:fs')
  appendFileSync(new URL(${JSON.stringify(log)}, import.meta.url), id + '\\n')
}
`
}

function opening(start, end, text) {
  return { at: start, isOpening: true, reach: end, text }
}
function closing(start, end, text) {
  return { at: end, isOpening: false, reach: start, text }
}

/**
 * At one position: first the closings of what ends there, from the inside out, then the openings,
 * from the outside in.
 */
function byPosition(one, other) {
  if (one.at !== other.at) return one.at - other.at
  if (one.isOpening !== other.isOpening) return one.isOpening ? 1 : -1
  return other.reach - one.reach
}
