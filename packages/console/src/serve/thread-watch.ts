/**
 * Looks after threads: names one that is stuck while it is stuck, and has it replaced if it stays
 * so.
 *
 *     a heartbeat unanswered     logged with the label of its work; it gets no more work
 *     it answers                 it gets work again
 *     silent for `patience`      its thread is ended; its crew cleans up, starts another one, and
 *                                gives its work to others, if that is possible
 *
 * A batch of any length answers heartbeats in between (see batch-worker.ts), so silence means that
 * something does not end, or that the thread gets no processor time. It is counted in heartbeats of
 * this thread: a process that was stopped for an hour and goes on has missed one.
 */
import type { BlockedEvent, DiedEvent, Machine, Monitor } from 'percpu'
import type { Logger } from 'pino'

/** Milliseconds between heartbeats, unless the patience is less than two of them. */
const HEARTBEAT = 1000

/** What the threads of a crew are called in the log: the field of the place, and the noun. */
const NOUNS = { worker: 'a worker', front: 'a thread that answers requests' } as const

/** Threads in places, in each of which another one is started when one ends. */
export interface Crew {
  readonly kind: keyof typeof NOUNS
  /**
   * Gives the thread that is this CPU no work for the time being. Returns its place; undefined if
   * it is none of the crew.
   */
  suspend(cpu: number): number | undefined
  /** Takes {@link suspend} back. */
  resume(cpu: number): number | undefined
  /** Ends the thread in this place, wherever it is; another one takes its place. */
  replace(place: number): Promise<void>
  /** `tell` is called when the thread in a place has ended. */
  onLost(tell: (place: number) => void): void
}

interface Stuck {
  readonly crew: Crew
  readonly place: number
  readonly work: string | undefined
  /** Heartbeats for which it has been silent. */
  heartbeats: number
}

export class ThreadWatch {
  readonly #crews: Crew[] = []
  readonly #logger: Logger
  readonly #machine: Machine
  readonly #monitor: Monitor
  /** Heartbeats in a row that a thread may leave unanswered. */
  readonly #limit: number
  /** By CPU. */
  readonly #stuck = new Map<number, Stuck>()
  #timer: NodeJS.Timeout | undefined
  #expectsDeaths = false

  /** `patience`: how long a thread may give no sign of life, ms; a heartbeat more or less. */
  constructor(machine: Machine, patience: number, logger: Logger) {
    this.#logger = logger
    this.#machine = machine
    const interval = Math.max(1, Math.min(HEARTBEAT, Math.floor(patience / 2)))
    this.#limit = Math.ceil(patience / interval)
    const monitor = machine.watch.monitor({ interval })
    monitor.on('blocked', (event) => this.#isBlocked(event))
    monitor.on('recovered', ({ cpu, blockedFor }) => this.#hasRecovered(cpu, blockedFor))
    monitor.on('died', (event) => this.#died(event))
    this.#monitor = monitor
  }

  /** Looks after these, too. */
  add(crew: Crew): void {
    this.#crews.push(crew)
    crew.onLost((place) => this.#forget(crew, place))
  }

  /** From now on threads are ended on purpose: their deaths are no news. */
  expectDeaths(): void {
    this.#expectsDeaths = true
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#monitor.stop()
  }

  #isBlocked({ cpu, heartbeats, inspection: { work } }: BlockedEvent): void {
    const found = this.#place(cpu, 'suspend')
    // What is in no crew reads a table, and computes for long: nobody waits for it.
    const level = found ? 'warn' : 'debug'
    const named = found ? placeOf(found) : {}
    this.#logger[level]({ ...named, cpu, work: work?.label, heartbeats }, 'a thread is stuck')
    if (!found) return
    this.#stuck.set(cpu, { ...found, work: work?.label, heartbeats: 1 })
    this.#timer ??= setInterval(() => this.#count(), this.#monitor.interval).unref()
  }

  #hasRecovered(cpu: number, blockedFor: number): void {
    const found = this.#place(cpu, 'resume')
    if (found) this.#stuck.delete(cpu)
    const seconds = Math.round(blockedFor) / 1000
    const named = found ? placeOf(found) : {}
    this.#logger.info({ ...named, cpu, seconds }, 'a thread that was stuck goes on')
  }

  #died({ cpu, postMortem }: DiedEvent): void {
    if (this.#expectsDeaths) return
    this.#logger.warn({ cpu, work: postMortem?.work?.label }, 'a thread died on its CPU')
  }

  #count(): void {
    for (const [cpu, stuck] of this.#stuck) {
      if (this.#answered(cpu) || ++stuck.heartbeats < this.#limit) continue
      this.#stuck.delete(cpu)
      const { crew, place, work, heartbeats } = stuck
      const noun = NOUNS[crew.kind]
      this.#logger.error({ ...placeOf(stuck), cpu, work, heartbeats }, `${noun} stays stuck: it is replaced`)
      void crew.replace(place)
    }
    if (this.#stuck.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Has its crew know of it. */
  #place(cpu: number, how: 'suspend' | 'resume'): Pick<Stuck, 'crew' | 'place'> | undefined {
    for (const crew of this.#crews) {
      const place = crew[how](cpu)
      if (place !== undefined) return { crew, place }
    }
    return undefined
  }
  #forget(crew: Crew, place: number): void {
    for (const [cpu, stuck] of this.#stuck)
      if (stuck.crew === crew && stuck.place === place) this.#stuck.delete(cpu)
  }

  /** Whether it has answered since the last heartbeat, which the monitor tells at its next one. */
  #answered(cpu: number): boolean {
    const { cpus } = this.#machine.watch.inspect({ dispatches: 0 })
    return cpus.find((candidate) => candidate.cpu === cpu)?.silentFor === undefined
  }
}

function placeOf({ crew, place }: Pick<Stuck, 'crew' | 'place'>): Readonly<Record<string, number>> {
  return { [crew.kind]: place }
}
