/** A server of NATS of one's own, and connections to it that can be cut. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { temporaryFolder } from './files.js'
import { missing } from './programs.js'

/** Why there is no server here, or false. */
export function noNats(): string | false {
  return missing('nats-server', 'apt-get install nats-server')
}

/** `nats-server` with JetStream, on a port and a folder that stay. Killed after the test. */
export class NatsServer {
  readonly port: number
  readonly #folder: string
  readonly #options: readonly string[]
  #process: ChildProcess | undefined

  private constructor(port: number, folder: string, options: readonly string[]) {
    this.port = port
    this.#folder = folder
    this.#options = options
  }

  static async start(t: TestContext, options: readonly string[] = []): Promise<NatsServer> {
    const isPlain = options.includes('--plain')
    const store = await temporaryFolder(t)
    const given = options.filter((option) => option !== '--plain')
    const server = new NatsServer(await freePort(), store, isPlain ? given : ['-js', '-sd', store, ...given])
    t.after(() => server.kill())
    await server.start()
    return server
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  /** Resolves when it is ready; with what it has kept, after {@link kill}. */
  async start(): Promise<void> {
    const args = ['-a', '127.0.0.1', '-p', String(this.port), ...this.#options]
    const server = spawn('nats-server', args, { cwd: this.#folder, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process = server
    let log = ''
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('exit', () => reject(new Error(`nats-server has ended:\n${log}`)))
      server.stderr.on('data', (data) => {
        log = `${log}${String(data)}`.slice(-10_000)
        if (log.includes('Server is ready')) resolve()
      })
    })
  }

  /** At once, as a crash. */
  async kill(): Promise<void> {
    const server = this.#process
    this.#process = undefined
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Lies between a node and its server. `cut` ends connections, `stall` lets nothing through. */
export class Link {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly #target: number
  #state: 'open' | 'cut' | 'stalled' = 'open'

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((socket) => this.#connect(socket))
  }

  static async to(t: TestContext, { port }: NatsServer): Promise<Link> {
    const link = new Link(port)
    link.#server.listen(0, '127.0.0.1')
    await once(link.#server, 'listening')
    t.after(() => {
      link.cut()
      link.#server.close()
    })
    return link
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  cut(): void {
    this.#state = 'cut'
    for (const [one, other] of this.#pairs) {
      one.destroy()
      other.destroy()
    }
  }
  stall(): void {
    this.#state = 'stalled'
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }
  letGo(): void {
    this.#state = 'open'
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  #connect(near: Socket): void {
    if (this.#state === 'cut') {
      near.destroy()
      return
    }
    const far = createConnection(this.#target, '127.0.0.1')
    const pair = [near, far] as const
    this.#pairs.add(pair)
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on('data', (data) => to.write(data))
      from.on('error', () => undefined)
      from.on('close', () => {
        to.destroy()
        this.#pairs.delete(pair)
      })
      if (this.#state === 'stalled') from.pause()
    }
  }
}

/** Asks again and again, until it is so. The limit is for what never comes. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  milliseconds = 60_000,
): Promise<void> {
  const limit = performance.now() + milliseconds
  while (!(await isSo())) {
    if (performance.now() > limit) throw new Error(`not within ${milliseconds / 1000} s: ${what}`)
    await pause(10)
  }
}
