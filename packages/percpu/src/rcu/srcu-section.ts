import { SrcuMisuseError } from './srcu-errors.js'

/** A read section, until {@link end} or the end of its `using` block. */
export class SrcuSection {
  #end: (() => void) | undefined

  /** @internal `srcu.section()` */
  constructor(end: () => void) {
    this.#end = end
  }
  /** Whether it has not ended yet. */
  get isOpen(): boolean {
    return this.#end !== undefined
  }
  /** @throws SrcuMisuseError the second time; OfflineError. */
  end(): void {
    if (!this.#end) throw new SrcuMisuseError('this section has ended before')
    const end = this.#end
    this.#end = undefined
    end()
  }
  [Symbol.dispose](): void {
    if (this.#end) this.end()
  }
}
