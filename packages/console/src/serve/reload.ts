/**
 * Reloads the table on demand: one load at a time, and however many are asked for meanwhile become
 * one more.
 */
import type { Machine } from 'percpu'
import { TableRefusedError, type Problem } from '../errors.js'
import { loadTable, type LoadedTable, type LoadOptions } from '../table/load.js'
import { rowsOf, type TableMaps } from '../table/maps.js'
import type { TableFiles } from '../table/read.js'
import { changeOf, type RowCounts } from '../table/row-counts.js'

export interface ReloadOutcome {
  /** Why it was asked for: the first reason, if several requests became one. */
  readonly reason: string
  readonly at: Date
  readonly table: LoadedTable | undefined
  /** Why the table before stayed. */
  readonly error: Error | undefined
  readonly problems: readonly Problem[]
  /** Ranges in the files, as far as they could be read; undefined if they could not. */
  readonly rows: RowCounts | undefined
  /**
   * Ranges that the files have more than the table before them, negative: fewer. Undefined if they
   * could not be read.
   */
  readonly change: RowCounts | undefined
}

export interface ReloaderOptions {
  readonly machine: Machine
  /** Name of the table, and its maps on this thread. */
  readonly name: string
  readonly maps: Pick<TableMaps, 'ipv4' | 'ipv6'>
  readonly files: TableFiles
  /** Percent of a family's ranges, 0 to 100, that may be missing in the next table. */
  readonly maxShrink: number
  readonly onOutcome: (outcome: ReloadOutcome) => void
}

/** Of one load. */
type OwnOptions = Pick<LoadOptions, 'onProgress' | 'rows'>

export class Reloader {
  readonly #options: ReloaderOptions
  readonly #stop = new AbortController()
  #running: Promise<ReloadOutcome> | undefined
  #next: Promise<ReloadOutcome> | undefined
  #last: ReloadOutcome | undefined

  constructor(options: ReloaderOptions) {
    this.#options = options
  }

  get last(): ReloadOutcome | undefined {
    return this.#last
  }
  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /**
   * Never rejects: see {@link ReloadOutcome.error}. Resolves with the outcome of a load that began
   * after this call.
   */
  request(reason: string, options: OwnOptions = {}): Promise<ReloadOutcome> {
    if (!this.#running) {
      this.#running = this.#load(reason, options).finally(() => (this.#running = undefined))
      return this.#running
    }
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      return this.request(reason)
    })
    return this.#next
  }

  /** Gives up the load that is running, and all that are asked for from now on. */
  stop(): void {
    this.#stop.abort()
  }

  /** When no load is running and none is waiting. */
  async settled(): Promise<void> {
    while (this.#running ?? this.#next) await (this.#next ?? this.#running)
  }

  async #load(reason: string, options: OwnOptions): Promise<ReloadOutcome> {
    const { machine, name, maps, files, maxShrink, onOutcome } = this.#options
    const at = new Date()
    const served = rowsOf(maps)
    let table: LoadedTable | undefined
    let error: Error | undefined
    try {
      const { signal } = this.#stop
      table = await loadTable(machine, name, files, {
        ...options,
        limit: { served, maxShrink },
        signal,
      })
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown))
    }
    const refusal = error instanceof TableRefusedError ? error : undefined
    const rows = table ? { ipv4: table.rows4, ipv6: table.rows6 } : refusal?.rows
    const change = rows && changeOf(rows, served)
    this.#last = { reason, at, table, error, problems: refusal?.problems ?? [], rows, change }
    onOutcome(this.#last)
    return this.#last
  }
}
