/**
 * The only one who changes tables. Requests that come meanwhile are made as a group:
 *
 *     1. conditions are looked at, in the order of requests    nothing is written yet
 *     2. each table gets a version that nobody finds yet       no memory: each request by itself
 *     3. the changes go to the log, in one piece               the disk is full: refused
 *     4. the versions are published                            readers see them from now on
 *     5. requests are answered, and followers told
 *
 * So nobody sees a change that may still be lost, and no answer is given before the change is kept.
 * What is logged is there in memory already. One group at a time: what a condition was found to be
 * holds until step 4.
 *
 * A request that has no room in one version is refused, if it is all or nothing. Another one is
 * made in parts, for which memory is taken before they are logged.
 */
import type { Logger } from 'pino'
import { OutOfMemoryError } from 'percpu'
import { StoreFailedError, StoreFullError } from '../errors.js'
import { encodeChange } from './change.js'
import { Refusal } from '../serve/refusal.js'
import { eventOf, type History } from './history.js'
import { blocksOf } from './memory.js'
import { listOf, Plan, type Planned, type Waiting } from './plan.js'
import type { Changes, Outcome, WriteRequest } from './request.js'
import type { Table, Write } from './table.js'

/** Where changes are kept: a store, or nowhere. */
export interface ChangeLog {
  append(records: readonly { readonly sequence: number; readonly payload: Uint8Array }[]): Promise<void>
}

export interface WriterOptions {
  readonly history: History
  readonly log: ChangeLog | undefined
  readonly logger: Pick<Logger, 'error' | 'warn'>
  /**
   * Takes blocks of shared memory of these sizes, until the function is called that it returns.
   * @throws OutOfMemoryError
   */
  readonly reserve: (sizes: readonly number[]) => Promise<() => void>
  /** Waits until all that tables replaced before is free. */
  readonly relieve: () => Promise<void>
  /** Told of changes that were made. */
  readonly onMade: (table: Table, count: number) => void
  /** What was logged could not be made. Nothing can be answered truly any more. */
  readonly onBroken: (error: Error) => void
}

/** Requests that may wait. */
export const MAX_WAITING = 4096

export class Writer implements Changes {
  readonly #options: WriterOptions
  readonly #waiting: Waiting[] = []
  /** What waits for the end of a group. */
  readonly #exclusive: (() => Promise<void>)[] = []
  #sequence = 0
  /** So many of the requests that wait are made one by one. */
  #single = 0
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(options: WriterOptions) {
    this.#options = options
    this.#sequence = options.history.last
  }

  /** Sequence number of the last change that was made or is being made. */
  get sequence(): number {
    return this.#sequence
  }
  get waiting(): number {
    return this.#waiting.length
  }

  async write(request: WriteRequest): Promise<readonly Outcome[]> {
    if (this.#isClosed) throw new Refusal(503, 'STOPPING', 'the service is being stopped')
    if (this.#waiting.length >= MAX_WAITING)
      throw new Refusal(503, 'BUSY', `${MAX_WAITING} changes are waiting: try again later`)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      this.#start()
    })
  }

  /**
   * Runs `work` between two groups, before requests that wait, with a sequence number of its own:
   * for what replaces a whole table.
   */
  exclusively<Result>(work: (sequence: number) => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#exclusive.push(() =>
        Promise.resolve()
          .then(() => work(++this.#sequence))
          .then(resolve, reject),
      )
      this.#start()
    })
  }

  /** Answers what is waiting, and takes nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#running) await this.#running
  }

  get #isWanted(): boolean {
    return this.#waiting.length > 0 || this.#exclusive.length > 0
  }
  #start(): void {
    this.#running ??= this.#run().finally(() => this.#ended())
  }
  /** Some may have come since it looked for the last time. */
  #ended(): void {
    this.#running = undefined
    if (this.#isWanted) this.#start()
  }

  async #run(): Promise<void> {
    // Requests of the same turn of the event loop are one group.
    await Promise.resolve()
    while (this.#isWanted) {
      // First: requests may come without end.
      await this.#exclusive.shift()?.()
      const group = this.#plan()
      const requests = group.map(({ waiting }) => waiting)
      try {
        await this.#make(group)
      } catch (error) {
        if (error instanceof OutOfMemoryError && group.length > 1) this.#separate(requests)
        else this.#refuse(requests, error)
      }
    }
  }
  /** Each is made by itself: one that has no room is not refused for the others. */
  #separate(requests: readonly Waiting[]): void {
    this.#waiting.unshift(...requests)
    this.#single = requests.length
  }
  #refuse(requests: readonly Waiting[], error: unknown): void {
    const refusal = refusalOf(error)
    if (refusal.status === 500) this.#options.logger.error({ err: error }, 'a change failed')
    for (const { reject } of requests) reject(refusal)
  }

  /** Step 1. Takes requests that wait, at least one. */
  #plan(): readonly Planned[] {
    const plan = new Plan(this.#sequence)
    let count = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && (this.#single > 0 || plan.isFull || !plan.takes(waiting.request))) break
      count++
      try {
        plan.add(waiting)
      } catch (error) {
        this.#refuse([waiting], error)
      }
    }
    this.#waiting.splice(0, count)
    this.#single = Math.max(0, this.#single - count)
    return plan.planned
  }

  /** Steps 2 to 5. @throws OutOfMemoryError: nothing was changed. */
  async #make(group: readonly Planned[]): Promise<void> {
    const { history, onMade } = this.#options
    const byTable = new Map<Table, Write[]>()
    for (const { waiting, writes } of group)
      if (writes.length > 0) listOf(byTable, waiting.request.table, () => []).push(...writes)
    const all = group.flatMap(({ waiting, writes }) =>
      writes.map((write) => ({ table: waiting.request.table, write })),
    )
    if (all.length > 0) await this.#keep(group, byTable, all)
    for (const { waiting, outcomes } of group) waiting.resolve(outcomes)
    for (const [table, writes] of byTable) onMade(table, writes.length)
    for (const { table, write } of all) history.add(eventOf(table, write))
  }

  /** Steps 2 to 4. @throws as {@link #make}. */
  async #keep(
    group: readonly Planned[],
    byTable: ReadonlyMap<Table, readonly Write[]>,
    all: readonly { readonly table: Table; readonly write: Write }[],
  ): Promise<void> {
    const done = { isLogged: false }
    const log = async () => {
      await this.#options.log?.append(
        all.map(({ table, write }) => ({ sequence: write.version, payload: payloadOf(table, write) })),
      )
      done.isLogged = true
      this.#sequence = all.at(-1)?.write.version ?? this.#sequence
    }
    const around = async ([first, ...others]: readonly (readonly [Table, readonly Write[]])[]) => {
      if (first) await first[0].applyAround(first[1], () => around(others))
      else await log()
    }
    const inParts = async ({ waiting, writes, rests }: Planned) => {
      const giveBack = await this.#options.reserve(blocksOf(writes, rests))
      try {
        await log()
      } finally {
        giveBack()
      }
      await this.#apply(waiting.request.table, writes)
    }
    try {
      try {
        await around([...byTable])
        return
      } catch (error) {
        if (done.isLogged || group.length > 1 || !(error instanceof OutOfMemoryError)) throw error
      }
      const [only] = group
      if (!only) return
      await this.#options.relieve()
      if (only.waiting.request.isAtomic || all.length === 1) await around([...byTable])
      else await inParts(only)
    } catch (error) {
      if (done.isLogged) this.#options.onBroken(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }
  /**
   * As one version. If memory is short in spite of what was taken, one part after the other, each
   * when what the one before it has replaced is free.
   */
  async #apply(table: Table, writes: readonly Write[]): Promise<void> {
    try {
      table.apply(writes)
      return
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
    }
    await table.map.barrier()
    if (writes.length === 1) {
      table.apply(writes)
      return
    }
    const half = writes.length >>> 1
    await this.#apply(table, writes.slice(0, half))
    await this.#apply(table, writes.slice(half))
  }
}

function payloadOf(table: Table, { from, to, value }: Write): Uint8Array {
  const { codec, name } = table
  const ends = { table: name, from: codec.encode(from), to: codec.encode(to) }
  return encodeChange(value === undefined ? { op: 'delete', ...ends } : { op: 'set', ...ends, value })
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof StoreFullError)
    return new Refusal(507, 'DISK_FULL', 'the disk of the data directory is full: nothing was changed')
  if (error instanceof StoreFailedError)
    return new Refusal(
      503,
      'LOG_FAILED',
      'the log cannot be written any more: the service takes no changes until it is started anew',
    )
  if (error instanceof OutOfMemoryError)
    return new Refusal(
      507,
      'MEMORY_FULL',
      'the memory of the service is full (--memory): nothing was changed',
    )
  return new Refusal(500, 'INTERNAL', 'internal error')
}
