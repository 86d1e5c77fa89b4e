/**
 * Brings a table's file into the bucket, once: of all nodes that name the file, one reads it.
 *
 *     claim      TABLE.load is made, with the name of this node        who comes second waits
 *     spec       TABLE.spec says what the table is
 *     rows       each is written unless its key is there already
 *     done       TABLE.load says so: the table is seen, by all nodes
 *
 * Meanwhile TABLE.load is written again and again. If that ends before all is done, the node is
 * gone, and another one takes its place. Whoever was taken for gone finds another revision there,
 * and stops.
 */
import { UsageError } from '../errors.js'
import { keyCodecs } from '../tables/keys.js'
import { readRows } from '../tables/read-rows.js'
import type { TableSource } from '../tables/source.js'
import type { Bucket } from './bucket.js'
import type { Follower } from './follower.js'
import { loadName, rangeName, specName } from './names.js'
import { isOtherRevision } from './refusals.js'

export interface LoadingOptions {
  readonly bucket: Bucket
  readonly follower: Follower
  /** Tells this node from others. */
  readonly node: string
  /** A node that has given no sign for so long is gone. */
  readonly patienceMilliseconds: number
  readonly signal: AbortSignal
}
export interface Loaded {
  /** Undefined: another node has read the file. */
  readonly rows: number | undefined
  readonly lines: number
}

/** Rows that are on their way at once. */
const WINDOW = 500

/**
 * Resolves when the table is seen.
 *
 * @throws what reading the file throws; UsageError for another kind; what writing throws
 */
export async function loadTable(source: TableSource, options: LoadingOptions): Promise<Loaded> {
  const { follower, patienceMilliseconds, signal } = options
  const { name } = source
  let lines = 0
  let rows: number | undefined
  /** When its mark was seen to be new for the last time. */
  let sign = { revision: -1, at: 0 }
  for (;;) {
    signal.throwIfAborted()
    const mark = follower.mark(name)
    if (mark?.done === true) break
    if (mark && mark.revision !== sign.revision) sign = { revision: mark.revision, at: performance.now() }
    const left = mark ? sign.at + patienceMilliseconds - performance.now() : 0
    if (left > 0) {
      await follower.moved(left)
      continue
    }
    const claim = await Claim.take(source, options, mark?.revision ?? 0)
    if (!claim) {
      // Unless its mark has come already.
      if (follower.mark(name)?.revision === mark?.revision) await follower.moved(patienceMilliseconds)
    } else
      try {
        ;({ rows, lines } = await claim.load())
      } finally {
        await claim.end()
      }
  }
  const isRange = follower.table(name)?.spec.isRange
  if (isRange !== undefined && isRange !== source.isRange)
    throw new UsageError(
      `the bucket has table ${name} with ${isRange ? 'ranges (--range)' : 'single keys (--key)'}`,
    )
  return { rows, lines }
}

/** A table that this node reads, until another one takes it. */
class Claim {
  readonly #source: TableSource
  readonly #options: LoadingOptions
  #revision: number
  #isLost = false
  #isDone = false
  /** Writings of the mark, one after the other. */
  #renewals: Promise<void> = Promise.resolve()
  readonly #timer: NodeJS.Timeout

  private constructor(source: TableSource, options: LoadingOptions, revision: number) {
    this.#source = source
    this.#options = options
    this.#revision = revision
    this.#timer = setInterval(() => this.#renew(), options.patienceMilliseconds / 5)
  }

  /** Undefined if another one was faster. */
  static async take(
    source: TableSource,
    options: LoadingOptions,
    before: number,
  ): Promise<Claim | undefined> {
    const { bucket, node } = options
    const found = before === 0 ? await bucket.find(loadName(source.name)) : undefined
    // The mark of a node that has given it back.
    const expected = found?.isDeleted === true ? found.revision : before
    try {
      return new Claim(
        source,
        options,
        await bucket.write(loadName(source.name), markOf(node, false), expected),
      )
    } catch (error) {
      if (isOtherRevision(error)) return undefined
      throw error
    }
  }

  /** Without rows if another node has taken it. */
  async load(): Promise<Loaded> {
    const { bucket, follower, node, signal } = this.#options
    const { name, isRange } = this.#source
    const { keys, rows, skipped } = await readRows(this.#source, follower.table(name)?.spec.keys)
    const spec = { name, keys, isRange }
    await this.#writeNew(specName(name), Buffer.from(JSON.stringify({ keys, isRange })))
    const codec = keyCodecs[keys]
    for (let at = 0; at < rows.length; at += WINDOW) {
      signal.throwIfAborted()
      if (this.#isLost) return { rows: undefined, lines: skipped.lines }
      await Promise.all(
        rows
          .slice(at, at + WINDOW)
          .map((row) => this.#writeNew(rangeName(spec, codec, row), Buffer.from(row.value))),
      )
    }
    clearInterval(this.#timer)
    await this.#renewals
    if (this.#isLost) return { rows: undefined, lines: skipped.lines }
    await bucket.write(loadName(name), markOf(node, true), this.#revision)
    this.#isDone = true
    return { rows: rows.length, lines: skipped.lines }
  }

  /** Another node may begin at once. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewals
    if (this.#isDone || this.#isLost) return
    const { bucket } = this.#options
    await bucket.write(loadName(this.#source.name), undefined, this.#revision).catch(() => undefined)
  }

  #renew(): void {
    const { bucket, node } = this.#options
    this.#renewals = this.#renewals.then(async () => {
      if (this.#isLost) return
      try {
        this.#revision = await bucket.write(loadName(this.#source.name), markOf(node, false), this.#revision)
      } catch {
        // Also where it is not known whether it was written: another one reads the file then.
        this.#isLost = true
      }
    })
  }
  async #writeNew(name: string, value: Uint8Array): Promise<void> {
    try {
      await this.#options.bucket.write(name, value, 0)
    } catch (error) {
      if (!isOtherRevision(error)) throw error
    }
  }
}

function markOf(node: string, done: boolean): Uint8Array {
  return Buffer.from(JSON.stringify({ node, done }))
}
