import * as mem from '#mem'
import type { OwnCpu } from '../../cpus/own-cpu.js'
import { REASON_WAKE } from '../../cpus/ringer.js'
import { showAs } from '../../inspect.js'
import { checkLimits, type WaitOptions } from '../../machine/wait-options.js'
import { checkOptions } from '../../machine/check.js'
import { ensureStack, FEW } from '../../stack.js'
import { ringAll } from '../../sync/cpu-mask.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import type { SyncLayer } from '../../sync/layer.js'
import { assertOpen, type Life } from '../life.js'
import { Scratch } from '../scratch.js'
import type { ValueCodec } from '../values.js'
import { encodeBatch } from './batch.js'
import { put, take } from './ends.js'
import type { RingSpec } from './options.js'
import { freeWords, isClosedAt, isEmpty, isEnded, loadTail, messageWords, type RingPlace } from './place.js'
import { Receiving } from './receiving.js'
import { countMessages, describeRing, verifyRing, type RingReport } from './report.js'
import { Sending } from './sending.js'
import { RingWait, type Awaited } from './wait.js'
import { hasWaiters, wakeOne, wakeSome } from './wake.js'

/** What a thread uses rings with. */
export interface RingParts {
  readonly own: OwnCpu
  readonly sync: SyncLayer
  readonly lock: LayerLock
}

/** What the usual ways read, in one object with plain fields. */
interface Hot<M> {
  readonly place: RingPlace
  readonly lock: LayerLock
  readonly scratch: Scratch
  readonly codec: ValueCodec<M>
  readonly cpus: number
}

/** The ring is closed, and nothing is left. */
const END = Symbol('end')

/**
 * `machine.ring(name, { value, bytes })`: a queue of messages for all threads, in shared memory.
 * Any thread sends and receives; each message is received once. Messages come in the order in which
 * they were sent.
 *
 * A thread that is killed while it sends has sent its message, or not; one that is killed while it
 * receives loses that one message at most, or those of a {@link receiveMany}. Nobody else is held
 * up.
 *
 * Of several that wait, a message wakes one: rather one whose thread sleeps in {@link receive} than
 * one that may compute for long. Room wakes one sender if all messages have the same size, else
 * all.
 */
export class SharedRing<M> {
  static {
    showAs<{ readonly name: string; readonly length: number; readonly isClosed: boolean }>(
      this,
      ({ name, length, isClosed }) => ({ name, length, isClosed }),
    )
  }

  readonly name: string
  readonly #hot: Hot<M>
  readonly #parts: RingParts
  /** Whether all messages have the same size. */
  readonly #isFixed: boolean
  readonly #receivers: RingWait
  readonly #senders: RingWait
  readonly #message: Awaited<M | typeof END>
  readonly #many: Receiving<M>

  /** @internal Made by `machine.ring`. */
  constructor(
    name: string,
    place: RingPlace,
    { codec, isFixed }: Pick<RingSpec, 'codec' | 'isFixed'>,
    parts: RingParts & { readonly life: Life },
  ) {
    this.name = name
    this.#parts = parts
    this.#isFixed = isFixed
    const { own, sync, lock, life } = parts
    const scratch = new Scratch(4096)
    this.#hot = { place, lock, scratch, codec: codec as ValueCodec<M>, cpus: own.map.cpus }
    const { address } = place
    const waitAt = (mask: number, what: string, wakeNext: () => void): RingWait => {
      const queue = sync.queue(mask, address, name)
      return new RingWait(sync.state, mask, { queue, address, what: `ring ${name}: ${what}`, life }, wakeNext)
    }
    this.#receivers = waitAt(place.receivers, 'a message', () => this.#wakeReceiver())
    this.#senders = waitAt(place.senders, 'room', () => this.#wakeSenders())
    // Who sleeps, or is about to, finds its views gone.
    life.onEnd(() => own.doorbell.ringer.ring(own.cpu, REASON_WAKE))
    this.#message = this.#awaiting<M | typeof END>(() => this.tryReceive(), END)
    this.#many = new Receiving(
      this.#hot,
      () => this.tryReceive(),
      (count) => {
        if (hasWaiters(place.memory, place.senders, own.map.cpus)) this.#wakeSenders(count)
      },
    )
  }

  /**
   * Sends a message if there is room. Returns whether there was.
   *
   * Cost: see "ring" in docs/benchmarks.md.
   * @throws RingClosedError; ArgumentError for what is no such message; EntryTooLargeError if the
   *   ring never has so much room; LockTimeoutError if another thread died in the middle of sending
   *   and cannot be cleaned up after meanwhile; OfflineError. Nothing is sent then.
   */
  trySend(message: M): boolean {
    const { place, lock, scratch, codec, cpus } = this.#hot
    codec.encode(message, scratch)
    if (!put(place, lock, scratch)) return false
    if (hasWaiters(place.memory, place.receivers, cpus)) this.#wakeReceiver()
    return true
  }
  /**
   * Sends a message; blocks the thread until there is room.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   RingClosedError, also if it is closed meanwhile; TooManyLocksError; UnsupportedError where a
   *   thread must not block; else as {@link trySend}. Nothing is sent then.
   */
  send(message: M, options?: WaitOptions): void {
    // The options first: to read them may run code that sends, too.
    const deadline = this.#senders.begin(options)
    this.#senders.wait(this.#sending(message), deadline)
  }
  /**
   * Sends a message; resolves when there was room for it. Await it before the next one is sent: of
   * calls that wait at the same time, any may come first.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   OfflineError, also when this CPU goes offline meanwhile; else as {@link send}. Nothing is
   *   sent then.
   */
  async sendAsync(message: M, options?: WaitOptions): Promise<void> {
    const deadline = this.#senders.beginAsync(options)
    await this.#senders.waitAsync(this.#sending(message), deadline)
  }

  /**
   * Sends as many of these messages as there is room for, in their order. Returns how many: the
   * first ones. All are encoded first: if one of them is refused, none is sent.
   *
   * They go in pieces of 16 KiB, or of one message that is larger. Those of a piece are sent at one
   * moment; between two pieces others may send.
   *
   * @throws ArgumentError for what is no iterable, or no such message; what iterating throws; else
   *   as {@link trySend}. Nothing is sent then. What goes wrong later on ends the call, which
   *   returns how many were sent.
   */
  trySendMany(messages: Iterable<M>): number {
    const sending = this.#sendingMany(messages)
    try {
      sending.attempt()
    } catch (error) {
      if (sending.sent === 0) throw error
    }
    return sending.sent
  }
  /**
   * As {@link trySendMany}; blocks the thread until all are sent. Returns how many were: all,
   * unless the time was over, the signal aborted, or the ring was closed when some were.
   *
   * @throws as {@link send} and {@link trySendMany}. Nothing is sent then.
   */
  sendMany(messages: Iterable<M>, options?: WaitOptions): number {
    const deadline = this.#senders.begin(options)
    const sending = this.#sendingMany(messages)
    try {
      this.#senders.wait(sending, deadline)
    } catch (error) {
      if (sending.sent === 0) throw error
    }
    return sending.sent
  }
  /**
   * As {@link sendMany}, without blocking the thread. Resolves when all are sent, or when something
   * has ended it. Of calls that wait at the same time, messages may come in turns.
   *
   * @throws as {@link sendAsync} and {@link trySendMany}. Nothing is sent then.
   */
  async sendManyAsync(messages: Iterable<M>, options?: WaitOptions): Promise<number> {
    const deadline = this.#senders.beginAsync(options)
    const sending = this.#sendingMany(messages)
    try {
      await this.#senders.waitAsync(sending, deadline)
    } catch (error) {
      if (sending.sent === 0) throw error
    }
    return sending.sent
  }

  /**
   * Receives the first message; undefined if there is none now.
   *
   * @throws LockTimeoutError if another thread died in the middle of receiving and cannot be
   *   cleaned up after meanwhile; OfflineError. Nothing is received then.
   */
  tryReceive(): M | undefined {
    const { place, lock, scratch, codec, cpus } = this.#hot
    if (!take(place, lock, scratch)) return undefined
    if (hasWaiters(place.memory, place.senders, cpus)) this.#wakeSenders()
    return codec.decode(scratch)
  }
  /**
   * The first message, which stays; undefined if there is none now. Whoever receives next gets it:
   * that may be another thread, unless only this one receives.
   *
   * @throws as {@link tryReceive}.
   */
  peek(): M | undefined {
    const { place, lock, scratch, codec } = this.#hot
    return take(place, lock, scratch, true) ? codec.decode(scratch) : undefined
  }
  /**
   * Receives the first message; blocks the thread until there is one. Undefined once the ring is
   * closed and nothing is left.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   TooManyLocksError; UnsupportedError where a thread must not block; ArgumentError for other
   *   options; else as {@link tryReceive}. Nothing is received then.
   */
  receive(options?: WaitOptions): M | undefined {
    const message = this.#receivers.wait(this.#message, this.#receivers.begin(options))
    return message === END ? undefined : message
  }
  /**
   * Receives the first message as soon as there is one. Resolves to undefined once the ring is
   * closed and nothing is left.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   OfflineError, also when this CPU goes offline meanwhile; else as {@link receive}. Nothing is
   *   received then.
   */
  async receiveAsync(options?: WaitOptions): Promise<M | undefined> {
    const message = await this.#receivers.waitAsync(this.#message, this.#receivers.beginAsync(options))
    return message === END ? undefined : message
  }
  /**
   * Receives what is there now, at most `limit` messages.
   *
   * They are taken in pieces of 16 KiB, or of one message that is larger; those of a piece at one
   * moment. A thread that is killed meanwhile loses those that it has taken.
   *
   * @throws ArgumentError unless `limit` is a whole number of 1 or more; else as
   *   {@link tryReceive}, if it is the first one that cannot be received.
   */
  receiveMany(limit: number): M[] {
    return this.#many.receive(limit)
  }
  /**
   * As {@link receiveMany}, as soon as there is something. Resolves to an empty array once the ring
   * is closed and nothing is left.
   *
   * @throws as {@link receiveMany} and {@link receiveAsync}. Nothing is received then.
   */
  async receiveManyAsync(limit: number, options?: WaitOptions): Promise<M[]> {
    const deadline = this.#receivers.beginAsync(options)
    const some = this.#awaiting(() => this.#many.receiveSome(limit), [])
    return await this.#receivers.waitAsync(some, deadline)
  }

  /**
   * For `for await`: receives one message after the other, and ends once the ring is closed and
   * nothing is left. Each is received when it is asked for: whoever breaks out loses none.
   *
   * @throws as {@link receiveAsync}, for each message.
   */
  messages(options: WaitOptions = {}): AsyncGenerator<M, undefined> {
    this.#parts.own.assertOnline()
    assertOpen(this.#hot.place.memory)
    checkOptions('messages', options, { timeout: true, signal: true })
    checkLimits(options)
    return this.#each(options)
  }
  /** As `messages`. */
  [Symbol.asyncIterator](): AsyncGenerator<M, undefined> {
    return this.messages()
  }

  /**
   * Nothing more can be sent, by any thread: senders that wait, and later ones, get a
   * RingClosedError. What is there can be received. Closing again does nothing.
   *
   * @throws OfflineError.
   */
  close(): void {
    const { place } = this.#hot
    const { memory, tail, receivers, senders } = place
    ensureStack(FEW)
    // RG(ring.tail) closes the ring; pairs with RB in loadTail, RA in put: what was sent before is
    // there, and nothing comes behind it. Mutant: collections/ring-closed-unseen.
    mem.orAtomic32(memory.i32, tail, 1)
    const { ringer } = this.#parts.own.doorbell
    // Mutant: collections/ring-closes-silently.
    ringAll(memory, ringer, receivers)
    ringAll(memory, ringer, senders)
  }
  /**
   * Whether somebody has closed it. What was sent before may still be there.
   *
   * @throws OfflineError.
   */
  get isClosed(): boolean {
    return isClosedAt(loadTail(this.#hot.place))
  }
  /** Whether it is closed, and nothing is left to be received. @throws OfflineError. */
  get isEnded(): boolean {
    return isEnded(this.#hot.place)
  }
  /** How many messages there are. A snapshot. @throws OfflineError. */
  get length(): number {
    return countMessages(this.#hot.place)
  }
  /** Bytes that it has for messages; each takes 4 beside its own, and whole words. */
  get capacity(): number {
    return this.#hot.place.capacity * 4
  }

  /** What is in it, and who waits. A snapshot. @throws OfflineError. */
  report(): RingReport {
    return describeRing(this.name, this.#hot.place, this.#hot.cpus)
  }
  /**
   * Checks the ring's words, and each message that is there throughout. Takes no lock.
   *
   * @throws RingCorruptionError, with what is wrong in `details.faults`; OfflineError.
   */
  verify(): void {
    verifyRing(this.name, this.#hot.place)
  }

  async *#each(options: WaitOptions): AsyncGenerator<M, undefined> {
    for (;;) {
      const message = await this.receiveAsync(options)
      if (message === undefined) return
      yield message
    }
  }

  /** What waits for messages, or for the end of the ring, which `end` stands for. */
  #awaiting<Result>(receive: () => Result | undefined, end: Result): Awaited<Result> {
    const { place } = this.#hot
    return {
      isReady: () => !isEmpty(place) || isClosedAt(loadTail(place)),
      attempt: () => {
        const received = receive()
        return received === undefined && isEnded(place) ? end : received
      },
    }
  }
  /** What waits has a copy of its message: other calls use the scratch meanwhile. */
  #sending(message: M): Awaited<true> {
    const { place, scratch, codec, lock, cpus } = this.#hot
    codec.encode(message, scratch)
    let own = scratch
    return {
      isReady: () => freeWords(place) >= messageWords(own.length) || isClosedAt(loadTail(place)),
      attempt: () => {
        if (put(place, lock, own)) {
          if (hasWaiters(place.memory, place.receivers, cpus)) this.#wakeReceiver()
          return true
        }
        if (own === scratch) own = scratch.copy()
        return undefined
      },
    }
  }

  #sendingMany(messages: Iterable<M>): Sending {
    const { place, scratch, codec, lock, cpus } = this.#hot
    assertOpen(place.memory)
    const { own } = this.#parts
    return new Sending(place, lock, encodeBatch(place, codec, scratch, messages), (count) => {
      if (hasWaiters(place.memory, place.receivers, cpus))
        wakeSome(place.memory, own.doorbell.ringer, place.receivers, { cpu: own.cpu, cpus, count })
    })
  }

  #wakeReceiver(): void {
    const { place, cpus } = this.#hot
    const { own } = this.#parts
    wakeOne(place.memory, own.doorbell.ringer, place.receivers, own.cpu, cpus)
  }
  /** Where sizes differ, the one that is woken may need more room than there is, another less. */
  #wakeSenders(count = 1): void {
    const { place, cpus } = this.#hot
    const { own } = this.#parts
    const { ringer } = own.doorbell
    // Mutant: collections/ring-wakes-one-sender.
    if (this.#isFixed) wakeSome(place.memory, ringer, place.senders, { cpu: own.cpu, cpus, count })
    else ringer.wakeAll(place.senders)
  }
}
