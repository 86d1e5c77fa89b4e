/**
 * Makes changes by way of the bucket: each key by itself, as the bucket has no transactions over
 * several. A change is answered when the bucket has it, and this node has applied it.
 *
 * The bucket writes only if a key has the revision that it was found to have. So a condition holds
 * at the very moment of the change, whichever node others use.
 */
import { Refusal } from '../serve/refusal.js'
import type { Table } from '../tables/table.js'
import { whyNot, type Changes, type Operation, type Outcome, type WriteRequest } from '../tables/request.js'
import { TIMEOUT_MILLISECONDS, type Bucket, type Found } from './bucket.js'
import type { Follower } from './follower.js'
import { rangeName } from './names.js'
import { isOtherRevision, refusalOf } from './refusals.js'

/** Operations under way. */
const MAX_WAITING = 20_000
/** Of a message, beside its name and value. */
const OVERHEAD_BYTES = 256
/** How often a key may be another one than was found a moment ago. */
const TRIES = 20
const EMPTY = new Uint8Array()

export class BucketWriter implements Changes {
  readonly #bucket: Bucket
  readonly #follower: Follower
  readonly #timeout: number
  readonly #running = new Set<Promise<unknown>>()
  #waiting = 0
  #isClosed = false

  constructor(bucket: Bucket, follower: Follower, timeoutMilliseconds = TIMEOUT_MILLISECONDS) {
    this.#bucket = bucket
    this.#follower = follower
    this.#timeout = timeoutMilliseconds
  }

  get waiting(): number {
    return this.#waiting
  }

  async write({ table, operations, isAtomic }: WriteRequest): Promise<readonly Outcome[]> {
    if (this.#isClosed) throw new Refusal(503, 'STOPPING', 'the service is being stopped')
    this.#assertPossible(table, operations, isAtomic)
    const work = table.spec.isRange ? this.#ranges(table, operations) : this.#keys(table, operations)
    this.#running.add(work)
    this.#waiting += operations.length
    try {
      return await work
    } catch (error) {
      throw refusalOf(error)
    } finally {
      this.#waiting -= operations.length
      this.#running.delete(work)
    }
  }

  /** Answers what is under way, and takes nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#running)
  }

  #assertPossible(table: Table, operations: readonly Operation[], isAtomic: boolean): void {
    const { isConnected, maxPayload } = this.#bucket
    if (isAtomic)
      throw new Refusal(501, 'NOT_SUPPORTED', 'a bucket makes each change by itself: leave out ?atomic')
    if (table.spec.isRange && operations.some(({ condition }) => condition !== undefined))
      throw new Refusal(501, 'NOT_SUPPORTED', 'ranges that a bucket keeps are changed without conditions')
    if (this.#waiting + operations.length > MAX_WAITING)
      throw new Refusal(503, 'BUSY', `${this.#waiting} changes are under way: try again later`)
    for (const operation of operations) {
      const bytes = (operation.value?.length ?? 0) + rangeName(table.spec, table.codec, operation).length
      if (bytes + OVERHEAD_BYTES > maxPayload)
        throw new Refusal(
          413,
          'VALUE_TOO_LARGE',
          `the server of the bucket takes ${maxPayload} bytes at most`,
        )
    }
    if (!isConnected)
      throw new Refusal(503, 'CUT_OFF', 'this node is cut off from the bucket: nothing was changed')
  }

  /** Of one key in their order, of several at once. */
  async #keys(table: Table, operations: readonly Operation[]): Promise<readonly Outcome[]> {
    const last = new Map<string, Promise<Outcome>>()
    return Promise.all(
      operations.map((operation) => {
        const name = rangeName(table.spec, table.codec, operation)
        const before = last.get(name)
        const next = before
          ? before.then(() => this.#key(table, name, operation))
          : this.#key(table, name, operation)
        last.set(name, next)
        return next
      }),
    )
  }

  async #key(table: Table, name: string, operation: Operation): Promise<Outcome> {
    const { value, condition } = operation
    const row = table.get(operation.from)
    if (value && condition === undefined)
      return this.#made(await this.#bucket.write(name, value, undefined, this.#timeout), row !== undefined)
    // What this node has may be old: nothing is refused because of it.
    let found: Found | undefined = row && { revision: row.version, isDeleted: false }
    let isSure = false
    for (let i = 0; i < TRIES; i++) {
      const version = found && !found.isDeleted ? found.revision : undefined
      const why = whyNot(operation, version)
      if (why !== undefined && isSure) return { made: false, why, version }
      if (why === undefined)
        try {
          const revision = await this.#bucket.write(name, value, found?.revision ?? 0, this.#timeout)
          return await this.#made(revision, version !== undefined)
        } catch (error) {
          if (!isOtherRevision(error)) throw error
        }
      found = await this.#bucket.find(name)
      isSure = true
    }
    throw new Refusal(503, 'BUSY', 'others change this key all the time: try again later')
  }

  /** The server has them in the order in which they are sent. */
  async #ranges(table: Table, operations: readonly Operation[]): Promise<readonly Outcome[]> {
    const outcomes: Promise<Outcome>[] = []
    for (const operation of operations) {
      // Whether there is something to delete is seen once all before is applied.
      if (!operation.value) await Promise.all(outcomes)
      const wasThere = table.touches(operation)
      if (!operation.value && !wasThere) {
        outcomes.push(Promise.resolve({ made: false, why: 'missing', version: undefined }))
        continue
      }
      const name = rangeName(table.spec, table.codec, operation)
      // An empty value deletes: marks of deletion may be purged, and what lies below came back.
      const written = this.#bucket.write(name, operation.value ?? EMPTY, undefined, this.#timeout)
      outcomes.push(written.then((revision) => this.#made(revision, wasThere)))
    }
    return Promise.all(outcomes)
  }

  /** @throws Refusal if this node does not hear of it */
  async #made(version: number, wasThere: boolean): Promise<Outcome> {
    if (await this.#follower.reached(version, this.#timeout)) return { made: true, version, wasThere }
    throw new Refusal(
      503,
      'BEHIND',
      `the bucket has the change, as version ${version}; this node has not caught up with it`,
    )
  }
}
