/**
 * Counts of explorations, stored in a JSON file: by test file, then by exploration.
 *
 *     {
 *       "locks/mutex": {
 *         "a mutex lets one CPU in at a time": { "executions": 33, "blocked": 0 }
 *       }
 *     }
 *
 * Several processes may write the file: each writes the part of its own test file.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Count {
  readonly executions: number
  readonly blocked: number
}

type CountsOfFile = Readonly<Record<string, Count>>

/** The counts of one test file. */
export class StoredCounts {
  readonly #path: string
  readonly #file: string
  readonly #stored: CountsOfFile
  readonly #found = new Map<string, Count>()
  readonly #explored = new Set<string>()

  /** `counts` is the JSON file, `file` the name of the test file in it. */
  constructor(counts: URL, file: string) {
    this.#path = fileURLToPath(counts)
    this.#file = file
    this.#stored = read(this.#path)[file] ?? {}
  }

  /** The stored count of an exploration that begins; undefined for one that has none. */
  begin(name: string): Count | undefined {
    if (this.#explored.has(name)) throw new Error(`two explorations of ${this.#file} are named ${name}`)
    this.#explored.add(name)
    return Object.hasOwn(this.#stored, name) ? this.#stored[name] : undefined
  }

  /** Notes the counts of an exploration, for {@link write}. */
  note(name: string, { executions, blocked }: Count): void {
    this.#found.set(name, { executions, blocked })
  }

  /** Names of stored counts whose exploration has not begun. */
  unused(): string[] {
    return Object.keys(this.#stored).filter((name) => !this.#explored.has(name))
  }

  /**
   * Stores the counts that were noted. With `prune`, no other counts of this test file stay stored.
   */
  write(prune: boolean): void {
    locked(`${this.#path}.lock`, () => {
      const all = read(this.#path)
      const kept = prune ? {} : all[this.#file]
      const own = sorted({ ...kept, ...Object.fromEntries(this.#found) })
      const { [this.#file]: _, ...others } = all
      const next = Object.keys(own).length > 0 ? { ...others, [this.#file]: own } : others
      const temporary = `${this.#path}.new`
      writeFileSync(temporary, format(sorted(next)))
      renameSync(temporary, this.#path)
    })
  }
}

function read(path: string): Readonly<Record<string, CountsOfFile>> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, CountsOfFile>
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return {}
    throw error
  }
}

/** One exploration a line: a change of counts is a change of lines. */
function format(all: Readonly<Record<string, CountsOfFile>>): string {
  const files = Object.entries(all).map(([file, counts]) => {
    const lines = Object.entries(counts).map(
      ([name, { executions, blocked }]) =>
        `    ${JSON.stringify(name)}: { "executions": ${executions}, "blocked": ${blocked} }`,
    )
    return `  ${JSON.stringify(file)}: {\n${lines.join(',\n')}\n  }`
  })
  return `{\n${files.join(',\n')}\n}\n`
}

function sorted<Value>(record: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** Milliseconds to wait for a process that writes the file. */
const PATIENCE = 10_000

/** Runs `change` while no other process that uses the lock file does. */
function locked(lock: string, change: () => void): void {
  const end = performance.now() + PATIENCE
  while (!create(lock)) {
    if (performance.now() > end) throw new Error(`another process writes the counts, or has left ${lock}`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  }
  try {
    change()
  } finally {
    rmSync(lock)
  }
}

function create(lock: string): boolean {
  try {
    closeSync(openSync(lock, 'wx'))
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false
    throw error
  }
}
