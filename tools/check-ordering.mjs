// Checks the comments on atomic accesses (docs/memory-model.md, "Ordering comments").
//
// Each use of an atomic access outside the mem layer (loadAtomic32 ... notify32, or a method of an
// atomic cell: a value whose class is called Atomic...; inside such a class nothing is checked) is
// covered by one of two comments:
//
//     // A(machine.state) publishes the record; pairs with B in stateOf: after it the record is
//     // everybody's to read. Mutant: machine/state-first.
//
//     // atomic: a counter; nothing hangs on it.
//
// An access is covered by a comment that ends on its line or at most three lines above it, or that
// stands directly above a function around it (there also as a line of the doc comment).
//
// The first kind, the ordering comment, says that the access orders something:
// - A: one or two capital letters, unique within the layer. machine.state: the shared word.
// - what it does may be left out, with its semicolon.
// - each partner has a letter, or layer/letter in another layer, and the place of the partner's
//   comment: the function, method (Class.method), class or file around it. Several are separated by
//   commas. The partner names this letter back. An access that pairs with other threads at the same
//   line names itself.
// - after the colon: the permission that moves, that is, who may do what from there on.
// - Mutant: (or Mutants:, separated by commas) changes in mutants/ that a test notices; see
//   tools/mutants.mjs.
// The second kind says why the access orders nothing, or which letters order it.
//
// Mutants may be named in any other comment too, also of the other packages. Each named mutant
// exists, and each existing one is named.
//
//     node tools/check-ordering.mjs

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'
import { atomicAccesses, enclosingFunctions } from './lib/atomic-accesses.mjs'
import { isMain, listFiles, reportProblems, repositoryRoot, segments } from './lib/cli.mjs'
import { readRegistry } from './lib/mutant-registry.mjs'
import { enclosingNames, orderingComments } from './lib/ordering-comments.mjs'

const sourceFolder = 'packages/percpu/src'
const reach = 3

/**
 * Checks the library below `root`, which holds packages/percpu/src and mutants. Gives problems and
 * how much was checked.
 */
export function checkOrdering(root) {
  const { entries, problems } = readRegistry(root)
  const files = readSources(root)
  for (const file of files) {
    const report = (line, message) =>
      problems.push({ file: `${sourceFolder}/${file.name}`, line: line + 1, message })
    file.report = report
    for (const { line, message } of file.comments.problems) report(line, message)
    if (file.layer !== 'mem') checkCoverage(file)
  }
  const letters = collectLetters(files)
  for (const note of letters.values()) checkPairs(note, letters)
  problems.push(...checkMutants([...files, ...readOthers(root, problems)], entries))
  return {
    problems,
    letters: letters.size,
    accesses: files.reduce((sum, file) => sum + file.accesses.length, 0),
  }
}

function readSources(root) {
  const folder = path.join(root, sourceFolder)
  const names = listFiles(folder, ['.ts'])
  const program = ts.createProgram(
    names.map((name) => path.join(folder, name)),
    compilerOptions(path.join(root, 'packages/percpu')),
  )
  const checker = program.getTypeChecker()
  return names.map((name) => {
    const source = program.getSourceFile(path.join(folder, name))
    const layer = segments(name).length > 1 ? segments(name)[0] : ''
    const accesses = layer === 'mem' ? [] : atomicAccesses(source, checker)
    return { name, layer, source, comments: orderingComments(source), accesses }
  })
}

/** The mutants that comments of the other packages name. */
function readOthers(root, problems) {
  return listFiles(path.join(root, 'packages'), ['.ts'])
    .map((name) => `packages/${name}`)
    .filter((file) => /^packages\/[^/]+\/src\//.test(file) && !file.startsWith(`${sourceFolder}/`))
    .map((file) => ({ file, text: readFileSync(path.join(root, file), 'utf8') }))
    .filter(({ text }) => /\bMutants?:/.test(text))
    .map(({ file, text }) => ({
      comments: orderingComments(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)),
      report: (line, message) => problems.push({ file, line: line + 1, message }),
    }))
}

function compilerOptions(folder) {
  const config = path.join(folder, 'tsconfig.json')
  if (!existsSync(config)) return { module: ts.ModuleKind.NodeNext, noLib: true, noEmit: true }
  return ts.parseJsonConfigFileContent(ts.readConfigFile(config, ts.sys.readFile).config, ts.sys, folder)
    .options
}

function checkCoverage({ source, comments, accesses, report }) {
  const notes = [...comments.letters, ...comments.tags]
  for (const { name, node, line } of accesses) {
    const near = notes.some((note) => note.lastLine <= line && line - note.lastLine <= reach)
    const functions = near ? [] : enclosingFunctions(node)
    const above = functions.some((fn) =>
      notes.some((note) => note.position >= fn.getFullStart() && note.position < fn.getStart(source, false)),
    )
    if (!near && !above) report(line, `${name} has no ordering comment and no "atomic:" comment`)
  }
}

function collectLetters(files) {
  const letters = new Map()
  for (const file of files) {
    for (const note of file.comments.letters) {
      const id = `${file.layer}/${note.letter}`
      const other = letters.get(id)
      if (other)
        file.report(
          note.firstLine,
          `letter ${note.letter} is taken in this layer by ${other.file.name}:${other.firstLine + 1}`,
        )
      else
        letters.set(id, { ...note, id, file, names: enclosingNames(file.source, note.position, file.name) })
    }
  }
  return letters
}

function checkPairs(note, letters) {
  const { file, letter, firstLine } = note
  for (const pair of note.pairs) {
    const id = `${pair.layer ?? file.layer}/${pair.letter}`
    const partner = letters.get(id)
    if (!partner) file.report(firstLine, `${letter} pairs with ${id}, which does not exist`)
    else {
      const namesBack = partner.pairs.some(
        ({ layer, letter }) => `${layer ?? partner.file.layer}/${letter}` === note.id,
      )
      if (!namesBack) file.report(firstLine, `${letter} pairs with ${id}, which does not name it back`)
      const found =
        partner.names.includes(pair.where) ||
        pair.where.split('.').every((name) => partner.names.includes(name))
      if (!found)
        file.report(
          firstLine,
          `${letter} looks for ${id} in ${pair.where}, but it is in ${partner.names.join(', in ')}`,
        )
    }
  }
}

function checkMutants(files, entries) {
  const known = new Set(entries.map((entry) => entry.name))
  const named = new Set()
  const problems = []
  for (const file of files) {
    for (const { name, line } of file.comments.mutants) {
      named.add(name)
      if (!known.has(name)) file.report(line, `mutant ${name} is not in mutants/`)
    }
  }
  for (const { name, entryFile } of entries) {
    if (!named.has(name))
      problems.push({ file: entryFile, line: 1, message: `no comment names the mutant ${name}` })
  }
  return problems
}

if (isMain(import.meta.url)) {
  const { problems, letters, accesses } = checkOrdering(repositoryRoot)
  reportProblems(
    'ordering',
    problems,
    `${accesses} atomic accesses explained, ${letters} ordering comments paired`,
  )
}
