/** Servers in processes of their own, and wrk, which loads them. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Absent, type Effort } from './harness/suite.js'

export const CONNECTIONS = 32
const LOOK_MILLISECONDS = 50
/** The `percpu` command. */
export const command = fileURLToPath(new URL('../bin/percpu.js', import.meta.resolve('percpu-console')))

/** A server in a process of its own. */
export class Server {
  readonly child: ChildProcess
  url = ''

  constructor(args: readonly string[], node = process.execPath) {
    this.child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  }
  /** Resolves once a line of its log has a URL. */
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
  /** Resolves once the service of addresses has published its table. */
  async published(): Promise<void> {
    for (;;) {
      const health = (await (await fetch(`${this.url}/health`)).json()) as { readonly generation: number }
      if (health.generation > 0) return
      await setTimeout(LOOK_MILLISECONDS)
    }
  }
  async close(): Promise<void> {
    const ended = once(this.child, 'exit')
    this.child.kill()
    await ended
  }
}

export interface Load {
  /** Requests a second. */
  readonly rate: number
  /** Milliseconds within which half were answered, and 99 of 100. */
  readonly usual: number
  readonly late: number
}

/** What wrk measures. @throws Absent */
export async function load(url: string, { roundTime }: Effort, more: readonly string[] = []): Promise<Load> {
  const seconds = Math.max(1, Math.round(roundTime / 8))
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', ...more, url]
  try {
    const { stdout } = await promisify(execFile)('wrk', args)
    const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
    const within = (share: string) => {
      const [, number, unit] = new RegExp(`${share}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? []
      return Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's']
    }
    return { rate, usual: within('50'), late: within('99') }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Absent('no wrk here')
    throw error
  }
}
