/** How often what is counted happens, by the second. */
export class Rates {
  #before = new Map()

  /** Since the count before of this name, at an earlier time in ms; undefined for the first. */
  of(name, at, count) {
    const before = this.#before.get(name)
    this.#before.set(name, { at, count })
    if (!before || at <= before.at || count < before.count) return undefined
    return ((count - before.count) / (at - before.at)) * 1000
  }

  clear() {
    this.#before.clear()
  }
}
