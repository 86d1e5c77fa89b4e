/**
 * The words that an interrupt handler has ever touched, in any execution so far.
 *
 * A handler runs to its end before the code below it goes on. That matters only for code that touches the same words: a step that does not can be
 * moved from behind the handler to before it. So the entry of a handler depends on the steps of its CPU that conflict with its
 * territory, and on no others. A territory that grows makes what was explored before worthless: the search starts again.
 */
import { CODE, EXIT, MASK, SAFEPOINT, TURN, writes } from './ops.js'
import type { Shadow } from './views.js'

/** What decides whether a step is in a territory. */
interface Footprint {
  readonly code: number
  readonly shadow: Shadow | undefined
  readonly word: number
  readonly words: number
}

export class Territory {
  private readonly words = new Map<Shadow, Map<number, boolean>>()

  constructor(
    /** Handlers that only enter at safepoints depend on every step of their CPU. */
    private readonly everything: boolean,
  ) {}

  /** Adds the words of a step; true if that is news. */
  add({ code, shadow, word, words }: Footprint): boolean {
    if (shadow === undefined) return false
    let known = this.words.get(shadow)
    if (known === undefined) this.words.set(shadow, (known = new Map<number, boolean>()))
    // A step that touches a queue of waiters, and no word, is taken for a write.
    const isWrite = writes(code) || words === 0
    let isNew = false
    for (let i = 0; i < Math.max(words, 1); i++) {
      const before = known.get(word + i)
      if (before === true || (before === false && !isWrite)) continue
      known.set(word + i, isWrite)
      isNew = true
    }
    return isNew
  }

  /** Whether the order of the step and the handler's entry can matter. */
  conflicts({ code, shadow, word, words }: Footprint): boolean {
    const op = code & CODE
    if (op === MASK || this.everything) return true
    if (shadow === undefined) return op === TURN || op === SAFEPOINT || op === EXIT ? this.everything : false
    const known = this.words.get(shadow)
    if (known === undefined) return false
    for (let i = 0; i < Math.max(words, 1); i++) {
      const written = known.get(word + i)
      if (written !== undefined && (written || writes(code) || words === 0 || op >= 11)) return true
    }
    return false
  }

  /** Whether two handlers may touch a common word that one of them writes. */
  overlaps(other: Territory): boolean {
    if (this.everything || other.everything) return true
    for (const [shadow, known] of this.words) {
      const theirs = other.words.get(shadow)
      if (theirs === undefined) continue
      for (const [word, written] of known) {
        const writtenToo = theirs.get(word)
        if (writtenToo !== undefined && (written || writtenToo)) return true
      }
    }
    return false
  }
}
