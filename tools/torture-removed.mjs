// Whether `percpu torture --walk` notices that a protection of the page tables is removed: it is
// run with mutants of mutants/, one after the other, each in a private copy of the built workspace.
//
//     npm run torture:removed -- [--seconds 30] [NAME ...]
//
// NAME is one of the protections below; all are removed in turn unless some are named. The exit
// code is 1 if a run of so many seconds does not fail.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { isMain, readCommandLine, repositoryRoot } from './lib/cli.mjs'
import { createCompiler } from './lib/compile.mjs'
import { inLanes } from './lib/lanes.mjs'
import { mutatedText, readRegistry } from './lib/mutant-registry.mjs'

/** What is removed, by the name of the mutant that does so. */
export const protections = {
  'pagetable/round-unwaited': 'who changes tables waits for nobody',
  'pagetable/walks-unasked': 'who changes tables does not look for counted walks',
  'paging/pin-unchecked': 'who pins a page does not look for who changes it',
}

/** @throws Error with what is wrong. */
export function readOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '30' } },
  })
  const seconds = Number(values.seconds)
  if (!(seconds >= 1 && seconds <= 3600)) throw new Error(`--seconds ${values.seconds}: expected 1 to 3600`)
  const names = Object.keys(protections)
  const unknown = positionals.filter((name) => !names.includes(name))
  if (unknown.length > 0) throw new Error(`there is no protection ${unknown.join(', ')}: ${names.join(', ')}`)
  return { seconds, names: positionals.length > 0 ? positionals : names }
}

/** Gives a row for each: whether a run failed, as it should, and after how many seconds. */
export async function tortureRemoved(root, { seconds, names }, progress = () => undefined) {
  const { entries } = readRegistry(root)
  const compile = createCompiler(root)
  const rows = []
  await inLanes(root, 1, names, async (copy, name) => {
    const entry = entries.find((one) => one.name === name)
    if (entry === undefined) throw new Error(`there is no mutant ${name}`)
    const { errors, output, js } = compile(entry.file, mutatedText(root, entry))
    if (errors) throw new Error(`${name} does not compile: ${errors.join('; ')}`)
    const restore = await copy.replace([{ output, js }])
    const row = { name, ...(await torture(copy.path, seconds)) }
    restore()
    rows.push(row)
    progress(row)
  })
  return rows
}

/** Runs until it fails, for so many seconds at most. */
async function torture(directory, seconds) {
  const command = path.join(directory, 'packages/console/bin/percpu.js')
  const args = ['torture', '--walk', '--json', '--seconds', String(seconds)]
  const child = spawn(process.execPath, [command, ...args], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece) => (text += piece))
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  const result = JSON.parse(text)
  return { isCaught: result.verdict === 'FAILURE', seconds: result.seconds, failures: result.failures }
}

function formatRow({ name, isCaught, seconds, failures }) {
  const found = Object.keys(failures).join(', ') || 'nothing'
  return `${isCaught ? 'caught' : 'MISSED'}  ${String(seconds).padStart(5)} s  ${name.padEnd(26)} ${protections[name]}: ${found}`
}

async function main() {
  const options = readCommandLine(readOptions)
  if (options === undefined) return
  const rows = await tortureRemoved(repositoryRoot, options, (row) => console.log(formatRow(row)))
  process.exitCode = rows.every(({ isCaught }) => isCaught) ? 0 : 1
}

if (isMain(import.meta.url)) await main()
