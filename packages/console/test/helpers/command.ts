/** The real `percpu` command as a child process. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { LogLine } from './service.js'

const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command to its end. `env`: beside what this process has. */
export async function percpu(
  args: readonly string[],
  input?: string | Readable,
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [executable, ...args], {
    stdio: 'pipe',
    env: { ...process.env, ...env },
  })
  if (typeof input === 'object') input.pipe(child.stdin)
  else child.stdin.end(input)
  child.stdin.on('error', () => undefined)
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: await stdout, stderr: await stderr }
}

async function collect(stream: Readable): Promise<string> {
  let text = ''
  for await (const piece of stream.setEncoding('utf8') as AsyncIterable<string>) text += piece
  return text
}

/** `percpu serve`, of which each line of the log can be waited for. */
export class ServeProcess {
  readonly child: ChildProcess
  readonly lines: LogLine[] = []
  readonly #waiting: {
    readonly matches: (line: LogLine) => boolean
    readonly resolve: (line: LogLine) => void
  }[] = []
  readonly #exit: Promise<number | null>
  #position = 0
  #stderr = ''

  /** Killed after the test at the latest. */
  constructor(t: Pick<TestContext, 'after'>, args: readonly string[], nodeOptions: readonly string[] = []) {
    const child = spawn(process.execPath, [...nodeOptions, executable, 'serve', '--port', '0', ...args], {
      stdio: 'pipe',
    })
    this.child = child
    this.#exit = once(child, 'exit').then(([code]) => code as number | null)
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    createInterface(child.stdout).on('line', (text) => {
      this.lines.push(JSON.parse(text) as LogLine)
      this.#tell()
    })
    t.after(() => child.kill('SIGKILL'))
  }

  get stderr(): string {
    return this.#stderr
  }

  /**
   * The next line with this message, from the last one waited for on. Rejects if the process ends
   * first.
   */
  async line(message: RegExp): Promise<LogLine> {
    const found = new Promise<LogLine>((resolve) => {
      this.#waiting.push({ matches: ({ msg }) => message.test(msg), resolve })
      this.#tell()
    })
    const ended = this.#exit.then((code) => {
      throw new Error(`ended with ${code} before it logged ${message.source}: ${this.#stderr}`)
    })
    return Promise.race([found, ended])
  }

  /** The first line with this message of all. Rejects as {@link line} does. */
  async said(message: RegExp): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find(({ msg }) => message.test(msg))
      if (found) return found
      await this.line(/^/)
    }
  }

  /** The URL, once it listens. */
  async url(): Promise<string> {
    return String((await this.line(/^listening$/))['url'])
  }

  /** Waits for the end, and gives the exit code. */
  ended(): Promise<number | null> {
    return this.#exit
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal)
    return this.#exit
  }

  #tell(): void {
    const waiter = this.#waiting[0]
    if (!waiter) return
    const at = this.lines.findIndex((line, i) => i >= this.#position && waiter.matches(line))
    const line = this.lines[at]
    if (!line) return
    this.#position = at + 1
    this.#waiting.shift()
    waiter.resolve(line)
    this.#tell()
  }
}
