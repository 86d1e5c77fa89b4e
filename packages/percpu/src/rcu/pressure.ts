/**
 * Bounded garbage: how much a CPU has pending. Past a first mark its grace periods are hurried,
 * past a second one whoever queues is asked to wait until less is pending.
 */
import { load32, store32, type Memory } from '#mem'
import { pendingEntries } from './callback-list.js'
import { CallbackList } from './layouts.js'

const { words } = CallbackList
/** Callbacks after which the counts are looked at again, or this part of a mark. */
const STEP = 256
const PART = 64

/** A number of callbacks, and of bytes, that a CPU may have pending. */
export interface Mark {
  readonly callbacks: number
  readonly bytes: number
}
export interface Marks {
  readonly high: Mark
  readonly full: Mark
}

const relieved: Promise<void> = Promise.resolve()

export class Pressure {
  readonly #memory: Memory
  readonly #list: number
  readonly #marks: Marks
  readonly #step: number
  readonly #unitsStep: number
  #callbacks = 0
  #units = 0
  #waiting: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
  isHigh = false

  /** `list`: word index. */
  constructor(memory: Memory, list: number, marks: Marks) {
    this.#memory = memory
    this.#list = list
    this.#marks = marks
    this.#step = Math.max(1, Math.min(STEP, marks.high.callbacks / PART))
    this.#unitsStep = marks.full.bytes / 8 / PART
  }

  /** Something was queued. What to wait for before the next. `functions`: how many are pending. */
  added(units: number, functions: number): Promise<void> {
    this.#units += units
    if (++this.#callbacks < this.#step && this.#units < this.#unitsStep)
      return this.#waiting?.promise ?? relieved
    this.#callbacks = 0
    this.#units = 0
    this.isHigh = this.#isPast(this.#marks.high, functions)
    if (!this.#waiting && this.isFull(functions)) this.#waiting = deferred()
    return this.#waiting?.promise ?? relieved
  }

  /** What to wait for before the next. */
  get room(): Promise<void> {
    return this.#waiting?.promise ?? relieved
  }

  /** Callbacks were run. */
  relieve(functions: number): void {
    const { i32 } = this.#memory
    // What a dead thread had not counted any more.
    if (pendingEntries(this.#memory, this.#list) === 0)
      store32(i32, this.#list + words.freed, load32(i32, this.#list + words.queued))
    this.isHigh = this.#isPast(this.#marks.high, functions)
    if (!this.#waiting || this.isFull(functions)) return
    this.#waiting.resolve()
    this.#waiting = undefined
  }

  /** Whether more is pending than the second mark says. */
  isFull(functions: number): boolean {
    return this.#isPast(this.#marks.full, functions)
  }
  #isPast({ callbacks, bytes }: Mark, functions: number): boolean {
    if (functions + pendingEntries(this.#memory, this.#list) > callbacks) return true
    return pendingBytes(this.#memory, this.#list) > bytes
  }
}

/**
 * Bytes that are queued and not free yet. A statistic: a thread that dies may leave it a little
 * wrong, until the list is empty.
 */
export function pendingBytes({ i32 }: Memory, list: number): number {
  const freed = load32(i32, list + words.freed)
  return ((load32(i32, list + words.queued) - freed) >>> 0) * 8
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
