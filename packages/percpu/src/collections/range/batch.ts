/** Changes that are made together. */
import { checkFunction, isSafely, refused } from '../../machine/check.js'
import { isThenable } from '../../thenable.js'
import { checkSource } from '../sources.js'
import { showAs } from '../../inspect.js'
import type { Change } from './edit.js'
import type { RangePoint } from './keys.js'
import type { Shape } from './node.js'

export const RANGES = 'ranges'

/** A range and its value. A list of two ends the range. */
export type RangeChange<K, V> = readonly [from: RangePoint<K>, to: RangePoint<K>, value?: V]

/**
 * A change whose parts are checked, and as they are stored.
 *
 * @throws ArgumentError; EntryTooLargeError.
 */
export function changeOf<K, V>(
  { keys, values }: Shape<K, V>,
  from: RangePoint<K>,
  to: RangePoint<K>,
  value: V | undefined,
): Change<K> {
  // First the value: its encoding may run code of the user's.
  const stored = value === undefined ? undefined : values.take(value)
  const first = keys.take('from', from as K)
  // Of a single key one copy is enough.
  const change = { from: first, to: to === from ? first : keys.take('to', to as K), value: stored }
  if (keys.compare(change.from, change.to) > 0)
    throw refused('from', from, 'not before `to`, nor the same', { to })
  return change
}

/** What `batch` gives its callback: it notes what is to be changed when that has returned. */
export class RangeBatch<K, V> {
  static {
    showAs(this, (batch) => ({ changes: batch.#changes.length }))
  }
  readonly #shape: Shape<K, V>
  readonly #changes: (Change<K> | undefined)[]
  readonly #isOpen: () => boolean

  /** @internal */
  constructor(shape: Shape<K, V>, changes: (Change<K> | undefined)[], isOpen: () => boolean) {
    this.#shape = shape
    this.#changes = changes
    this.#isOpen = isOpen
  }

  /** As `set` of the map. @throws ArgumentError, also after the callback; EntryTooLargeError. */
  set(from: RangePoint<K>, to: RangePoint<K>, value: V): this {
    this.#note(setOf(this.#shape, from, to, value))
    return this
  }
  /** As `delete` of the map. @throws as {@link set}. */
  delete(from: RangePoint<K>, to: RangePoint<K>): void {
    this.#note(changeOf(this.#shape, from, to, undefined))
  }
  /** As `clear` of the map. @throws as {@link set}. */
  clear(): void {
    this.#note(undefined)
  }

  #note(change: Change<K> | undefined): void {
    if (!this.#isOpen()) throw refused('batch', this, 'not under way any more')
    this.#changes.push(change)
  }
}

/** As {@link changeOf}, with a value. */
export function setOf<K, V>(shape: Shape<K, V>, from: RangePoint<K>, to: RangePoint<K>, value: V): Change<K> {
  if (value === undefined) throw refused('value', value, 'no value: delete the range instead')
  return changeOf(shape, from, to, value)
}

/** Lets `work` note changes; undefined among them: everything ends. @throws what `work` throws. */
export function noteChanges<K, V>(
  shape: Shape<K, V>,
  work: (batch: RangeBatch<K, V>) => unknown,
): readonly (Change<K> | undefined)[] {
  checkFunction('changes', work)
  const changes: (Change<K> | undefined)[] = []
  let isOpen = true
  try {
    const result = work(new RangeBatch(shape, changes, () => isOpen))
    if (isThenable(result)) throw refused('changes', work, 'one that returns a promise: nothing was changed')
  } finally {
    isOpen = false
  }
  return changes
}

/** The changes of a list. @throws ArgumentError; EntryTooLargeError; what iterating throws. */
export function* listChanges<K, V>(
  shape: Shape<K, V>,
  what: string,
  list: Iterable<RangeChange<K, V>>,
  needsValue: boolean,
): Generator<Change<K>, void> {
  checkSource(what, list, RANGES, false)
  for (const item of list) yield listedChange(shape, what, item, needsValue)
}
/** One of a list. @throws ArgumentError; EntryTooLargeError. */
export function listedChange<K, V>(
  shape: Shape<K, V>,
  what: string,
  item: RangeChange<K, V>,
  needsValue: boolean,
): Change<K> {
  if (!isSafely(() => Array.isArray(item))) throw refused(what, item, 'no list of `from`, `to` and a value')
  const [from, to, value] = item
  // What is undefined by mistake ends nothing. Mutant: collections/range-ended-by-mistake.
  const isSet = needsValue || item.length > 2
  return isSet ? setOf(shape, from, to, value as V) : changeOf(shape, from, to, undefined)
}
