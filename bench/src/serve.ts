/** The lookup service under load, beside a bare server of Node's that answers a constant. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Absent, type Effort, type Measure, type Suite } from './harness/suite.js'

const CONNECTIONS = 32
const command = fileURLToPath(new URL('../bin/percpu.js', import.meta.resolve('percpu-console')))
const ANSWER = JSON.stringify({
  ...{ address: '1.1.1.1', range: { start: '1.1.1.0', end: '1.1.1.255' } },
  ...{ asn: 13335, organisation: 'Cloudflare, Inc.' },
})
const bareServer = `
  const server = require('node:http').createServer((request, response) => {
    response.setHeader('content-type', 'application/json; charset=utf-8')
    response.end(${JSON.stringify(ANSWER)})
  })
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: 'http://127.0.0.1:' + server.address().port })))`

/** A server in a process of its own. */
class Server {
  readonly child: ChildProcess
  url = ''

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  }
  /** Resolves once a line of its log has a URL, and the table is there if it has one. */
  async ready(): Promise<void> {
    if (this.child.stdout === null) throw new Error('no output')
    for await (const line of createInterface(this.child.stdout)) {
      const { url } = JSON.parse(line) as { readonly url?: string }
      if (url === undefined) continue
      this.url = url
      this.child.stdout.resume()
      return
    }
    throw new Error('the server ended')
  }
  async close(): Promise<void> {
    const ended = once(this.child, 'exit')
    this.child.kill()
    await ended
  }
}

interface Load {
  /** Requests a second. */
  readonly rate: number
  /** Milliseconds within which 99 of 100 were answered. */
  readonly late: number
}

/** What wrk measures. @throws Absent */
async function load(url: string, { roundTime }: Effort): Promise<Load> {
  const seconds = Math.max(1, Math.round(roundTime / 4))
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', `${url}/lookup/1.1.1.1`]
  try {
    const { stdout } = await promisify(execFile)('wrk', args)
    const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
    const [, number, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? []
    return { rate, late: Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'] }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Absent('no wrk here')
    throw error
  }
}

const service = new Server([command, 'serve', '--port', '0', '--no-watch'])
const bare = new Server(['-e', bareServer])
let isOpen = false
async function open(): Promise<void> {
  if (isOpen) return
  isOpen = true
  process.once('exit', () => {
    service.child.kill('SIGKILL')
    bare.child.kill('SIGKILL')
  })
  await Promise.all([service.ready(), bare.ready()])
}

const rateOf =
  (server: Server): Measure =>
  async (effort) =>
    (await load(server.url, effort)).rate
const BARE = 'node:http, a constant'
const rates: Suite = {
  title: 'GET of one address, 32 connections kept alive',
  unit: 'requests/s',
  note: 'wrk with one thread, on the same computer. The bare server has the same answer ready.',
  take: 'highest',
  setUp: open,
  rows: [
    { name: 'percpu serve', role: 'ours', goal: { against: BARE, atLeast: 0.8 }, measure: rateOf(service) },
    { name: BARE, role: 'peer', measure: rateOf(bare) },
  ],
}

const QUIET = 'quiet'
const lateness: Suite = {
  title: 'GET of one address: 99 of 100 are answered within',
  unit: 'ms',
  note: 'As above. During a reload: the table is read again, over and over.',
  take: 'median',
  setUp: open,
  rows: [
    {
      name: 'during a reload',
      role: 'ours',
      goal: { against: QUIET, atMost: 2 },
      measure: async (effort) => {
        service.child.kill('SIGHUP')
        const ticker = setInterval(() => service.child.kill('SIGHUP'), 500)
        try {
          return (await load(service.url, effort)).late
        } finally {
          clearInterval(ticker)
        }
      },
    },
    { name: QUIET, role: 'ours', measure: async (effort) => (await load(service.url, effort)).late },
  ],
  tearDown: async () => {
    await Promise.all([service.close(), bare.close()])
  },
}

export const suites: readonly Suite[] = [rates, lateness]
