/**
 * The last changes, as they were made, for those who follow them. It forgets the oldest ones: who
 * asks for more is told so.
 */

/** What was changed; keys as JSON has them. */
export interface ChangeEvent {
  readonly sequence: number
  readonly table: string
  /** `reset`: the whole table is another one. */
  readonly kind: 'set' | 'delete' | 'reset'
  /** A JSON object, for events. */
  readonly data: string
}

export type Follower = (event: ChangeEvent) => void

/** Of an event, beside its text. */
const EVENT_BYTES = 100

export class History {
  readonly #limit: number
  #events: ChangeEvent[] = []
  /** Where the oldest event is that is kept: those before it are emptied in one go. */
  #first = 0
  #bytes = 0
  /** Sequence number of the last change that is not kept any more. */
  #forgotten = 0
  #last = 0
  readonly #followers = new Set<Follower>()

  /** @param limit bytes, about */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Sequence number of the last change. */
  get last(): number {
    return this.#last
  }
  get followers(): number {
    return this.#followers.size
  }

  /** What was before is not known. */
  startAt(sequence: number): void {
    this.#forgotten = this.#last = sequence
  }

  add(event: ChangeEvent): void {
    this.#last = event.sequence
    this.#events.push(event)
    this.#bytes += sizeOf(event)
    while (this.#bytes > this.#limit && this.#first < this.#events.length) this.#forget()
    if (this.#first * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#first)
      this.#first = 0
    }
    for (const follower of this.#followers) follower(event)
  }

  /** The changes after a sequence number, or undefined if some of them are forgotten. */
  after(sequence: number): readonly ChangeEvent[] | undefined {
    if (sequence < this.#forgotten) return undefined
    let [low, high] = [this.#first, this.#events.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#events[middle] as ChangeEvent).sequence <= sequence) low = middle + 1
      else high = middle
    }
    return this.#events.slice(low)
  }

  /** Tells of each change from now on, until the function is called that it returns. */
  follow(follower: Follower): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  #forget(): void {
    const event = this.#events[this.#first++] as ChangeEvent
    this.#bytes -= sizeOf(event)
    this.#forgotten = event.sequence
  }
}

function sizeOf({ data }: ChangeEvent): number {
  return data.length + EVENT_BYTES
}
