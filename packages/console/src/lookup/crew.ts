/**
 * Who answers for `percpu lookup`. All look up in the same packed rows.
 *
 *     the first addresses    this thread, in the file: before all rows could be read
 *     those behind them      this thread, in memory: before a worker could start
 *     all others             a pool of workers
 */
import type { Machine } from 'percpu'
import type { AddressRules } from '../address/rules.js'
import { SPARE_CPUS } from '../serve/settings.js'
import type { PackedRows } from '../table/packed.js'
import type { LookupTable } from '../table/lookup-table.js'
import { PackedTable } from '../table/packed-table.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import type { FilePart } from './file-part.js'
import type { PlaceOf } from './jobs.js'
import type { PartRunner } from './parts.js'
import type { LookupPool } from './pool.js'
import type { BatchFormat, BatchResult } from './protocol.js'
import type { BatchRunner } from './stream.js'

/** Bytes of addresses that this thread answers from the file: some 15 ms. */
const FIRST_BYTES = 4096
/** Bytes of addresses that this thread answers: some 20 ms more. */
export const OWN_BYTES = 2 ** 20

export interface CrewOptions {
  /** For the first addresses. */
  readonly first: LookupTable
  /** All rows, for the others. */
  readonly rows: () => Promise<{ readonly ipv4: PackedRows; readonly ipv6: PackedRows }>
  /** Columns of data. */
  readonly fields: readonly string[]
  readonly rules: AddressRules
  readonly workers: number
  /** Bytes for what the workers have in common, but for the table. */
  readonly memory: number
}

interface Workers {
  readonly machine: Machine
  readonly pool: LookupPool
}

export class Crew implements BatchRunner, PartRunner {
  readonly #options: CrewOptions
  readonly #first: AnswerWriter
  #rows: ReturnType<CrewOptions['rows']> | undefined
  #own: AnswerWriter | undefined
  #ownBytes = 0
  #starting: Promise<Workers> | undefined
  #workers: Workers | undefined

  constructor(options: CrewOptions) {
    this.#options = options
    this.#first = new AnswerWriter(options.first, options.rules)
  }

  /** Whether there are workers. */
  get hasWorkers(): boolean {
    return this.#workers !== undefined
  }

  async run(bytes: Uint8Array<ArrayBuffer>, format: BatchFormat, signal?: AbortSignal): Promise<BatchResult> {
    this.#ownBytes += bytes.length
    if (this.#ownBytes <= FIRST_BYTES) return answerBatch(this.#first, bytes, format)
    if (this.#ownBytes <= OWN_BYTES) return answerBatch(await this.#ownWriter(), bytes, format)
    const { pool } = await this.#started()
    return pool.run(bytes, format, signal)
  }

  /** As the workers do it: {@link LookupPool.runPart}. */
  async runPart(part: FilePart, format: BatchFormat, output: number, place: PlaceOf): Promise<undefined> {
    const { pool } = await this.#started()
    return pool.runPart(part, format, output, place)
  }

  recycle(buffer: ArrayBuffer): void {
    this.#workers?.pool.recycle(buffer)
  }

  async close(): Promise<void> {
    const workers = await this.#starting?.catch(() => undefined)
    await workers?.pool.close()
    await workers?.machine.offline()
  }

  /** They are read once. */
  #allRows(): ReturnType<CrewOptions['rows']> {
    return (this.#rows ??= this.#options.rows())
  }
  async #ownWriter(): Promise<AnswerWriter> {
    const { ipv4, ipv6 } = await this.#allRows()
    const { fields, rules } = this.#options
    return (this.#own ??= new AnswerWriter(new PackedTable(ipv4, ipv6, fields), rules))
  }

  #started(): Promise<Workers> {
    return (this.#starting ??= this.#start())
  }
  /** The library is loaded here: it takes longer than to answer an address. */
  async #start(): Promise<Workers> {
    const [{ boot }, { LookupPool }, { ipv4, ipv6 }] = await Promise.all([
      import('percpu'),
      import('./pool.js'),
      this.#allRows(),
    ])
    const { fields, rules, workers, memory } = this.#options
    const machine = boot({ memory, cpus: Math.min(256, workers + SPARE_CPUS) })
    const table = { ipv4: ipv4.memory, ipv6: ipv6.memory }
    this.#workers = { machine, pool: new LookupPool(machine, { workers, table, fields, rules }) }
    return this.#workers
  }
}
