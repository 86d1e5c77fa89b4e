/** Many messages on their way out of a ring: `receiveMany`, and what waits for them. */
import { checkRange } from '../../machine/check.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import type { Scratch } from '../scratch.js'
import type { ValueCodec } from '../values.js'
import { Batch } from './batch.js'
import { PIECE, takePiece } from './pieces.js'
import type { RingPlace } from './place.js'

/** What it receives with. */
interface Receiver<M> {
  readonly place: RingPlace
  readonly lock: LayerLock
  readonly scratch: Scratch
  readonly codec: ValueCodec<M>
}

export class Receiving<M> {
  readonly #with: Receiver<M>
  readonly #tryReceive: () => M | undefined
  readonly #wake: (count: number) => void
  /** What was taken, and is not decoded yet. */
  #taken: Batch | undefined

  /** `tryReceive`: for a message that is larger than a piece; `wake`: wakes as many senders. */
  constructor(receiver: Receiver<M>, tryReceive: () => M | undefined, wake: (count: number) => void) {
    this.#with = receiver
    this.#tryReceive = tryReceive
    this.#wake = wake
  }

  /** What is there now, at most `limit` messages. @throws as `receiveMany`. */
  receive(limit: number): M[] {
    checkRange('limit', limit, 1, Number.MAX_SAFE_INTEGER)
    const messages: M[] = []
    try {
      while (messages.length < limit && this.#receivePiece(messages, limit));
    } catch (error) {
      if (messages.length === 0) throw error
    }
    return messages
  }

  /** As {@link receive}; undefined if there is nothing. */
  receiveSome(limit: number): M[] | undefined {
    const messages = this.receive(limit)
    return messages.length === 0 ? undefined : messages
  }

  /** Returns whether there may be more. */
  #receivePiece(into: M[], limit: number): boolean {
    const { place, lock, scratch, codec } = this.#with
    const taken = (this.#taken ??= new Batch(Math.min(PIECE, place.capacity)))
    const isAll = takePiece(place, lock, limit - into.length, taken)
    if (taken.count > 0) {
      this.#wake(taken.count)
      while (taken.next(scratch)) into.push(codec.decode(scratch))
      return !isAll
    }
    // A large one.
    const message = isAll ? undefined : this.#tryReceive()
    if (message !== undefined) into.push(message)
    return message !== undefined
  }
}
