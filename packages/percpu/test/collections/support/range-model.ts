/** Ranges as a sorted array, in the simplest way: what a SharedRangeMap is compared with. */
import type { RangeKeyKind, RangeKeys } from 'percpu'

/** Keys of a kind in their order. */
export interface Order<K> {
  readonly least: K
  readonly greatest: K
  readonly compare: (one: K, other: K) => number
  readonly next: (key: K) => K | undefined
  readonly previous: (key: K) => K | undefined
}

function numbers(greatest: number): Order<number> {
  return {
    least: 0,
    greatest,
    compare: (one, other) => one - other,
    next: (key) => (key === greatest ? undefined : key + 1),
    previous: (key) => (key === 0 ? undefined : key - 1),
  }
}
const text = (key: Uint8Array): string => String.fromCharCode(...key)
const ofText = (key: string): Uint8Array => Uint8Array.from(key, (each) => each.charCodeAt(0))

export const orders: { readonly [Kind in RangeKeyKind]: Order<RangeKeys[Kind]> } = {
  u32: numbers(2 ** 32 - 1),
  u53: numbers(2 ** 53 - 1),
  u128: {
    least: 0n,
    greatest: 2n ** 128n - 1n,
    compare: (one, other) => Number(one > other) - Number(one < other),
    next: (key) => (key === 2n ** 128n - 1n ? undefined : key + 1n),
    previous: (key) => (key === 0n ? undefined : key - 1n),
  },
  bytes: {
    least: ofText(''),
    greatest: ofText('\xff'.repeat(255)),
    compare: (one, other) => Number(text(one) > text(other)) - Number(text(one) < text(other)),
    next: (key) => {
      if (key.length < 255) return ofText(`${text(key)}\0`)
      const short = text(key).replace(/\xff+$/, '')
      if (short === '') return undefined
      return ofText(short.slice(0, -1) + String.fromCharCode(short.charCodeAt(short.length - 1) + 1))
    },
    previous: (key) => {
      if (key.length === 0) return undefined
      const rest = text(key).slice(0, -1)
      const last = key[key.length - 1] ?? 0
      return ofText(last === 0 ? rest : (rest + String.fromCharCode(last - 1)).padEnd(255, '\xff'))
    },
  },
}

export interface ModelRange<K, V> {
  from: K
  to: K
  value: V
}

export class RangeModel<K, V> {
  ranges: ModelRange<K, V>[] = []
  readonly #order: Order<K>
  readonly #isEqual: (one: V, other: V) => boolean

  constructor(order: Order<K>, isEqual: (one: V, other: V) => boolean = Object.is) {
    this.#order = order
    this.#isEqual = isEqual
  }

  set(from: K, to: K, value: V): void {
    this.delete(from, to)
    this.ranges.push({ from, to, value })
    this.#merge()
  }
  delete(from: K, to: K): boolean {
    const { compare, next, previous } = this.#order
    const pieces: ModelRange<K, V>[] = []
    let found = false
    for (const range of this.ranges) {
      if (compare(range.to, from) < 0 || compare(range.from, to) > 0) {
        pieces.push(range)
        continue
      }
      found = true
      if (compare(range.from, from) < 0) pieces.push({ ...range, to: previous(from) as K })
      if (compare(range.to, to) > 0) pieces.push({ ...range, from: next(to) as K })
    }
    this.ranges = pieces
    this.#merge()
    return found
  }
  clear(): void {
    this.ranges = []
  }
  find(key: K): ModelRange<K, V> | undefined {
    const { compare } = this.#order
    return this.ranges.find(({ from, to }) => compare(from, key) <= 0 && compare(to, key) >= 0)
  }
  before(key: K): ModelRange<K, V> | undefined {
    return this.ranges.findLast(({ to }) => this.#order.compare(to, key) < 0)
  }
  after(key: K): ModelRange<K, V> | undefined {
    return this.ranges.find(({ from }) => this.#order.compare(from, key) > 0)
  }
  within(from: K, to: K): ModelRange<K, V>[] {
    const { compare } = this.#order
    return this.ranges.filter((range) => compare(range.to, from) >= 0 && compare(range.from, to) <= 0)
  }

  #merge(): void {
    const { compare, next } = this.#order
    this.ranges.sort((one, other) => compare(one.from, other.from))
    const merged: ModelRange<K, V>[] = []
    for (const range of this.ranges) {
      const last = merged.at(-1)
      const behind = last && next(last.to)
      if (
        last &&
        behind !== undefined &&
        compare(behind, range.from) === 0 &&
        this.#isEqual(last.value, range.value)
      )
        merged[merged.length - 1] = { ...last, to: range.to }
      else merged.push(range)
    }
    this.ranges = merged
  }
}
