/**
 * Labels of work, interned in shared memory. By its label a watcher can name the work of a CPU that
 * does not answer. Each CPU has a table of its own, which only it extends. The next thread that is
 * this CPU goes on with the table.
 */
import type { Memory } from '#mem'
import { decodeText, encodeText } from '../text.js'
import { LabelTable } from './label-table.js'
import { CpuWatch, LABELS, LABEL_TEXT } from './vpa-layout.js'

/** Shown for labels beyond the first {@link LABELS} of a CPU. */
export const OTHER_LABELS = '(other labels)'
const other = LABELS + 1

/** The owner's end: numbers for labels, from 1. */
export class Labels {
  readonly #table: LabelTable
  readonly #numbers = new Map<string, number>()

  /** `watch`: word index of the CPU's CpuWatch. */
  constructor(memory: Memory, watch: number) {
    this.#table = tableOf(memory, watch)
    const { count } = this.#table
    for (let number = 1; number <= count; number++) this.#numbers.set(this.#table.text(number) ?? '', number)
  }

  number(label: string): number {
    return this.#numbers.get(label) ?? this.#add(label)
  }

  #add(label: string): number {
    const bytes = cut(encodeText(label))
    const text = decodeText(bytes)
    const number = this.#numbers.get(text) ?? this.#table.add(bytes)
    if (number === 0) return other
    this.#numbers.set(text, number)
    this.#numbers.set(label, number)
    return number
  }
}

/** The text behind a number, for any thread; undefined for 0, which is no label. */
export function textOf(memory: Memory, watch: number, number: number): string | undefined {
  return number <= 0 ? undefined : (tableOf(memory, watch).text(number) ?? OTHER_LABELS)
}

function tableOf(memory: Memory, watch: number): LabelTable {
  return new LabelTable(memory, watch + CpuWatch.words.labels, watch + CpuWatch.words.texts, LABELS)
}

/** At most {@link LABEL_TEXT} bytes, not ending inside a character. */
function cut(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= LABEL_TEXT) return bytes
  let end = LABEL_TEXT
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.slice(0, end)
}
