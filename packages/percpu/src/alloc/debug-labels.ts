/**
 * Labels of objects in debug mode: one table for the whole machine, extended under the lock of the
 * list of caches.
 */
import { checkStored } from '../machine/check.js'
import { encodeText } from '../text.js'
import { LabelTable } from '../watch/label-table.js'
import { LABEL_TEXT } from '../watch/vpa-layout.js'
import { HeapRoot, MAX_ALLOC_LABELS } from './layouts.js'
import type { Owner } from './owner.js'

export class AllocLabels {
  readonly #owner: Owner
  readonly #table: LabelTable
  readonly #numbers = new Map<string, number>()

  constructor(owner: Owner) {
    const { memory, map } = owner
    this.#owner = owner
    this.#table = new LabelTable(memory, map.root + HeapRoot.words.labels, map.labels, MAX_ALLOC_LABELS)
  }

  /**
   * The number of a label, from 1 on; 0, for none, when all numbers are in use.
   *
   * @throws ArgumentError; LockTimeoutError.
   */
  number(label: string): number {
    const known = this.#numbers.get(label)
    if (known !== undefined) return known
    checkStored('label', label, LABEL_TEXT)
    const number = this.#table.find(label) ?? this.#add(label)
    if (number > 0) this.#numbers.set(label, number)
    return number
  }

  text(number: number): string | undefined {
    return this.#table.text(number)
  }

  #add(label: string): number {
    const { map, objectLock } = this.#owner
    return objectLock.locked(
      map.root + HeapRoot.words.lock,
      () => this.#table.find(label) ?? this.#table.add(encodeText(label)),
    )
  }
}
