/**
 * Grace periods that take long. Whoever waits for one tells who holds it up, so that nobody waits
 * in the dark. (After the kernel's RCU CPU stall warnings; its SRCU has none.)
 *
 * A source is looked at again and again while somebody on this thread waits for it: first after
 * `patience` ms without progress, then after twice as long, and so on. A thread that blocks looks
 * between two naps. A look that comes much too late tells nothing: the whole process may have stood
 * still, and the others with it.
 */
import { host, startTimer } from '../machine/platform.js'
import { Deadline } from '../machine/wait-options.js'

/** ms; the kernel's is 21 s. */
export const STALL_TIMEOUT = 10_000

/** ms by which a look must be late at least to tell nothing. */
const STOOD_STILL = 500

/** The key of `machine.rcu`. */
export const SCHED = 1

/** What has no end in sight. */
export interface Stalled {
  /** The name of a domain of SRCU; undefined for `machine.rcu`. */
  readonly domain: string | undefined
  /** CPUs that have not been quiescent, or have sections under way. */
  readonly cpus: readonly number[]
  /**
   * Sections of a domain under way that any thread may end. Less than 0: so many were ended more
   * often than they were handed over, and no grace period ends any more.
   */
  readonly handedOver: number
  /** For how long this thread has seen no progress, ms. */
  readonly age: number
}

/** A kind of grace period. */
export interface StallSource {
  readonly domain: string | undefined
  /** {@link SCHED}, or the word index of a domain. */
  readonly key: number
  /** Another number as soon as it gets on. */
  progress(): number
  /** Who holds it up. */
  late(): Pick<Stalled, 'cpus' | 'handedOver'>
}

/** Blocks the thread until `done()` holds, or until the deadline (false). */
export type Sleep = (done: () => boolean, deadline: Deadline) => boolean

/** Is told of waits, for others to see. */
export interface WaitRecorder {
  /** Waits of this kind are under way, until {@link end} of the number returned. */
  begin(key: number): number
  end(slot: number): void
  /** A wait is over. */
  count(key: number, milliseconds: number): void
}

interface Watched {
  readonly slot: number
  readonly stop: () => void
  waits: number
}

export class StallWatch {
  /** Set by the machine: without it nothing is watched. */
  tell: ((stalled: Stalled) => void) | undefined
  /** Set by the watch layer. */
  recorder: WaitRecorder | undefined
  /** Set by the machine: what a thread is to say that has blocked in vain; '' if nothing. */
  warning: () => string = () => ''
  /** ms after which one is told of, at first; if it is infinite, waits are not recorded either. */
  readonly patience: number
  /** ms for which an end waits for others, also where nothing is told. */
  readonly limit: number
  readonly #watched = new Map<StallSource, Watched>()

  constructor(patience: number) {
    this.patience = patience
    this.limit = patience === Infinity ? STALL_TIMEOUT : patience
  }

  /** Somebody waits for the source until the returned function is called. */
  watch(source: StallSource): () => void {
    if (!this.#isOn) return () => undefined
    const begun = host.performance.now()
    const watched = this.#watched.get(source) ?? this.#begin(source)
    watched.waits++
    return () => this.#end(source, watched, begun)
  }

  /**
   * As {@link watch}, for a thread that blocks by `sleep`: gives what it is to block by instead. It
   * tells between naps.
   */
  sleeping(source: StallSource, sleep: Sleep): { readonly sleep: Sleep; readonly end: () => void } {
    if (!this.#isOn) return { sleep, end: () => undefined }
    const begun = host.performance.now()
    const slot = this.recorder?.begin(source.key) ?? -1
    const look = new Look(source, this.patience)
    let next = look.due
    const nap: Sleep = (done, deadline) => {
      for (;;) {
        const timeout = Math.max(0, next - host.performance.now())
        if (deadline.left <= timeout) return sleep(done, deadline)
        if (sleep(done, new Deadline({ timeout }))) return true
        look.look((stalled) => this.tell?.(stalled))
        next = look.due
      }
    }
    const end = (): void => {
      this.recorder?.end(slot)
      this.recorder?.count(source.key, host.performance.now() - begun)
    }
    return { sleep: nap, end }
  }

  get #isOn(): boolean {
    return this.tell !== undefined && this.patience !== Infinity
  }
  #begin(source: StallSource): Watched {
    const watched = { waits: 0, stop: this.#start(source), slot: this.recorder?.begin(source.key) ?? -1 }
    this.#watched.set(source, watched)
    return watched
  }
  #end(source: StallSource, watched: Watched, begun: number): void {
    if (--watched.waits === 0) {
      watched.stop()
      this.#watched.delete(source)
      this.recorder?.end(watched.slot)
    }
    this.recorder?.count(source.key, host.performance.now() - begun)
  }

  /** Looks at the source now and then. Returns what ends it. */
  #start(source: StallSource): () => void {
    const look = new Look(source, this.patience)
    let stop: () => void = () => undefined
    const arm = (): void => {
      stop = startTimer(() => {
        look.look((stalled) => this.tell?.(stalled))
        arm()
      }, look.delay)
    }
    arm()
    return () => stop()
  }
}

/** Looks at a source, again and again. */
class Look {
  /** After how many ms the next one is due. */
  delay: number
  /** When that is. */
  due: number
  readonly #source: StallSource
  readonly #patience: number
  #progress: number
  #age = 0

  constructor(source: StallSource, patience: number) {
    this.#source = source
    this.#patience = patience
    this.#progress = source.progress()
    this.delay = patience
    this.due = host.performance.now() + patience
  }

  look(tell: (stalled: Stalled) => void): void {
    const now = host.performance.now()
    if (now - this.due >= STOOD_STILL) this.due = now + this.delay
    else this.#look(tell)
  }
  #look(tell: (stalled: Stalled) => void): void {
    this.#age += this.delay
    const now = this.#source.progress()
    const hasMoved = now !== this.#progress
    this.#progress = now
    if (hasMoved) this.#age = 0
    this.delay = hasMoved ? this.#patience : this.delay * 2
    this.due = host.performance.now() + this.delay
    const late = this.#source.late()
    const isStalled = !hasMoved && (late.cpus.length > 0 || late.handedOver !== 0)
    if (isStalled) tell({ domain: this.#source.domain, ...late, age: this.#age })
  }
}
