// The long form of the kill tests: workers are terminated in the middle of what they do with the
// structures of each layer.
//
//     npm run torture:kill -- [--kills 1000] [--seed 11] [--stop] [LAYER ...]
//
// `--kills` is for each layer, of which there are five unless some are named. `--stop` also stops
// the whole process at random, for up to 3 seconds (SIGSTOP), and lets it go on (SIGCONT). The
// exit code is that of the tests. PERCPU_KILLS and PERCPU_SEED say the same as the options.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { isMain, readCommandLine, repositoryRoot } from './lib/cli.mjs'

/** The layers that have a kill test. */
export const layers = ['sync', 'alloc', 'percpu', 'rcu', 'collections']
/** Milliseconds: of the longest stop, and from one stop to the next. */
const LONGEST_STOP = 3000
const BETWEEN_STOPS = 1000

/** What the command line asks for. @throws Error with what is wrong. */
export function readOptions(args, env = process.env) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      kills: { type: 'string' },
      seed: { type: 'string' },
      stop: { type: 'boolean', default: false },
    },
  })
  const kills = number('kills', values.kills ?? env.PERCPU_KILLS ?? '1000')
  const seed = values.seed ?? env.PERCPU_SEED
  const unknown = positionals.filter((name) => !layers.includes(name))
  if (unknown.length > 0)
    throw new Error(`there is no kill test of ${unknown.join(', ')}: ${layers.join(', ')}`)
  return {
    kills,
    seed: seed === undefined ? undefined : number('seed', seed),
    stop: values.stop,
    layers: positionals.length > 0 ? positionals : layers,
  }
}

function number(name, text) {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new Error(`--${name} ${text} is no whole number from 1 on`)
}

/**
 * Runs the kill tests, one layer after the other. Resolves with the first exit code that is not 0,
 * or 0, and with how often the process was stopped.
 */
export async function tortureKill({ kills, seed, stop, layers: wanted }, stdio = 'inherit') {
  const env = { ...process.env, PERCPU_KILLS: String(kills) }
  if (seed !== undefined) env.PERCPU_SEED = String(seed)
  // Run by a test of Node's runner, this is not part of that run.
  delete env.NODE_TEST_CONTEXT
  let stops = 0
  for (const layer of wanted) {
    const test = path.join(repositoryRoot, `packages/percpu/dist-test/${layer}/kill.test.js`)
    const child = spawn(process.execPath, ['--test-reporter=spec', test], { env, stdio })
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => resolve(code ?? 1))
    })
    const counting = stop ? stopAtRandom(child, ended) : 0
    const code = await ended
    stops += await counting
    if (code !== 0) return { code, stops }
  }
  return { code: 0, stops }
}

/** Stops the process and lets it go on, over and over, until it ends. Resolves with how often. */
async function stopAtRandom(child, ended) {
  let over = false
  const end = ended.then(() => (over = true))
  const pause = (milliseconds) => {
    let timer
    const passed = new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)))
    return Promise.race([end, passed]).finally(() => clearTimeout(timer))
  }
  let stops = 0
  while (!over) {
    await pause(Math.random() * BETWEEN_STOPS)
    if (over || !child.kill('SIGSTOP')) break
    stops++
    // Most are short: each third one is longer than what anybody waits for a lock.
    await pause(Math.random() * (stops % 3 === 0 ? LONGEST_STOP : LONGEST_STOP / 20))
    child.kill('SIGCONT')
  }
  return stops
}

async function main() {
  const options = readCommandLine(readOptions)
  if (options === undefined) return
  const { code, stops } = await tortureKill(options)
  const stopped = options.stop ? `, ${stops} stops` : ''
  if (code === 0)
    console.log(`${options.kills} kills in each of ${options.layers.join(', ')}${stopped}: clean`)
  process.exitCode = code
}

if (isMain(import.meta.url)) await main()
