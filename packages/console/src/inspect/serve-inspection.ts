/**
 * Makes a machine watchable from other processes: a local socket that answers with inspections, and
 * with what address spaces have. For `percpu top` and `percpu maps`.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { OfflineError, type Machine, type Monitor } from 'percpu'
import { FileError } from '../errors.js'
import { MemoryWatch } from './memory.js'
import {
  Lines,
  MAX_EVERY,
  MIN_EVERY,
  type Report,
  type Sender,
  type SpacesReport,
  type SpacesRequest,
  type Subscription,
} from './protocol.js'
import { attempt, reportOf, sender } from './report.js'
import { listenAt } from './socket-file.js'

export interface InspectionServer {
  readonly path: string
  /** Ends the connections and removes the socket, if it is still the one that was made. */
  close(): Promise<void>
}

/** How far a client may fall behind, bytes, before inspections are left out for it. */
const BACKLOG = 1 << 20
const REQUEST_LIMIT = 1000
/** Entries of each dispatch log that are told. */
const DISPATCHES = 5

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
  readonly #memory: MemoryWatch
  readonly #sockets = new Set<Socket>()
  readonly #intervals = new Map<Socket, number>()
  #monitor: Monitor | undefined

  constructor(machine: Machine) {
    this.#machine = machine
    this.#memory = new MemoryWatch(machine)
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
      if (timer || socket.writableEnded) socket.end()
      else this.#sendLast(socket, () => this.#inspect(false))
    })
    socket.on('data', (piece) => {
      const wanted = request(lines, String(piece))
      if (wanted === 'bad') socket.destroy()
      if (wanted === 'spaces' && !timer) this.#sendLast(socket, () => this.#tellOfSpaces())
      if (typeof wanted !== 'object' || timer || socket.writableEnded) return
      const { every, memory } = wanted
      this.#intervals.set(socket, every)
      this.#adjust()
      this.#send(socket, memory)
      timer = setInterval(() => {
        this.#send(socket, memory)
      }, every)
      timer.unref()
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #send(socket: Socket, memory: boolean): void {
    if (socket.writableLength > BACKLOG) return
    const answer = attempt(() => this.#inspect(memory))
    socket.write(lineOf(answer))
    // There is nothing more to tell.
    if ('error' in answer) socket.end()
  }
  #sendLast(socket: Socket, make: () => Report | SpacesReport): void {
    socket.end(lineOf(attempt(make)))
  }
  #inspect(memory: boolean): Report {
    return reportOf(this.#machine, DISPATCHES, memory ? this.#memory : undefined)
  }
  #tellOfSpaces(): SpacesReport {
    return { ...sender(), spaces: this.#machine.spaces() }
  }

  /** Heartbeats as often as the most eager client looks. */
  #adjust(): void {
    const interval = Math.min(...this.#intervals.values())
    if (this.#monitor?.interval === interval) return
    this.#monitor?.stop()
    this.#monitor = undefined
    if (interval === Infinity) return
    try {
      this.#monitor = this.#machine.watch.monitor({ interval })
    } catch (error) {
      // The clients are told with the next answer.
      if (!(error instanceof OfflineError)) throw error
    }
  }
}

function lineOf(answer: Sender): string {
  return `${JSON.stringify(answer)}\n`
}

/** What a client asks for; undefined if it has not said yet. */
function request(lines: Lines, piece: string): Required<Subscription> | 'spaces' | undefined | 'bad' {
  try {
    const [line] = lines.push(piece)
    if (line === undefined) return undefined
    const { every, memory, spaces } = JSON.parse(line) as Partial<Subscription & SpacesRequest>
    if (spaces === true) return 'spaces'
    if (typeof every !== 'number' || every < MIN_EVERY || every > MAX_EVERY) return 'bad'
    return { every: Math.round(every), memory: memory === true }
  } catch {
    return 'bad' // neither JSON nor short: the client is cut off
  }
}
