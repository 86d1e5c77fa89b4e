/**
 * Functions to be called after a grace period, on the thread that queued them. They lie in that
 * thread's own memory. Only how many there are stands in shared memory: what is lost with its
 * thread is counted, and whoever waits for all callbacks sees how far they are.
 */
import { load32, loadAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import { reportError } from '../machine/platform.js'
import { CallbackList } from './layouts.js'
import { accelerate, advance, emptySegments, waitsFor, type Segments } from './segcblist.js'
import type { GracePeriodSource } from './source.js'

const { words } = CallbackList
/** Slots of the array that are left empty before it is made shorter. */
const SLACK = 1024

/** What is called after a grace period. */
export type Callback = () => void

export class FunctionQueue {
  readonly #memory: Memory
  readonly #list: number
  readonly #segments: Segments
  #head: number
  #tail: number
  #run: number
  /** That of `#head` lies at index `#first`. */
  #waiting: (Callback | undefined)[] = []
  #first = 0
  /** Functions that were called and have not returned. One that waits for room calls others. */
  #depth = 0

  /** `list`: word index. */
  constructor(memory: Memory, list: number) {
    this.#memory = memory
    this.#list = list
    // atomic: this CPU's own. Its predecessors' functions are over.
    const tail = loadAtomic32(memory.i32, list + words.functionsTail)
    storeAtomic32(memory.i32, list + words.functionsHead, tail)
    this.#head = tail
    this.#tail = tail
    this.#run = load32(memory.i32, list + words.functionsRun)
    this.#segments = emptySegments(tail)
  }

  get pending(): number {
    return (this.#tail - this.#head) >>> 0
  }

  /** How many have been queued. */
  get tail(): number {
    return this.#tail
  }

  /** Whether one has not been called of those up to this count. */
  isPending(count: number): boolean {
    return ((count - this.#head) | 0) > 0
  }

  push(callback: Callback): void {
    this.#waiting.push(callback)
    this.#tail = (this.#tail + 1) | 0
    // CI(list.functionsTail) pairs with CJ in Barrier: who waits for what was queued before waits
    // for this, too. Mutant: rcu/functions-uncounted.
    storeAtomic32(this.#memory.i32, this.#list + words.functionsTail, this.#tail)
  }

  /** Finds what is due. Returns the first cookie that is waited for, if any. */
  sort(source: GracePeriodSource): number | undefined {
    const segments = this.#segments
    // Before `advance`: segcblist.ts.
    const cookie = segments.nextReady === this.#tail ? undefined : source.snap()
    advance(segments, (other) => source.isDone(other))
    if (cookie !== undefined) accelerate(segments, cookie, this.#tail)
    return waitsFor(segments)
  }

  /**
   * Calls at most `limit` of those that are due. Returns whether there are more, or some that
   * {@link sort} has not seen: those that the functions called have queued.
   */
  run(limit: number): boolean {
    for (let count = 0; this.#head !== this.#segments.done; count++) {
      if (count === limit) return true
      const callback = this.#waiting[this.#first]
      this.#waiting[this.#first++] = undefined
      // First: the callback may queue others, or wait for all.
      this.#head = (this.#head + 1) | 0
      this.#depth++
      try {
        callback?.()
      } catch (error) {
        reportError(error)
      }
      this.#depth--
      this.#run = (this.#run + 1) | 0
      // Before the head: what lies between is not lost.
      store32(this.#memory.i32, this.#list + words.functionsRun, this.#run)
      // One that called this one has not returned: it does this for both. Mutant:
      // rcu/functions-nested.
      // CK(list.functionsHead) pairs with CL in Barrier: the function has returned. Mutant:
      // rcu/functions-not-awaited.
      if (this.#depth === 0) storeAtomic32(this.#memory.i32, this.#list + words.functionsHead, this.#head)
    }
    if (this.#first === this.#waiting.length) this.#shorten()
    else if (this.#first > SLACK && this.#first > this.#waiting.length >>> 1) this.#shorten()
    return this.#segments.nextReady !== this.#tail
  }
  #shorten(): void {
    this.#waiting = this.#waiting.slice(this.#first)
    this.#first = 0
  }
}
