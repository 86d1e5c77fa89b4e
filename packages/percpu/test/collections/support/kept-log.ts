/**
 * What the workers of a kill test have begun and what was acknowledged, in memory that percpu does
 * not manage: it tells what the collections must have, whoever was terminated.
 */

/** Keys of each worker, in the map and in the map of ranges. */
export const KEYS = 200
/** Keys of the map of ranges that one range of a worker covers. */
export const SPAN = 50
/** Words of a worker: of each key what was begun and acknowledged, and three of the ring. */
export const MESSAGE_BITS = 24

/** Words of a worker's part: of each key what was begun and acknowledged, and of the ring. */
const PART = KEYS * 4 + 4

export class KeptLog {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array

  constructor(workers: number, buffer = new SharedArrayBuffer((1 + workers * PART) * 4)) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer)
  }

  get isOver(): boolean {
    return Atomics.load(this.#words, 0) === 1
  }
  end(): void {
    Atomics.store(this.#words, 0, 1)
  }

  /** A value of a key: 0 is none. `kind`: 0 for the map, 1 for the map of ranges. */
  begin(worker: number, kind: number, key: number, value: number): void {
    Atomics.store(this.#words, this.#at(worker, kind, key), value)
  }
  acknowledge(worker: number, kind: number, key: number, value: number): void {
    Atomics.store(this.#words, this.#at(worker, kind, key) + 1, value)
  }
  /** What the key may have: the value that was acknowledged last, or the one that was begun. */
  allowed(worker: number, kind: number, key: number): readonly [number, number] {
    const at = this.#at(worker, kind, key)
    return [Atomics.load(this.#words, at + 1), Atomics.load(this.#words, at)]
  }

  /** Begins to send: gives the number of the message among those of this worker. */
  beginSending(worker: number): number {
    return Atomics.add(this.#words, this.#sent(worker), 1)
  }
  acknowledgeSent(worker: number, number: number): void {
    Atomics.store(this.#words, this.#sent(worker) + 1, number + 1)
    Atomics.add(this.#words, this.#sent(worker) + 2, 1)
  }
  /** How many messages were begun, and how many acknowledged. */
  sent(worker: number): { readonly begun: number; readonly acknowledged: number } {
    const at = this.#sent(worker)
    return { begun: Atomics.load(this.#words, at), acknowledged: Atomics.load(this.#words, at + 2) }
  }

  #at(worker: number, kind: number, key: number): number {
    return 1 + worker * PART + (kind * KEYS + key) * 2
  }
  #sent(worker: number): number {
    return 1 + worker * PART + KEYS * 4
  }
}
