/**
 * The only one who changes tables. Requests that come meanwhile are made as a group:
 *
 *     1. conditions are looked at, in the order of requests    nothing is written yet
 *     2. memory is taken for what will be written              none: the group is refused
 *     3. the changes go to the log, in one piece               the disk is full: refused
 *     4. the tables are changed, each by one version;          readers see them from now on
 *        request by request if memory is short all the same
 *     5. requests are answered, and followers told
 *
 * So nobody sees a change that may still be lost, and no answer is given before the change is kept.
 * One group at a time: what a condition was found to be holds until step 4.
 */
import type { Logger } from 'pino'
import { OutOfMemoryError } from 'percpu'
import { StoreFailedError, StoreFullError } from '../errors.js'
import { encodeChange } from './change.js'
import { Refusal } from '../serve/refusal.js'
import { eventOf, type History } from './history.js'
import type { KeyRange } from './keys.js'
import { blocksOf } from './memory.js'
import { RangeSet } from './range-set.js'
import type { Table, Write } from './table.js'

/** What must be true before a change is made. A version is that of just this key or range. */
export type Condition = 'absent' | 'present' | number

export interface Operation extends KeyRange {
  /** JSON in UTF-8. Without, what is there is deleted. */
  readonly value: Uint8Array | undefined
  readonly condition?: Condition | undefined
}
export interface WriteRequest {
  readonly table: Table
  readonly operations: readonly Operation[]
  /** Whether all is made, or nothing. */
  readonly isAtomic: boolean
}

/** What became of an operation. `version` is the new one, or what was found. */
export type Outcome =
  | { readonly made: true; readonly version: number; readonly wasThere: boolean }
  | {
      readonly made: false
      readonly why: 'condition' | 'missing' | 'others'
      readonly version: number | undefined
    }

/** Where changes are kept: a store, or nowhere. */
export interface ChangeLog {
  append(records: readonly { readonly sequence: number; readonly payload: Uint8Array }[]): Promise<void>
}

/** What a front end needs of the writer. */
export interface Changes {
  /** @throws Refusal. Nothing was changed then. */
  write(request: WriteRequest): Promise<readonly Outcome[]>
}

interface Waiting {
  readonly request: WriteRequest
  readonly resolve: (outcomes: readonly Outcome[]) => void
  readonly reject: (error: Error) => void
}
interface Planned {
  readonly waiting: Waiting
  readonly outcomes: readonly Outcome[]
  readonly writes: readonly Write[]
  /** Bytes of values of which rests are written anew: of ranges that are cut. */
  readonly rests: readonly number[]
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
  /** Told of changes that were made. */
  readonly onMade: (table: Table, count: number) => void
  /** What was logged could not be made. Nothing can be answered truly any more. */
  readonly onBroken: (error: Error) => void
}

/** Operations, and bytes of values, that are made at a time. */
const GROUP_OPERATIONS = 10_000
const GROUP_BYTES = 4 * 2 ** 20
/** Requests that may wait. */
export const MAX_WAITING = 4096

export class Writer implements Changes {
  readonly #options: WriterOptions
  readonly #waiting: Waiting[] = []
  /** What waits for the end of a group. */
  readonly #exclusive: (() => Promise<void>)[] = []
  #sequence = 0
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
      try {
        await this.#make(group)
      } catch (error) {
        this.#refuse(
          group.map(({ waiting }) => waiting),
          error,
        )
      }
    }
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
      if (plan.planned.length > 0 && (plan.isFull || !plan.takes(waiting.request))) break
      count++
      try {
        plan.add(waiting)
      } catch (error) {
        this.#refuse([waiting], error)
      }
    }
    this.#waiting.splice(0, count)
    return plan.planned
  }

  /** Steps 2 to 5. */
  async #make(group: readonly Planned[]): Promise<void> {
    const { log, history, reserve, onMade, onBroken } = this.#options
    const byTable = new Map<Table, (readonly Write[])[]>()
    for (const { waiting, writes } of group) {
      const { table, isAtomic } = waiting.request
      const parts = listOf(byTable, table, () => [])
      if (isAtomic) parts.push(writes)
      else for (const write of writes) parts.push([write])
    }
    const all = group.flatMap(({ waiting, writes }) =>
      writes.map((write) => ({ table: waiting.request.table, write })),
    )
    if (all.length > 0) {
      const giveBack = await reserve(
        blocksOf(
          all.map(({ write }) => write),
          group.flatMap(({ rests }) => rests),
        ),
      )
      try {
        await log?.append(
          all.map(({ table, write }) => ({ sequence: write.version, payload: payloadOf(table, write) })),
        )
      } finally {
        giveBack()
      }
      this.#sequence = all.at(-1)?.write.version ?? this.#sequence
      try {
        for (const [table, parts] of byTable) await this.#apply(table, parts)
      } catch (error) {
        onBroken(error instanceof Error ? error : new Error(String(error)))
        throw error
      }
    }
    for (const { waiting, outcomes } of group) waiting.resolve(outcomes)
    for (const [table, parts] of byTable) onMade(table, parts.flat().length)
    for (const { table, write } of all) history.add(eventOf(table, write))
  }
  /**
   * As one version. If memory is short in spite of what was taken, one part after the other, each
   * when what the one before it has replaced is free.
   */
  async #apply(table: Table, parts: readonly (readonly Write[])[]): Promise<void> {
    const writes = parts.flat()
    if (writes.length === 0) return
    try {
      table.apply(writes)
      return
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
    }
    await table.map.barrier()
    if (parts.length === 1) {
      table.apply(writes)
      return
    }
    const half = parts.length >>> 1
    await this.#apply(table, parts.slice(0, half))
    await this.#apply(table, parts.slice(half))
  }
}

/** Which changes a group of requests makes, as far as it goes. */
class Plan {
  readonly planned: Planned[] = []
  /** Versions of single keys that the group has changed, 0: deleted; by table and key. */
  readonly #changed = new Map<Table, Map<string, number>>()
  readonly #ranges = new Map<Table, RangeSet>()
  #sequence: number
  #operations = 0
  #bytes = 0

  constructor(sequence: number) {
    this.#sequence = sequence
  }

  get isFull(): boolean {
    return this.#operations >= GROUP_OPERATIONS || this.#bytes >= GROUP_BYTES
  }

  /** Whether its conditions can be looked at already: a range may be one that the group changes. */
  takes({ table, operations }: WriteRequest): boolean {
    const changed = this.#ranges.get(table)
    return !changed || !operations.some((operation) => changed.meets(operation))
  }

  add(waiting: Waiting): void {
    const { table, operations, isAtomic } = waiting.request
    const sequence = this.#sequence
    const noted: (() => void)[] = []
    const own = new Map<string, number>()
    const ownRanges = new RangeSet(table.codec)
    let [rests, greatest] = [[] as number[], 0]
    let [outcomes, writes] = [[] as Outcome[], [] as Write[]]
    for (const operation of operations) {
      const found = this.#find(table, operation, own)
      // What lies in a range that the request itself has changed is not told.
      const isOwn = table.spec.isRange && ownRanges.meets(operation)
      const why = isOwn
        ? operation.condition === undefined
          ? undefined
          : 'condition'
        : whyNot(operation, found)
      if (why !== undefined) {
        outcomes.push({ made: false, why, version: found && found.version >= 0 ? found.version : undefined })
        continue
      }
      const version = ++this.#sequence
      const { from, to, value } = operation
      outcomes.push({ made: true, version, wasThere: found !== undefined })
      writes.push({ from, to, value, version })
      if (table.spec.isRange) {
        rests.push(...table.restsOf(operation), ...(isOwn ? [greatest, greatest] : []))
        greatest = Math.max(greatest, value?.length ?? 0)
      }
      noted.push(() => this.#note(table, operation, version))
      if (table.spec.isRange) ownRanges.add(operation)
      else own.set(idOf(table, operation), value === undefined ? 0 : version)
    }
    if (isAtomic && outcomes.some(({ made }) => !made)) {
      this.#sequence = sequence
      outcomes = outcomes.map((outcome) =>
        outcome.made ? { made: false, why: 'others', version: undefined } : outcome,
      )
      writes = []
      rests = []
    } else for (const note of noted) note()
    this.planned.push({ waiting, outcomes, writes, rests })
  }

  /** What there is of a key or range when its turn comes. `own`: what this request has changed. */
  #find(
    table: Table,
    range: Operation,
    own: ReadonlyMap<string, number>,
  ): { readonly version: number } | undefined {
    if (table.spec.isRange) {
      const row = table.exact(range)
      // Whatever lies in the range, or partly.
      return row ?? (table.touches(range) ? { version: -1 } : undefined)
    }
    const id = idOf(table, range)
    const version = own.get(id) ?? this.#changed.get(table)?.get(id)
    if (version !== undefined) return version === 0 ? undefined : { version }
    return table.get(range.from)
  }

  #note(table: Table, operation: Operation, version: number): void {
    this.#operations++
    this.#bytes += operation.value?.length ?? 0
    if (table.spec.isRange) listOf(this.#ranges, table, () => new RangeSet(table.codec)).add(operation)
    else
      listOf(this.#changed, table, () => new Map()).set(idOf(table, operation), operation.value ? version : 0)
  }
}

function listOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}

function idOf(table: Table, { from }: KeyRange): string {
  return String(table.codec.toJson(from))
}

/** Why an operation is not made, if it is not. */
function whyNot(
  { value, condition }: Operation,
  found: { readonly version: number } | undefined,
): 'condition' | 'missing' | undefined {
  if (condition === 'absent' && found) return 'condition'
  if (condition === 'present' && !found) return 'condition'
  if (typeof condition === 'number' && found?.version !== condition) return 'condition'
  return value === undefined && !found ? 'missing' : undefined
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
