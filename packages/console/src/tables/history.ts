/**
 * The last changes, as they were made, for those who follow them. It forgets the oldest ones: who
 * asks for more is told so.
 */
import type { Table, Write } from './table.js'

/** What was changed; keys as JSON has them. */
export interface ChangeEvent {
  readonly sequence: number
  readonly table: string
  /** `reset`: the whole table is another one. */
  readonly kind: 'set' | 'delete' | 'reset'
  /** A JSON object, for events. */
  readonly data: string
}

export interface Follower {
  tell(event: ChangeEvent): void
  /** What comes now does not build on what was told: it has to come back. Told once. */
  restart(sequence: number): void
}

/** Where changes are told. */
export interface ChangeFeed {
  /**
   * Tells of each change to come, and resolves with those after a sequence number.
   *
   * @param after undefined: none before this moment
   */
  follow(after: number | undefined, follower: Follower): Promise<Followed>
}
export interface Followed {
  /** Undefined: some of them are forgotten, or the number is of another life of the service. */
  readonly missed: readonly ChangeEvent[] | undefined
  /** Sequence number of the last change before those that are told. */
  readonly last: number
  readonly stop: () => void
}

/** Of an event, beside its text. */
const EVENT_BYTES = 100

export class History implements ChangeFeed {
  /** Bytes of events that it keeps, about. */
  readonly limit: number
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
    this.limit = limit
  }

  /** Sequence number of the last change. */
  get last(): number {
    return this.#last
  }

  /** What was before is not known. Nobody follows any more. */
  startAt(sequence: number): void {
    this.#forgotten = this.#last = sequence
    this.#events = []
    this.#first = this.#bytes = 0
    const followers = [...this.#followers]
    this.#followers.clear()
    for (const follower of followers) follower.restart(sequence)
  }

  add(event: ChangeEvent): void {
    this.#last = event.sequence
    this.#events.push(event)
    this.#bytes += sizeOf(event)
    while (this.#bytes > this.limit && this.#first < this.#events.length) this.#forget()
    if (this.#first * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#first)
      this.#first = 0
    }
    for (const follower of this.#followers) follower.tell(event)
  }

  /** All that is kept, and the number of the last change that is not. */
  kept(): { readonly forgotten: number; readonly events: readonly ChangeEvent[] } {
    return { forgotten: this.#forgotten, events: this.#events.slice(this.#first) }
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

  follow(after: number | undefined, follower: Follower): Promise<Followed> {
    this.#followers.add(follower)
    const last = this.#last
    const missed = after === undefined ? [] : after > last ? undefined : this.after(after)
    return Promise.resolve({ missed, last, stop: () => void this.#followers.delete(follower) })
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

/** A change, for those who follow. */
export function eventOf(table: Table, { from, to, version, value }: Write): ChangeEvent {
  const { name, codec, spec } = table
  const ends = spec.isRange
    ? `"from":${JSON.stringify(codec.toJson(from))},"to":${JSON.stringify(codec.toJson(to))}`
    : `"key":${JSON.stringify(codec.toJson(from))}`
  const rest = value === undefined ? '' : `,"value":${Buffer.from(value).toString()}`
  return {
    sequence: version,
    table: name,
    kind: value === undefined ? 'delete' : 'set',
    data: `{${ends},"version":${version}${rest}}`,
  }
}
