/** What a group of requests changes: their conditions are looked at in their order. */
import type { KeyRange } from './keys.js'
import { RangeSet } from './range-set.js'
import { whyNot, type Operation, type Outcome, type WriteRequest } from './request.js'
import type { Table, Write } from './table.js'

/** A request that is not answered yet. */
export interface Waiting {
  readonly request: WriteRequest
  readonly resolve: (outcomes: readonly Outcome[]) => void
  readonly reject: (error: Error) => void
}
export interface Planned {
  readonly waiting: Waiting
  readonly outcomes: readonly Outcome[]
  readonly writes: readonly Write[]
  /** Bytes of values of which rests are written anew: of ranges that are cut. */
  readonly rests: readonly number[]
}

/** Operations, and bytes of values, that are made at a time. */
const GROUP_OPERATIONS = 10_000
const GROUP_BYTES = 4 * 2 ** 20

/** Which changes a group of requests makes, as far as it goes. */
export class Plan {
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
        : whyNot(operation, found?.version)
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

/** What a map has of a key; it is made if it is missing. */
export function listOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}

function idOf(table: Table, { from }: KeyRange): string {
  return String(table.codec.toJson(from))
}
