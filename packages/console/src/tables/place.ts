/**
 * Which change the tables of this node are at, where other nodes make changes, too. One thread
 * makes them here, and says so in words that all threads read which answer requests:
 *
 *     newest     told before changes are applied: no later one is shown
 *     applied    told after: all changes up to this one are shown
 *     lists      how often the list of tables was another one; told before `applied`
 */
import type { Table } from './table.js'
import type { TableSpec } from './change.js'

/** What a thread that answers requests knows of it. */
export interface Place {
  /** No change is shown that is later than this one. */
  readonly newest: number
  /** Waits until all changes up to this one are shown. @throws Refusal */
  reach(sequence: number): Promise<void>
  /** Whether the tables that this thread knows are those that there are. */
  readonly knowsTables: boolean
  learnTables(): Promise<void>
}

const enum Word {
  newest,
  applied,
  lists,
}
const WORDS = 3

export class PlaceWords {
  readonly memory: SharedArrayBuffer
  readonly #words: BigInt64Array<SharedArrayBuffer>

  /** @param memory that of another thread's words; without, they are new */
  constructor(memory = new SharedArrayBuffer(WORDS * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory
    this.#words = new BigInt64Array(memory)
  }

  get newest(): number {
    return this.#load(Word.newest)
  }
  get applied(): number {
    return this.#load(Word.applied)
  }
  get lists(): number {
    return this.#load(Word.lists)
  }

  /** Called before changes up to this one are applied. */
  begin(sequence: number): void {
    if (sequence > this.newest) this.#store(Word.newest, sequence)
  }
  /** Called when the tables are at this change, and no later one is shown. It may go back. */
  moveTo(sequence: number): void {
    this.#store(Word.applied, sequence)
    this.#store(Word.newest, sequence)
  }
  /** Called when there is another table, or one less. */
  countList(): void {
    this.#store(Word.lists, this.lists + 1)
  }

  #load(word: Word): number {
    return Number(Atomics.load(this.#words, word))
  }
  #store(word: Word, value: number): void {
    Atomics.store(this.#words, word, BigInt(value))
  }
}

/** The tables that there are, and the count of their list. */
export interface TableList {
  readonly lists: number
  readonly specs: readonly TableSpec[]
}

export interface RemotePlaceOptions {
  readonly words: PlaceWords
  /** Those of this thread: they are changed here only. */
  readonly tables: Map<string, Table>
  /** The list of which `tables` are. */
  readonly lists: number
  readonly open: (spec: TableSpec) => Table
  /** What the thread that makes the changes answers. */
  readonly ask: {
    readonly list: () => Promise<TableList>
    readonly reach: (sequence: number) => Promise<void>
  }
}

/** The place, in a thread that does not make the changes. */
export class RemotePlace implements Place {
  readonly #options: RemotePlaceOptions
  #lists: number
  #learning: Promise<void> | undefined

  constructor(options: RemotePlaceOptions) {
    this.#options = options
    this.#lists = options.lists
  }

  get newest(): number {
    return this.#options.words.newest
  }
  get knowsTables(): boolean {
    return this.#lists === this.#options.words.lists
  }

  async reach(sequence: number): Promise<void> {
    const { words, ask } = this.#options
    if (words.applied < sequence) await ask.reach(sequence)
  }

  /** What came after it was asked for is not in an answer: it is asked for again. */
  async learnTables(): Promise<void> {
    while (!this.knowsTables) {
      this.#learning ??= this.#learn().finally(() => (this.#learning = undefined))
      await this.#learning
    }
  }

  async #learn(): Promise<void> {
    const { tables, open, ask } = this.#options
    const { lists, specs } = await ask.list()
    const wanted = new Map(specs.map((spec) => [spec.name, spec]))
    for (const { name, spec } of tables.values()) {
      const now = wanted.get(name)
      if (!now || now.keys !== spec.keys || now.isRange !== spec.isRange) tables.delete(name)
    }
    for (const [name, spec] of wanted) if (!tables.has(name)) tables.set(name, open(spec))
    this.#lists = lists
  }
}
