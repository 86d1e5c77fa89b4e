/**
 * Makes a machine watchable from other processes: a local socket that answers with inspections. For
 * `percpu top`.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Machine, Monitor } from 'percpu'
import { FileError } from '../errors.js'
import { Lines, MAX_EVERY, MIN_EVERY, type Report, type Subscription } from './protocol.js'
import { listenAt } from './socket-file.js'

export interface InspectionServer {
  readonly path: string
  /** Ends the connections and removes the socket, if it is still the one that was made. */
  close(): Promise<void>
}

/** How far a client may fall behind, bytes, before inspections are left out for it. */
const BACKLOG = 1 << 20
const REQUEST_LIMIT = 1000

/**
 * Serves inspections of the machine on a local socket (on Windows the name of a pipe). CPUs are
 * asked for signs of life only while somebody watches. A socket on which nobody listens any more is
 * replaced, nothing else: neither another process's socket nor a file of another kind.
 *
 * @throws FileError if the path cannot be listened on, or something is there that is not replaced.
 */
export async function serveInspection(machine: Machine, path: string): Promise<InspectionServer> {
  const watchers = new Watchers(machine)
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    watchers.add(socket)
  })
  server.unref()
  let removeFile: () => void
  try {
    removeFile = await listenAt(server, path)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot serve inspections on ${path}: ${message}`, { file: path }, { cause: error })
  }
  return {
    path,
    async close() {
      removeFile()
      const closed = once(server, 'close')
      server.close()
      watchers.close()
      await closed
    },
  }
}

/** The clients, and the monitor that runs while there are any that stay. */
class Watchers {
  readonly #machine: Machine
  readonly #sockets = new Set<Socket>()
  readonly #intervals = new Map<Socket, number>()
  #monitor: Monitor | undefined

  constructor(machine: Machine) {
    this.#machine = machine
  }

  add(socket: Socket): void {
    const lines = new Lines(REQUEST_LIMIT)
    let timer: NodeJS.Timeout | undefined
    this.#sockets.add(socket)
    socket.setEncoding('utf8')
    socket.on('error', () => {
      socket.destroy()
    })
    socket.on('close', () => {
      clearInterval(timer)
      this.#sockets.delete(socket)
      this.#intervals.delete(socket)
      this.#adjust()
    })
    socket.on('end', () => {
      if (!timer) this.#send(socket, true)
      else socket.end()
    })
    socket.on('data', (piece) => {
      const every = request(lines, String(piece))
      if (every === 'bad') socket.destroy()
      if (typeof every !== 'number' || timer) return
      this.#intervals.set(socket, every)
      this.#adjust()
      this.#send(socket, false)
      timer = setInterval(() => {
        this.#send(socket, false)
      }, every)
      timer.unref()
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #send(socket: Socket, isLast: boolean): void {
    if (socket.writableLength > BACKLOG) return
    const report: Report = {
      protocol: 1,
      pid: process.pid,
      title: process.title,
      inspection: this.#machine.watch.inspect({ dispatches: 5 }),
    }
    socket.write(`${JSON.stringify(report)}\n`)
    if (isLast) socket.end()
  }

  /** Heartbeats as often as the most eager client looks. */
  #adjust(): void {
    const interval = Math.min(...this.#intervals.values())
    if (this.#monitor?.interval === interval) return
    this.#monitor?.stop()
    this.#monitor = interval === Infinity ? undefined : this.#machine.watch.monitor({ interval })
  }
}

/** The interval that a client asks for; undefined if it has not said yet. */
function request(lines: Lines, piece: string): number | undefined | 'bad' {
  try {
    const [line] = lines.push(piece)
    if (line === undefined) return undefined
    const { every } = JSON.parse(line) as Partial<Subscription>
    return typeof every === 'number' && every >= MIN_EVERY && every <= MAX_EVERY ? Math.round(every) : 'bad'
  } catch {
    return 'bad' // neither JSON nor short: the client is cut off
  }
}
