/** Messages as they lie in a ring, one behind the other, in private memory. */
import { isSafely, refused } from '../../machine/check.js'
import { Scratch } from '../scratch.js'
import type { ValueCodec } from '../values.js'
import { tooLarge } from './ends.js'
import { messageWords, type RingPlace } from './place.js'

export class Batch {
  image: Scratch
  /** Words: where the first message that is left begins, and where the last one ends. */
  begin = 0
  end = 0
  /** How many messages are left. */
  count = 0

  /** `words` that it has room for before it grows. */
  constructor(words: number) {
    this.image = new Scratch((words * 4 + 7) & -8)
  }

  /** Appends an encoded message. */
  add({ words, bytes, length }: Scratch): void {
    const begin = this.end
    const end = begin + messageWords(length)
    if (end > this.image.words.length) this.#grow(end)
    const { image } = this
    image.words[begin] = length
    if (length > 64) image.bytes.set(bytes.subarray(0, (length + 3) & -4), begin * 4 + 4)
    else for (let i = begin + 1; i < end; i++) image.words[i] = words[i - begin - 1] ?? 0
    this.end = end
    this.count++
  }
  /** Moves the first message out, to be decoded. False if none is left. */
  next(into: Scratch): boolean {
    if (this.count === 0) return false
    const { words, bytes } = this.image
    const length = words[this.begin] ?? 0
    const begin = this.begin + 1
    const end = this.begin + messageWords(length)
    into.reserve(length)
    if (length > 64) into.bytes.set(bytes.subarray(begin * 4, end * 4))
    else for (let i = begin; i < end; i++) into.words[i - begin] = words[i] ?? 0
    into.length = length
    this.begin = end
    this.count--
    return true
  }
  /** Words of the first message that is left. */
  get firstWords(): number {
    return messageWords(this.image.words[this.begin] ?? 0)
  }

  #grow(words: number): void {
    const { bytes } = this.image
    this.image = new Scratch((Math.max(words * 4, bytes.length * 2) + 7) & -8)
    this.image.bytes.set(bytes)
  }
}

/**
 * Encodes messages, before anything is locked: what is called here may use the ring, too.
 *
 * @throws ArgumentError; EntryTooLargeError; what iterating throws.
 */
export function encodeBatch<M>(
  ring: RingPlace,
  codec: ValueCodec<M>,
  scratch: Scratch,
  messages: Iterable<M>,
): Batch {
  const isIterable = (): boolean =>
    typeof (Object(messages) as Partial<Iterable<M>>)[Symbol.iterator] === 'function'
  if (typeof messages !== 'object' || !isSafely(isIterable))
    throw refused('messages', messages, 'not an iterable of messages')
  const batch = new Batch(256)
  for (const message of messages) {
    codec.encode(message, scratch)
    if (messageWords(scratch.length) > ring.capacity) throw tooLarge(ring, scratch)
    batch.add(scratch)
  }
  return batch
}
