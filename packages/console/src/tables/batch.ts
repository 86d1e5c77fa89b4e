/**
 * `POST /tables/NAME`: many changes and questions, a line of NDJSON each; an answer a line, in
 * their order. All or nothing with `?atomic`.
 */
import { setImmediate } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { codeOf } from '../error-code.js'
import { AbortedError } from '../errors.js'
import { AnswerTooLargeError, BatchResponse } from '../serve/batch-response.js'
import { Refusal } from '../serve/refusal.js'
import { readLines } from './body.js'
import { checkParameters, readFlag, rowJson } from './listing.js'
import { readLine, refusalOf, type Line } from './operations.js'
import { MAX_VALUE_BYTES, type Table } from './table.js'
import type { KeyRange } from './keys.js'
import { RangeSet } from './range-set.js'
import type { Changes, Outcome } from './request.js'

/** Longest line: a value, a key, and what is around them. */
const LINE_BYTES = MAX_VALUE_BYTES + 4096
/** Lines that are answered at a time. */
const LINES = 1000
/** What may be asked for as all or nothing. */
const ATOMIC_LINES = 10_000
const ATOMIC_BYTES = 16 * 2 ** 20
/** Requests under way at once. */
const MAX_BATCHES = 64

export interface BatchContext {
  readonly changes: Changes
  readonly bodyLimit: number
}

export class TableBatches {
  readonly #context: BatchContext
  #active = 0

  constructor(context: BatchContext) {
    this.#context = context
  }

  /** @param mayWrite whether the request has the token */
  async handle(table: Table, mayWrite: boolean, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.hijack()
    const response = new BatchResponse(request.raw, reply.raw)
    this.#active++
    try {
      if (this.#active > MAX_BATCHES)
        throw new Refusal(503, 'BUSY', `${MAX_BATCHES} batches are under way: try again later`)
      const query = new URL(request.url, 'http://localhost').searchParams
      checkParameters(query, ['atomic'])
      const isAtomic = readFlag('atomic', query.get('atomic'))
      const batch = new Batch(table, this.#context.changes, mayWrite, response)
      await (isAtomic ? this.#whole(batch, request) : this.#stream(batch, request))
      await response.end()
    } catch (error) {
      const refusal = failureOf(error)
      if (refusal.status === 500) request.log.error({ err: error }, 'batch failed')
      await response.fail(refusal.status, { error: refusal.message, code: refusal.code })
    } finally {
      this.#active--
    }
  }

  async #stream(batch: Batch, request: FastifyRequest): Promise<void> {
    for await (const lines of readLines(request.raw, this.#context.bodyLimit, LINE_BYTES))
      for (const together of batch.inTurn(lines)) {
        await batch.answer(together, false)
        // Others have their turn.
        await setImmediate()
      }
  }

  async #whole(batch: Batch, request: FastifyRequest): Promise<void> {
    const all: string[] = []
    for await (const lines of readLines(
      request.raw,
      Math.min(ATOMIC_BYTES, this.#context.bodyLimit),
      LINE_BYTES,
    )) {
      all.push(...lines)
      if (all.length > ATOMIC_LINES)
        throw new Refusal(413, 'BODY_TOO_LARGE', `more than ${ATOMIC_LINES} lines cannot be all or nothing`)
    }
    await batch.answer(batch.read(all), true)
  }
}

class Batch {
  readonly #table: Table
  readonly #changes: Changes
  readonly #mayWrite: boolean
  readonly #response: BatchResponse

  constructor(table: Table, changes: Changes, mayWrite: boolean, response: BatchResponse) {
    this.#table = table
    this.#changes = changes
    this.#mayWrite = mayWrite
    this.#response = response
  }

  read(texts: readonly string[]): readonly Line[] {
    return texts.map((text) => readLine(this.#table, text))
  }
  /**
   * Lines that can be answered together: what one of them reads, no other one changes. So each has
   * the answer that it had alone, after those before it.
   */
  *inTurn(texts: readonly string[]): Generator<readonly Line[], undefined> {
    let lines: Line[] = []
    let turn = new Turn(this.#table)
    for (const line of this.read(texts)) {
      if (lines.length === LINES || !turn.takes(line)) {
        yield lines
        lines = []
        turn = new Turn(this.#table)
      }
      turn.add(line)
      lines.push(line)
    }
    if (lines.length > 0) yield lines
  }

  async answer(lines: readonly Line[], isAtomic: boolean): Promise<void> {
    const operations = lines.flatMap((line) => (line.kind === 'write' ? [line.operation] : []))
    if (operations.length > 0 && !this.#mayWrite) throw unauthorized()
    const isRefused = isAtomic && lines.some(({ kind }) => kind === 'bad')
    const outcomes: readonly Outcome[] = isRefused
      ? operations.map(() => ({ made: false, why: 'others', version: undefined }))
      : operations.length === 0
        ? []
        : await this.#changes.write({ table: this.#table, operations, isAtomic })
    if (isAtomic && outcomes.some(({ made }) => !made)) this.#response.status = 409
    if (isRefused) this.#response.status = 409
    let next = 0
    const answers = lines.map((line) =>
      this.#line(line, line.kind === 'write' ? outcomes[next++] : undefined),
    )
    if (answers.length > 0) await this.#response.write(Buffer.from(answers.join('')))
  }

  #line(line: Line, outcome: Outcome | undefined): string {
    if (line.kind === 'bad') return errorLine(line.ends, line.refusal)
    if (line.kind === 'read') {
      const row = this.#table.get(line.range.from)
      return row ? `${rowJson(this.#table, row)}\n` : errorLine(line.ends, noSuchKey())
    }
    if (outcome?.made === true) return `{${line.ends}"version":${outcome.version}}\n`
    return errorLine(line.ends, outcome ? refusalOf(outcome) : new Refusal(500, 'INTERNAL', 'internal error'))
  }
}

/** What the lines that are answered together read and change. */
class Turn {
  readonly #table: Table
  readonly #read = new Set<string>()
  readonly #written = new Set<string>()
  /** In a table of ranges. */
  readonly #reads: RangeSet
  readonly #writes: RangeSet

  constructor(table: Table) {
    this.#table = table
    this.#reads = new RangeSet(table.codec)
    this.#writes = new RangeSet(table.codec)
  }

  takes(line: Line): boolean {
    if (line.kind === 'bad') return true
    const isRead = line.kind === 'read'
    const range = isRead ? line.range : line.operation
    if (!this.#table.spec.isRange) return !(isRead ? this.#written : this.#read).has(this.#idOf(range))
    return !this.#writes.meets(range) && (isRead || !this.#reads.meets(range))
  }
  add(line: Line): void {
    if (line.kind === 'bad') return
    const isRead = line.kind === 'read'
    const range = isRead ? line.range : line.operation
    if (this.#table.spec.isRange) (isRead ? this.#reads : this.#writes).add(range)
    else (isRead ? this.#read : this.#written).add(this.#idOf(range))
  }

  #idOf({ from }: KeyRange): string {
    return String(this.#table.codec.toJson(from))
  }
}

function errorLine(ends: string, { message, code }: Refusal): string {
  return `{${ends}"error":${JSON.stringify(message)},"code":"${code}"}\n`
}

export function noSuchKey(): Refusal {
  return new Refusal(404, 'NO_SUCH_KEY', 'the table says nothing of this key')
}
export function unauthorized(): Refusal {
  return new Refusal(
    401,
    'UNAUTHORIZED',
    'changes need the header `Authorization: Bearer TOKEN`, with the token of this service',
  )
}

function failureOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof AnswerTooLargeError) return new Refusal(505, 'HTTP_VERSION', error.message)
  const code = codeOf(error)
  if (error instanceof AbortedError || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return new Refusal(503, 'ABORTED', 'the batch was given up')
  return new Refusal(500, 'INTERNAL', 'internal error')
}
