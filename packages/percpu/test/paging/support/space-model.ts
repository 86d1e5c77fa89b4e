/** An address space as plain maps: what each page allows, and what each word has. */
export interface Flags {
  readonly write: boolean
}
export class SpaceModel {
  readonly pages = new Map<number, Flags>()
  readonly words = new Map<number, number>()

  fork(): SpaceModel {
    const copy = new SpaceModel()
    for (const [page, flags] of this.pages) copy.pages.set(page, flags)
    for (const [word, value] of this.words) copy.words.set(word, value)
    return copy
  }
  #each(from: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => from + i)
  }
  /** Returns what the call gives: a code, or undefined. */
  map(from: number, count: number, write: boolean): string | undefined {
    const pages = this.#each(from, count)
    if (pages.some((page) => this.pages.has(page))) return 'PERCPU_AREA_OVERLAP'
    for (const page of pages) this.pages.set(page, { write })
    return undefined
  }
  unmap(from: number, count: number): void {
    for (const page of this.#each(from, count)) this.pages.delete(page)
    for (const word of [...this.words.keys()]) {
      const page = word >> 10
      if (page >= from && page < from + count) this.words.delete(word)
    }
  }
  protect(from: number, count: number, write: boolean): string | undefined {
    const pages = this.#each(from, count)
    if (pages.some((page) => !this.pages.has(page))) return 'PERCPU_FAULT'
    for (const page of pages) this.pages.set(page, { write })
    return undefined
  }
  write(word: number, value: number): string | undefined {
    if (this.pages.get(word >> 10)?.write !== true) return 'PERCPU_FAULT'
    this.words.set(word, value)
    return undefined
  }
  read(word: number): number | string {
    return this.pages.has(word >> 10) ? (this.words.get(word) ?? 0) : 'PERCPU_FAULT'
  }
}
