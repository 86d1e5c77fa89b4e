/** A transitive relation between events, kept closed while pairs are added. */
export class Relation {
  readonly size: number
  readonly #words: number
  readonly #rows: Int32Array

  constructor(size: number, rows?: Int32Array) {
    this.size = size
    this.#words = (size + 31) >>> 5
    this.#rows = rows ?? new Int32Array(size * this.#words)
  }

  clone(): Relation {
    return new Relation(this.size, this.#rows.slice())
  }

  has(from: number, to: number): boolean {
    return ((this.#word(from * this.#words + (to >>> 5)) >>> (to & 31)) & 1) === 1
  }

  /**
   * Adds a pair and the pairs that follow from it. Returns false, and changes nothing, if that
   * would make a cycle.
   */
  add(from: number, to: number): boolean {
    if (from === to || this.has(to, from)) return false
    if (this.has(from, to)) return true
    for (let event = 0; event < this.size; event++)
      if ((event === from || this.has(event, from)) && !this.has(event, to)) this.#join(event, to)
    return true
  }

  #join(event: number, to: number): void {
    const words = this.#words
    for (let word = 0; word < words; word++)
      this.#rows[event * words + word] = this.#word(event * words + word) | this.#word(to * words + word)
    const own = event * words + (to >>> 5)
    this.#rows[own] = this.#word(own) | (1 << (to & 31))
  }

  #word(index: number): number {
    return this.#rows[index] ?? 0
  }
}

/** Two pairs, of which one must be in the relation. */
export interface Choice {
  readonly from: number
  readonly to: number
  readonly orFrom: number
  readonly orTo: number
}

/**
 * Adds one pair of each choice to `relation`, in each way that makes no cycle, until `accept`
 * returns true for one way. Returns whether it did. Choices with one way left are made first, so
 * that few ways are tried. `viable` may tell early that no way of adding more can be accepted.
 */
export function settle(
  relation: Relation,
  choices: readonly Choice[],
  accept: (settled: Relation) => boolean,
  viable: (partial: Relation) => boolean = () => true,
): boolean {
  const open = propagate(relation, choices)
  if (open === undefined || !viable(relation)) return false
  const first = open[0]
  if (first === undefined) return accept(relation)
  const rest = open.slice(1)
  const other = relation.clone()
  if (relation.add(first.from, first.to) && settle(relation, rest, accept, viable)) return true
  return other.add(first.orFrom, first.orTo) && settle(other, rest, accept, viable)
}

/**
 * Makes the choices that have one way left. Returns the ones that have two; undefined if one has
 * none.
 */
function propagate(relation: Relation, choices: readonly Choice[]): Choice[] | undefined {
  let open = [...choices]
  for (;;) {
    const left: Choice[] = []
    for (const choice of open) {
      const { from, to, orFrom, orTo } = choice
      if (relation.has(from, to) || relation.has(orFrom, orTo)) continue
      const first = !relation.has(to, from) && from !== to
      const second = !relation.has(orTo, orFrom) && orFrom !== orTo
      if (!first && !second) return undefined
      if (first && second) left.push(choice)
      else if (first) relation.add(from, to)
      else relation.add(orFrom, orTo)
    }
    if (left.length === open.length) return left
    open = left
  }
}
