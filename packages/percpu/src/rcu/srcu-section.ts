import { endUnlessOffline } from '../machine/ending.js'
import { SrcuMisuseError } from './srcu-errors.js'
import { showAs } from '../inspect.js'
import { ensureStack, SOME } from '../stack.js'
import { ofThisThread } from '../unsendable.js'

/** A read section, until {@link end} or the end of its `using` block. */
export class SrcuSection {
  static {
    showAs(this, ({ isOpen }) => ({ isOpen }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

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
    // It is over, or can be ended again. Mutant: rcu/srcu-section-lost.
    ensureStack(SOME)
    const end = this.#end
    this.#end = undefined
    end()
  }
  /** Ends it unless {@link end} has. Nothing once this CPU is offline. */
  [Symbol.dispose](): void {
    if (this.#end) endUnlessOffline(() => this.end())
  }
}
