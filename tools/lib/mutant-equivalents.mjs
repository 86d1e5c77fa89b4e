// Mutants that no test can kill, since they change nothing that anybody could see. They are listed
// in mutants/equivalent.json, and are not drawn:
//
//     [
//       {
//         "file": "packages/percpu/src/cpus/idle.ts",
//         "line": "the line that the mutation begins in, without the blanks around it",
//         "previous": "the line before it",
//         "at": 2,
//         "kind": "moved bound",
//         "before": "at < end",
//         "after": "at <= end",
//         "because": "one line: why nobody can see it"
//       }
//     ]
//
// "kind", "before" and "after" are what `npm run mutants:random` prints. "previous" is needed only
// where the rest fits mutants of several lines, and "at" where it fits several of one: which of
// them, from 1. So an entry holds until its line changes. One that fits nothing any more is a
// problem.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { mutationsOf } from './mutations/index.mjs'

export const equivalentsFile = 'mutants/equivalent.json'

const required = ['file', 'line', 'kind', 'before', 'after', 'because']

/**
 * Reads the list below `root`. Gives `{ isEquivalent, problems }`: a function of a source file's
 * path and one of its mutations, and what is wrong with the list.
 */
export function readEquivalents(root) {
  const { entries, problems } = parse(root)
  const known = new Map()
  for (const file of new Set(entries.map((entry) => entry.file))) {
    const found = new Set()
    known.set(file, found)
    const { mutations, lines } = mutationsIn(root, file)
    for (const entry of entries.filter((other) => other.file === file)) {
      const all = mutations.filter((mutation) => fits(entry, mutation, lines))
      const fitting = entry.at === undefined ? all : all.slice(entry.at - 1, entry.at)
      if (fitting.length === 1) found.add(placeOf(fitting[0]))
      else problems.push(problem(misfit(entry, fitting.length)))
    }
  }
  return {
    isEquivalent: (file, mutation) => known.get(file)?.has(placeOf(mutation)) ?? false,
    problems,
  }
}

function parse(root) {
  const file = path.join(root, equivalentsFile)
  if (!existsSync(file)) return { entries: [], problems: [] }
  const all = JSON.parse(readFileSync(file, 'utf8'))
  const problems = all.flatMap((entry) => faults(entry).map(problem))
  return { entries: all.filter((entry) => faults(entry).length === 0), problems }
}

function faults(entry) {
  const isText = (key) => typeof entry[key] === 'string' && entry[key].trim() !== ''
  const messages = required
    .filter((key) => !isText(key))
    .map((key) => `${entry.file}: "${key}" must be a text`)
  for (const key of Object.keys(entry))
    if (![...required, 'previous', 'at'].includes(key)) messages.push(`${entry.file}: unknown key "${key}"`)
  return messages
}

function problem(message) {
  return { file: equivalentsFile, line: 1, message }
}

function misfit({ file, line, kind, before, after }, count) {
  const mutant = `${file}: ${kind}: ${before} → ${after} in "${line}"`
  return count === 0
    ? `${mutant}: there is no such mutant`
    : `${mutant}: fits ${count} mutants; say "previous" or "at"`
}

function mutationsIn(root, file) {
  if (!existsSync(path.join(root, file))) return { mutations: [], lines: [] }
  const text = readFileSync(path.join(root, file), 'utf8')
  return { mutations: mutationsOf(file, text), lines: text.split('\n').map((line) => line.trim()) }
}

function fits(entry, mutation, lines) {
  return (
    ['kind', 'before', 'after'].every((key) => entry[key] === mutation[key]) &&
    entry.line === lines[mutation.line - 1] &&
    (entry.previous === undefined || entry.previous === lines[mutation.line - 2])
  )
}

function placeOf({ start, end, text }) {
  return `${start} ${end} ${text}`
}
