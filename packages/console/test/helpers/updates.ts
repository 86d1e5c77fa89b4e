/**
 * A collection of numbered rows that one thread changes while others read. Each change of a row is
 * a round of it, and what a row answers tells the row and its round. Two words a row say how many
 * rounds have begun, and how many are done: so any thread knows what a read may give at the time.
 */
import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import type { Machine, MachineHandle } from 'percpu'

/** Words of a family's rows: their first and last keys. */
export interface RowWords {
  readonly starts: Uint32Array
  readonly ends: Uint32Array
}
export interface UpdatesSetup {
  readonly handle: MachineHandle
  readonly collection: 'ipv4' | 'ipv6' | 'names'
  readonly rows: number
  /** Of ranges. */
  readonly words: RowWords
  /** How many rows, the first ones, are met by half of the updates, and of the checks. */
  readonly hot: number
  /** Rounds of each row that have begun, and that are done: atomic words. */
  readonly begun: Int32Array
  readonly done: Int32Array
}

/** Low bits of a value: the number of the row. The others: its round. */
const ROW_BITS = 23
/** In each fourth round a row is not there. */
const isAway = (round: number): boolean => round % 4 === 3
const valueOf = (row: number, round: number): number => round * 2 ** ROW_BITS + row

/** A row's value, and whether all that is beside it is as it should be. */
interface Rows {
  get(row: number, random: (below: number) => number): number | undefined
  set(row: number, value: number | undefined): void
  barrier(): Promise<void>
  verify(): void
  readonly size: number
}

/** Thread-local: a view of the rows, and their checks. */
export class UpdatedRows {
  readonly #setup: UpdatesSetup
  readonly #rows: Rows
  readonly #random: (below: number) => number

  constructor(machine: Machine, setup: UpdatesSetup, random: (below: number) => number) {
    this.#setup = setup
    this.#random = random
    this.#rows =
      setup.collection === 'names'
        ? names(machine)
        : setup.collection === 'ipv4'
          ? ranges4(machine, setup.words)
          : ranges6(machine, setup.words)
  }

  randomRow(): number {
    const { rows, hot } = this.#setup
    return this.#random(this.#random(2) === 0 ? rows : hot)
  }

  /** Makes the next round of a row. */
  update(row: number): void {
    const { begun, done } = this.#setup
    const round = Atomics.add(begun, row, 1) + 1
    this.#rows.set(row, isAway(round) ? undefined : valueOf(row, round))
    Atomics.store(done, row, round)
  }

  check(row: number): void {
    const { begun, done, collection } = this.#setup
    const first = Atomics.load(done, row)
    const value = this.#rows.get(row, this.#random)
    const last = Atomics.load(begun, row)
    for (let round = first; round <= last; round++)
      if (value === (isAway(round) ? undefined : valueOf(row, round))) return
    assert.fail(`row ${row} of ${collection} has ${value}; its rounds are ${first} to ${last}`)
  }

  /** In stretches, as nothing is freed within one. */
  async checkAll(): Promise<void> {
    for (let row = 0; row < this.#setup.rows; row++) {
      this.check(row)
      if (row % 4096 === 0) await setImmediate()
    }
  }

  /** When nobody writes. */
  checkWhole(): void {
    this.#rows.verify()
    const there = this.#setup.done.reduce((sum, round) => sum + (isAway(round) ? 0 : 1), 0)
    assert.equal(this.#rows.size, there)
  }

  barrier(): Promise<void> {
    return this.#rows.barrier()
  }
}

/** Names of the lengths that those of npm have: some with a scope, some with several words. */
export function nameOf(row: number): string {
  const word = (Math.imul(row, 0x9e3779b1) >>> 0).toString(36)
  const scope = row % 3 === 0 ? `@${(row % 9973).toString(36)}-team/` : ''
  return `${scope}${['react', 'node', 'lib', 'eslint-config', 'é'][row % 5]}-${word}`
}

function names(machine: Machine): Rows {
  const map = machine.map('updates.names', { key: 'string', value: 'u32' })
  return {
    get: (row) => map.get(nameOf(row)),
    set: (row, value) => {
      if (value === undefined) map.delete(nameOf(row))
      else map.set(nameOf(row), value)
    },
    barrier: () => map.barrier(),
    verify: () => map.verify({ quiet: true }),
    get size() {
      return map.size
    },
  }
}

function ranges4(machine: Machine, { starts, ends }: RowWords): Rows {
  const map = machine.rangeMap('updates.ipv4', { key: 'u32', value: 'u32' })
  const start = (row: number): number => starts[row] as number
  const end = (row: number): number => ends[row] as number
  return {
    get: (row, random) => {
      const found = map.find(start(row) + random(end(row) - start(row) + 1))
      if (found && (found.from !== start(row) || found.to !== end(row)))
        assert.fail(`row ${row} has the range ${found.from} to ${found.to}`)
      if (row + 1 < starts.length && end(row) + 1 < start(row + 1) && map.lookup(end(row) + 1) !== undefined)
        assert.fail(`behind row ${row} is a gap no more`)
      return found?.value
    },
    set: (row, value) => {
      if (value === undefined) map.delete(start(row), end(row))
      else map.set(start(row), end(row), value)
    },
    barrier: () => map.barrier(),
    verify: () => map.verify(),
    get size() {
      return map.size
    },
  }
}

/** An address of 128 bits, of its four words. */
export function keyOf(words: Uint32Array, row: number): bigint {
  let key = 0n
  for (const word of words.subarray(row * 4, row * 4 + 4)) key = (key << 32n) | BigInt(word)
  return key
}

function ranges6(machine: Machine, { starts, ends }: RowWords): Rows {
  const map = machine.rangeMap('updates.ipv6', { key: 'u128', value: 'u32' })
  return {
    get: (row, random) => {
      const found = map.find((random(2) === 0 ? starts : ends).subarray(row * 4, row * 4 + 4))
      if (found && (found.from !== keyOf(starts, row) || found.to !== keyOf(ends, row)))
        assert.fail(`row ${row} has the range ${found.from} to ${found.to}`)
      return found?.value
    },
    set: (row, value) => {
      const [from, to] = [keyOf(starts, row), keyOf(ends, row)]
      if (value === undefined) map.delete(from, to)
      else map.set(from, to, value)
    },
    barrier: () => map.barrier(),
    verify: () => map.verify(),
    get size() {
      return map.size
    },
  }
}

/** All rows in their first round, 0. */
export function loadRows(machine: Machine, { collection, rows, words }: UpdatesSetup): void {
  const { starts, ends } = words
  const numbers = Array.from({ length: rows }, (_, row) => row)
  if (collection === 'names')
    machine.map('updates.names', { key: 'string', value: 'u32' }).load(
      numbers.map((row) => [nameOf(row), valueOf(row, 0)]),
      { sizeHint: rows },
    )
  else if (collection === 'ipv4')
    machine
      .rangeMap('updates.ipv4', { key: 'u32', value: 'u32' })
      .load(numbers.map((row) => [starts[row] as number, ends[row] as number, valueOf(row, 0)]))
  else
    machine
      .rangeMap('updates.ipv6', { key: 'u128', value: 'u32' })
      .load(numbers.map((row) => [keyOf(starts, row), keyOf(ends, row), valueOf(row, 0)]))
}
