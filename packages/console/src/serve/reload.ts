/** Reloads the table on demand: one load at a time, and however many are asked for meanwhile become one more. */
import type { Machine } from 'percpu'
import { TableRefusedError, type Problem } from '../errors.js'
import type { TableFiles } from '../table/build.js'
import { loadTable, type LoadedTable, type LoadProgress } from '../table/load.js'

export interface ReloadOutcome {
  /** Why it was asked for: the first reason, if several requests became one. */
  readonly reason: string
  readonly at: Date
  readonly table: LoadedTable | undefined
  /** Why the table before stayed. */
  readonly error: Error | undefined
  readonly problems: readonly Problem[]
}

export class Reloader {
  readonly #machine: Machine
  readonly #root: number
  readonly #files: TableFiles
  readonly #onOutcome: (outcome: ReloadOutcome) => void
  #running: Promise<ReloadOutcome> | undefined
  #next: Promise<ReloadOutcome> | undefined
  #last: ReloadOutcome | undefined

  constructor(
    machine: Machine,
    root: number,
    files: TableFiles,
    onOutcome: (outcome: ReloadOutcome) => void,
  ) {
    this.#machine = machine
    this.#root = root
    this.#files = files
    this.#onOutcome = onOutcome
  }

  get last(): ReloadOutcome | undefined {
    return this.#last
  }
  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Never rejects: see {@link ReloadOutcome.error}. Resolves with the outcome of a load that began after this call. */
  request(reason: string, onProgress?: (progress: LoadProgress) => void): Promise<ReloadOutcome> {
    if (!this.#running) {
      this.#running = this.#load(reason, onProgress).finally(() => (this.#running = undefined))
      return this.#running
    }
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      return this.request(reason)
    })
    return this.#next
  }

  /** When no load is running and none is waiting. */
  async settled(): Promise<void> {
    while (this.#running ?? this.#next) await (this.#next ?? this.#running)
  }

  async #load(reason: string, onProgress?: (progress: LoadProgress) => void): Promise<ReloadOutcome> {
    const at = new Date()
    let table: LoadedTable | undefined
    let error: Error | undefined
    try {
      table = await loadTable(this.#machine, this.#root, this.#files, onProgress)
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown))
    }
    const problems = error instanceof TableRefusedError ? error.problems : []
    this.#last = { reason, at, table, error, problems }
    this.#onOutcome(this.#last)
    return this.#last
  }
}
