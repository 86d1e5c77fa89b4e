/** The `percpu` command with the packaged tables: how soon it answers, and a large file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Measure, Suite } from './harness/suite.js'
import { command, Server } from './server-process.js'

const ADDRESSES = 10_000_000
/** Addresses of a piece of the file. */
const PIECE = 100_000
/** Rounds in which a large file is looked up: each takes seconds. */
const LARGE_ROUNDS = 3

/** Runs `percpu lookup`. Gives the milliseconds from its start to its end. */
async function lookup(args: readonly string[], input = ''): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, [command, 'lookup', ...args], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.end(input)
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`percpu lookup ended with ${code}`)
  return performance.now() - began
}

/** Starts the service. Gives the milliseconds until it has answered. */
async function restart(): Promise<number> {
  const began = performance.now()
  const server = new Server([command, 'serve', '--port', '0'])
  await server.ready()
  const { status } = await fetch(`${server.url}/lookup/1.1.1.1`)
  const took = performance.now() - began
  await server.close()
  if (status !== 200) throw new Error(`the service answered ${status}`)
  return took
}

const starts: Suite = {
  title: 'from the start of a process to its first answer',
  unit: 'ms',
  note:
    'The packaged tables of 515,158 ranges, with the table file that an earlier run has left. ' +
    'The first answer is to a single address; the table is published a second or two later.',
  setUp: async () => {
    await lookup([], '1.1.1.1\n')
  },
  rows: [
    {
      name: 'percpu lookup, one address, to its end',
      role: 'ours',
      goal: { below: 300 },
      measure: () => lookup([], '1.1.1.1\n'),
    },
    { name: 'percpu serve, to a first answer', role: 'ours', goal: { below: 1000 }, measure: restart },
  ],
}

let folder = ''
const file = (name: string) => path.join(folder, name)

/** Addresses drawn by a generator that always gives the same (xorshift, Marsaglia 2003). */
function* addresses(): Generator<string> {
  let x = 2463534242
  for (let left = ADDRESSES; left > 0; left -= PIECE) {
    const lines: string[] = []
    for (let i = 0; i < PIECE; i++) {
      x ^= x << 13
      x ^= x >>> 17
      x ^= x << 5
      lines.push(`${x >>> 24}.${(x >>> 16) & 255}.${(x >>> 8) & 255}.${x & 255}\n`)
    }
    yield lines.join('')
  }
}

function large(workers: number): Measure {
  let rounds = 0
  let best = Infinity
  return async () => {
    if (rounds++ < LARGE_ROUNDS) {
      await rm(file('answers'), { force: true })
      const args = ['--workers', String(workers), '-o', file('answers'), file('addresses')]
      best = Math.min(best, await lookup(args))
    }
    return best / 1000
  }
}
const ONE = '1 worker'
const files: Suite = {
  title: `${ADDRESSES.toLocaleString('en')} addresses from a file to a file`,
  unit: 's',
  note: 'The whole command, to a new file. Workers read and write their parts of the files themselves.',
  setUp: async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'percpu-bench-'))
    await pipeline(Readable.from(addresses()), createWriteStream(file('addresses')))
  },
  rows: [
    { name: '2 workers', role: 'ours', goal: { against: ONE, atMost: 0.56 }, measure: large(2) },
    { name: ONE, role: 'ours', measure: large(1) },
  ],
  tearDown: () => rm(folder, { recursive: true, force: true }),
}

export const suites: readonly Suite[] = [starts, files]
