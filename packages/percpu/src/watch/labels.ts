/**
 * Labels of work, interned in shared memory. By its label a watcher can name the work of a CPU that
 * does not answer.
 *
 * Each CPU has a table of its own, which only it extends: the text first, then the count. So a CPU
 * killed between has added nothing. The next thread that is this CPU goes on with the table.
 */
import { copyIn, copyOut, loadAtomic32, loadU32, storeAtomic32, storeU32, type Memory } from '#mem'
import { decodeText, encodeText } from '../machine/platform.js'
import { CpuWatch, Label, LABELS, LABEL_TEXT } from './vpa-layout.js'

/** Shown for labels beyond the first {@link LABELS} of a CPU. */
export const OTHER_LABELS = '(other labels)'
const other = LABELS + 1

/** The owner's end: numbers for labels, from 1. */
export class Labels {
  readonly #memory: Memory
  readonly #watch: number
  readonly #numbers = new Map<string, number>()

  /** `watch`: word index of the CPU's CpuWatch. */
  constructor(memory: Memory, watch: number) {
    this.#memory = memory
    this.#watch = watch
    const known = this.#count()
    for (let number = 1; number <= known; number++)
      this.#numbers.set(textOf(memory, watch, number) ?? '', number)
  }

  number(label: string): number {
    return this.#numbers.get(label) ?? this.#add(label)
  }

  #add(label: string): number {
    const bytes = cut(encodeText(label))
    const text = decodeText(bytes)
    let number = this.#numbers.get(text)
    if (number === undefined) {
      const known = this.#count()
      if (known >= LABELS) return other
      const entry = entryOf(this.#watch, known + 1)
      copyIn(this.#memory, entry * 4 + Label.offsets.text, bytes)
      storeU32(this.#memory.u32, entry + Label.words.length, bytes.length)
      // VA(watch.labels) pairs with VB in textOf: the text is immutable, and every watcher's to
      // read, from here on. Mutant: watch/label-count-first.
      storeAtomic32(this.#memory.i32, this.#watch + CpuWatch.words.labels, known + 1)
      number = known + 1
      this.#numbers.set(text, number)
    }
    this.#numbers.set(label, number)
    return number
  }

  #count(): number {
    // atomic: written by this CPU, or by the thread that was it before (C in claim).
    return loadAtomic32(this.#memory.i32, this.#watch + CpuWatch.words.labels)
  }
}

/** The text behind a number, for any thread; undefined for 0, which is no label. */
export function textOf(memory: Memory, watch: number, number: number): string | undefined {
  if (number <= 0) return undefined
  // VB(watch.labels) pairs with VA in Labels.#add: labels below the count may be read. Mutant:
  // watch/label-count-first.
  if (number > loadAtomic32(memory.i32, watch + CpuWatch.words.labels)) return OTHER_LABELS
  const entry = entryOf(watch, number)
  const length = loadU32(memory.u32, entry + Label.words.length)
  return decodeText(copyOut(memory, entry * 4 + Label.offsets.text, length))
}

function entryOf(watch: number, number: number): number {
  return watch + CpuWatch.words.texts + ((number - 1) * Label.stride) / 4
}

/** At most {@link LABEL_TEXT} bytes, not ending inside a character. */
function cut(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= LABEL_TEXT) return bytes
  let end = LABEL_TEXT
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.slice(0, end)
}
