/**
 * The words that an interrupt handler has ever touched, in any execution so far.
 *
 * A handler runs to its end before the code below it goes on. That matters only to code that
 * touches the same words: a step without a common word can be moved from behind the handler to
 * before it. So the entry of a handler depends on the steps of its CPU that conflict with its
 * territory, and on no others. When a territory grows, the executions explored before are
 * worthless, and the search starts again.
 */
import { CODE, EXIT, MASK, SAFEPOINT, TURN, WAIT, writes } from './ops.js'
import type { Shadow } from './views.js'

/** The properties of a step that decide whether it is in a territory. */
interface Footprint {
  readonly code: number
  readonly shadow: Shadow | undefined
  readonly word: number
  readonly words: number
}

export class Territory {
  private readonly words = new Map<Shadow, Map<number, boolean>>()

  constructor(
    /** Whether the handler enters at safepoints only: it depends on every step of its CPU. */
    private readonly everything: boolean,
  ) {}

  /** Adds the words of a step; returns whether the territory has grown. */
  add({ code, shadow, word, words }: Footprint): boolean {
    if (shadow === undefined) return false
    let known = this.words.get(shadow)
    if (known === undefined) this.words.set(shadow, (known = new Map<number, boolean>()))
    // A step that touches a queue of waiters, and no word, counts as a write.
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
      if (written !== undefined && (written || writes(code) || words === 0 || op >= WAIT)) return true
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
