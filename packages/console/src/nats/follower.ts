/**
 * Makes the tables of this node what a bucket says, and goes on doing so.
 *
 *     start         the whole bucket, then what is written to it, in the order of revisions
 *     after a cut   what was written behind the last revision that was applied; or
 *                   the whole bucket, if that would not do; what is not in it any more goes
 *     each second   the bucket is asked what its last revision is, and how many names it has
 *
 * Behind a revision there may be less than happened: marks of deletion are purged, a bucket is made
 * anew. All names of the bucket are known here once all revisions were heard. So what is known is
 * what is there if, and only if, the numbers of names are equal.
 *
 * The server leaves out what was written over eight times before it could be sent. That happens to
 * who catches up: changes are shown once the revision is there that was the last when it began, as
 * one version of each table. Where there are too many, they are shown before, and `sequence` stays.
 */
import { EventEmitter, once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Machine } from 'percpu'
import { eventOf, type History } from '../tables/history.js'
import type { PlaceWords } from '../tables/place.js'
import type { Table } from '../tables/table.js'
import type { Bucket, BucketState, Heard, Watch } from './bucket.js'
import { FollowedTables, type LoadMark } from './followed.js'

export interface FollowerOptions {
  readonly bucket: Bucket
  readonly machine: Machine
  /** Filled with the tables that clients may see. */
  readonly tables: Map<string, Table>
  readonly history: History
  /** Told of where the tables are. */
  readonly place: PlaceWords
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Told of changes that were made. */
  readonly onMade: (table: Table, count: number) => void
}

/** Changes that are applied although more are known to come. */
const BATCH = 10_000
const PROBE_MILLISECONDS = 1000
/** After something failed. */
const RETRY_MILLISECONDS = 500
/** Questions after which something must have come that is known to be there. */
const PATIENCE = 10
/** Questions after a cut until names must have been counted. */
const MAX_UNCHECKED = 10
/** A node that has not caught up for longer is told to be behind. */
const BEHIND_MILLISECONDS = 5000

export class Follower {
  readonly #options: FollowerOptions
  readonly #followed: FollowedTables
  readonly #events = new EventEmitter<{ moved: [] }>().setMaxListeners(0)
  readonly #waiters = new Set<{ readonly sequence: number; readonly end: (isReached: boolean) => void }>()
  #created = ''
  #sequence = 0
  #caughtUpAt = performance.now()
  #watch: Watch | undefined
  /** Until the whole bucket is there. */
  #whole: Map<string, Heard> | undefined
  #wantsWhole = false
  /** Whether the number of names was found to be right since the last cut. */
  #isChecked = false
  #unchecked = 0
  #trouble: string | undefined
  #pending: Heard[] = []
  #isApplying = false
  /** Questions since anything came. */
  #silence = 0
  #isAsking = false
  #probes: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  readonly #stop = new AbortController()

  constructor(options: FollowerOptions) {
    this.#options = options
    const { machine, tables, place } = options
    this.#followed = new FollowedTables(machine, tables, () => place.countList())
  }

  /** The revision of the bucket which the tables are at. */
  get sequence(): number {
    return this.#sequence
  }
  /** Seconds since the tables were known to be as the bucket; 0 if they are. */
  get behindSeconds(): number {
    const milliseconds = performance.now() - this.#caughtUpAt
    return milliseconds > BEHIND_MILLISECONDS || !this.#options.bucket.isConnected
      ? Math.round(milliseconds / 1000)
      : 0
  }
  /** What keeps it from following, if anything does. */
  get trouble(): string | undefined {
    if (!this.#options.bucket.isConnected) return 'the connection to the server of the bucket is cut'
    return this.#trouble ?? (this.behindSeconds > 0 ? 'this node is behind the bucket' : undefined)
  }
  mark(table: string): LoadMark | undefined {
    return this.#followed.mark(table)
  }
  table(name: string): Table | undefined {
    return this.#followed.table(name)
  }

  /** Resolves when the whole bucket is there. @throws what the first try throws */
  async start(): Promise<void> {
    const { bucket } = this.#options
    bucket.on('change', this.#onConnection)
    this.#probes = setInterval(() => void this.#probe(), PROBE_MILLISECONDS)
    const first = new Promise<void>((resolve, reject) => {
      this.#running = this.#run(resolve, reject)
    })
    await first
  }

  /** Whether the tables are at a revision, or a later one; waits for it if they are not. */
  async reached(sequence: number, milliseconds: number): Promise<boolean> {
    if (this.#sequence >= sequence) return true
    if (this.#stop.signal.aborted) return false
    return new Promise((resolve) => {
      const end = (isReached: boolean) => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        resolve(isReached)
      }
      const waiter = { sequence, end }
      const timer = setTimeout(() => end(false), milliseconds)
      this.#waiters.add(waiter)
    })
  }
  /** Resolves when something was applied, or after so long. */
  async moved(milliseconds: number): Promise<void> {
    const limit = AbortSignal.any([AbortSignal.timeout(Math.ceil(milliseconds)), this.#stop.signal])
    await once(this.#events, 'moved', { signal: limit }).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    for (const { end } of this.#waiters) end(false)
    clearInterval(this.#probes)
    this.#options.bucket.off('change', this.#onConnection)
    this.#watch?.stop()
    await this.#running
  }

  // -----------------------------------------------------------------------------------------------
  // Following.

  async #run(onFirst: () => void, onFailed: (error: unknown) => void): Promise<void> {
    const { bucket, logger } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#follow(onFirst)
      } catch (error) {
        const { name, message } = error as Error
        onFailed(error)
        if (name === 'TimeoutError' && !this.#isCut()) await bucket.reconnect()
        if (!this.#isCut() && this.#trouble !== message)
          logger.warn({ err: error }, 'the bucket cannot be followed; trying again')
        this.#trouble = message
        await pause(RETRY_MILLISECONDS, undefined, { signal }).catch(() => undefined)
      }
      // Whoever is cut off waits until it is not.
      while (this.#isCut() && !this.#stop.signal.aborted)
        await once(bucket, 'change', { signal }).catch(() => undefined)
    }
    onFailed(new Error('stopped'))
  }

  /** Until the watch ends. */
  async #follow(onFirst: () => void): Promise<void> {
    const { bucket } = this.#options
    const { cuts } = bucket
    const before = await bucket.state()
    const goesOn = before.created === this.#created && before.last >= this.#sequence && !this.#wantsWhole
    this.#pending = []
    this.#whole = goesOn ? undefined : new Map()
    this.#isChecked = !goesOn
    this.#unchecked = 0
    this.#silence = 0
    const watch = await bucket.watch(goesOn ? this.#sequence + 1 : 0)
    this.#watch = watch
    try {
      // The server has forgotten a watch that was asked for before a cut.
      if (this.#isCut() || bucket.cuts !== cuts) return
      this.#trouble = undefined
      if (!goesOn && before.names === 0) await this.#replace(before, 0, onFirst)
      for await (const heard of watch) {
        if (this.#watch !== watch) return
        this.#silence = 0
        if (this.#whole) {
          this.#whole.set(heard.name, heard)
          if (heard.isLast || heard.revision >= before.last)
            await this.#replace(before, heard.revision, onFirst)
          continue
        }
        this.#pending.push(heard)
        const isThere = heard.isLast || heard.revision >= before.last
        if ((isThere && watch.waiting() === 0) || this.#pending.length >= BATCH) await this.#apply(isThere)
      }
    } finally {
      if (this.#watch === watch) this.#watch = undefined
      watch.stop()
    }
  }
  #isCut(): boolean {
    return !this.#options.bucket.isConnected || this.#stop.signal.aborted
  }
  #endWatch(): void {
    const watch = this.#watch
    this.#watch = undefined
    watch?.stop()
  }

  async #replace({ created, last }: BucketState, revision: number, onFirst: () => void): Promise<void> {
    const { history, logger, tables, place } = this.#options
    const sequence = Math.max(revision, last)
    // Mutant: nats/place-told-late-whole.
    place.begin(sequence)
    const all = [...(this.#whole?.values() ?? [])].sort((one, other) => one.revision - other.revision)
    this.#isApplying = true
    const isChanged = await this.#followed.replace(all).finally(() => (this.#isApplying = false))
    const isFirst = this.#created === ''
    this.#whole = undefined
    this.#wantsWhole = false
    this.#created = created
    // What was there before the watch began has come, or is gone.
    this.#moveTo(sequence)
    if (!isFirst && !isChanged && history.last === this.#sequence) return
    history.startAt(this.#sequence)
    const sizes = [...tables.values()].map(({ name, size }) => ({ name, entries: size }))
    logger.info({ sequence: this.#sequence, tables: sizes }, 'tables read from the bucket')
    onFirst()
  }

  async #apply(isThere: boolean): Promise<void> {
    const { history, place, onMade } = this.#options
    const batch = this.#pending
    // Before a thread can show any of them. Mutants: nats/place-told-late, nats/place-told-early.
    place.begin(batch.at(-1)?.revision ?? 0)
    this.#isApplying = true
    const made = await this.#followed.apply(batch).finally(() => (this.#isApplying = false))
    this.#pending = []
    const counts = new Map<Table, number>()
    for (const { table, write, revision: sequence } of made) {
      counts.set(table, (counts.get(table) ?? 0) + 1)
      // Some may come again after a cut.
      if (sequence <= history.last) continue
      if (write) history.add(eventOf(table, write))
      else history.add({ sequence, table: table.name, kind: 'reset', data: `{"sequence":${sequence}}` })
    }
    for (const [table, count] of counts) onMade(table, count)
    if (isThere) this.#moveTo(batch.at(-1)?.revision ?? 0)
    this.#events.emit('moved')
    if (!this.#followed.hasStrays) return
    this.#wantsWhole = true
    this.#endWatch()
  }
  #moveTo(sequence: number): void {
    this.#sequence = sequence
    this.#options.place.moveTo(sequence)
    this.#caughtUpAt = performance.now()
    for (const { sequence: awaited, end } of this.#waiters) if (awaited <= sequence) end(true)
  }

  // -----------------------------------------------------------------------------------------------
  // Whether it is still true.

  readonly #onConnection = () => {
    const { bucket, logger } = this.#options
    if (bucket.isConnected) {
      logger.info({ bucket: bucket.name }, 'connected to the bucket again')
      return
    }
    if (!this.#stop.signal.aborted)
      logger.warn({ bucket: bucket.name }, 'cut off from the bucket: the tables can be read, not changed')
    this.#endWatch()
  }

  async #probe(): Promise<void> {
    const { bucket, logger } = this.#options
    const watch = this.#watch
    if (!bucket.isConnected || !watch || this.#isAsking) return
    this.#isAsking = true
    try {
      const state = await bucket.state()
      if (this.#watch !== watch || this.#isApplying) return
      const why = this.#doubt(state)
      if (why === undefined) return
      logger.warn({ bucket: bucket.name }, `the tables are compared with the bucket: ${why}`)
      this.#wantsWhole = true
    } catch (error) {
      if (this.#watch !== watch || this.#isCut()) return
      // Following fails in the same way, says so, and tries again.
      this.#trouble = (error as Error).message
    } finally {
      this.#isAsking = false
    }
    this.#endWatch()
  }
  /** Why the tables may not be what the bucket says. */
  #doubt({ created, last, names }: BucketState): string | undefined {
    this.#silence++
    if (this.#whole) return this.#silence > PATIENCE ? 'nothing came of it' : undefined
    if (created !== this.#created) return 'it was made anew'
    if (last < this.#sequence) return 'it has gone back'
    if (last === this.#sequence && this.#pending.length === 0) {
      if (names !== this.#followed.names) return 'keys are gone that were not deleted'
      this.#isChecked = true
      this.#caughtUpAt = performance.now()
      this.#silence = 0
      return undefined
    }
    if (this.#silence > PATIENCE) return 'its last revision does not come'
    if (!this.#isChecked && ++this.#unchecked > MAX_UNCHECKED) return 'it was not at rest since the last cut'
    return undefined
  }
}
