// The registry of mutants: one file `mutants/<layer>/<name>.json` for each.
//
//     {
//       "file": "packages/percpu/src/machine/cpu.ts",
//       "find": "exact source text, which occurs exactly once in the file",
//       "replace": "the text of the mutant",
//       "killedBy": "packages/percpu/test/machine/online.test.ts",
//       "because": "one line: what goes wrong without the original",
//       "testName": "pattern",
//       "executions": 40,
//       "seconds": 20
//     }
//
// The test in "killedBy" must fail. The last three are optional: "testName" selects tests by their
// names, "seconds" is a time limit in place of 60. With "executions" an exploration must fail, by
// that execution at the latest, and no other failure counts.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { listFiles } from './cli.mjs'
import { equivalentsFile } from './mutant-equivalents.mjs'

const required = ['file', 'find', 'replace', 'killedBy', 'because']
const optional = { testName: 'string', executions: 'number', seconds: 'number' }

/**
 * Reads the registry below `root`. Gives the valid entries, each with its `name`, and the problems
 * of the others.
 */
export function readRegistry(root) {
  const entries = []
  const problems = []
  for (const relative of listFiles(path.join(root, 'mutants'), [''])) {
    const file = `mutants/${relative}`
    if (file === equivalentsFile) continue
    const messages = []
    const entry = parse(path.join(root, file), messages)
    if (!/^[a-z][\w-]*\/[a-z0-9][\w-]*\.json$/.test(relative))
      messages.push('a mutant is a file mutants/<layer>/<name>.json')
    if (messages.length === 0) messages.push(...faults(root, entry))
    if (messages.length === 0)
      entries.push({ seconds: 60, ...entry, name: relative.replace(/\.json$/, ''), entryFile: file })
    problems.push(...messages.map((message) => ({ file, line: 1, message })))
  }
  return { entries, problems }
}

function parse(file, messages) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    messages.push(`not JSON: ${error.message}`)
    return undefined
  }
}

function faults(root, entry) {
  const messages = []
  for (const key of required) if (typeof entry[key] !== 'string') messages.push(`"${key}" must be a string`)
  for (const [key, value] of Object.entries(entry)) {
    if (required.includes(key)) continue
    if (optional[key] === undefined) messages.push(`unknown key "${key}"`)
    else if (typeof value !== optional[key]) messages.push(`"${key}" must be a ${optional[key]}`)
  }
  if (messages.length > 0) return messages
  if (entry.executions !== undefined && !(Number.isInteger(entry.executions) && entry.executions > 0))
    messages.push('"executions" must be a whole number from 1 on')
  if (entry.because.trim() === '' || entry.because.includes('\n')) messages.push('"because" must be one line')
  if (
    !/^packages\/[^/]+\/test\/.+\.test\.ts$/.test(entry.killedBy) ||
    !existsSync(path.join(root, entry.killedBy))
  ) {
    messages.push(`"killedBy" names no test file: ${entry.killedBy}`)
  }
  const fault = patchFault(root, entry)
  return fault === undefined ? messages : [...messages, fault]
}

function patchFault(root, { file, find, replace }) {
  if (!existsSync(path.join(root, file))) return `there is no file ${file}`
  const count = find === '' ? 0 : readFileSync(path.join(root, file), 'utf8').split(find).length - 1
  if (count !== 1) return `"find" occurs ${count} times in ${file}, not once`
  return find === replace ? '"replace" is the same as "find"' : undefined
}

/** The text of the entry's file with the mutation applied. */
export function mutatedText(root, { file, find, replace }) {
  return readFileSync(path.join(root, file), 'utf8').replace(find, () => replace)
}
