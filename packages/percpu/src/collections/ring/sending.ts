/** Many messages on their way into a ring: `trySendMany` and those that wait. */
import type { LayerLock } from '../../sync/layer-lock.js'
import type { Batch } from './batch.js'
import { putPiece } from './pieces.js'
import { freeWords, isClosedAt, loadTail, type RingPlace } from './place.js'
import type { Awaited } from './wait.js'

export class Sending implements Awaited<true> {
  readonly #place: RingPlace
  readonly #lock: LayerLock
  readonly #batch: Batch
  readonly #wake: (count: number) => void
  /** Words that the first message needs which is not sent, or the last one. */
  #needed: number
  /** How many were sent. */
  sent = 0

  /** `wake`: wakes as many receivers. */
  constructor(place: RingPlace, lock: LayerLock, batch: Batch, wake: (count: number) => void) {
    this.#place = place
    this.#lock = lock
    this.#batch = batch
    this.#wake = wake
    this.#needed = batch.firstWords
  }

  isReady(): boolean {
    return freeWords(this.#place) >= this.#needed || isClosedAt(loadTail(this.#place))
  }
  /** Sends what there is room for. True once all is sent. */
  attempt(): true | undefined {
    const batch = this.#batch
    while (batch.count > 0) {
      const before = batch.count
      const isFull = putPiece(this.#place, this.#lock, batch)
      const count = before - batch.count
      this.sent += count
      if (batch.count > 0) this.#needed = batch.firstWords
      if (count > 0) this.#wake(count)
      if (isFull) return undefined
    }
    return true
  }
}
