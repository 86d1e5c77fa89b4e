/**
 * Grace periods that take long. Whoever waits for one tells who holds it up, so that nobody waits
 * in the dark. (After the kernel's RCU CPU stall warnings; its SRCU has none.)
 *
 * A source is looked at again and again while somebody on this thread waits for it: first after
 * `patience` ms without progress, then after twice as long, and so on.
 */
import { startTimer } from '../machine/platform.js'

/** ms; the kernel's is 21 s. */
export const STALL_TIMEOUT = 10_000

/** What has no end in sight. */
export interface Stalled {
  /** The name of a domain of SRCU; undefined for `machine.rcu`. */
  readonly domain: string | undefined
  /** CPUs that have not been quiescent, or have sections under way. */
  readonly cpus: readonly number[]
  /** Sections of a domain under way that any thread may end. */
  readonly handedOver: number
  /** For how long this thread has seen no progress, ms. */
  readonly age: number
}

/** A kind of grace period. */
export interface StallSource {
  readonly domain: string | undefined
  /** Another number as soon as it gets on. */
  progress(): number
  /** Who holds it up. */
  late(): Pick<Stalled, 'cpus' | 'handedOver'>
}

interface Watched {
  waits: number
  stop: () => void
}

export class StallWatch {
  /** Set by the machine: without it nothing is watched. */
  tell: ((stalled: Stalled) => void) | undefined
  /** ms */
  readonly patience: number
  readonly #watched = new Map<StallSource, Watched>()

  constructor(patience: number) {
    this.patience = patience
  }

  /** Somebody waits for the source until the returned function is called. */
  watch(source: StallSource): () => void {
    if (!this.tell || this.patience === Infinity) return () => undefined
    const watched = this.#watched.get(source) ?? { waits: 0, stop: this.#start(source) }
    watched.waits++
    this.#watched.set(source, watched)
    return () => {
      if (--watched.waits > 0) return
      watched.stop()
      this.#watched.delete(source)
    }
  }

  /** Looks at the source now and then. Returns what ends it. */
  #start(source: StallSource): () => void {
    let progress = source.progress()
    let age = 0
    let delay = this.patience
    let stop: () => void = () => undefined
    const arm = (): void => {
      stop = startTimer(look, delay)
    }
    const look = (): void => {
      age += delay
      const now = source.progress()
      const hasMoved = now !== progress
      progress = now
      age = hasMoved ? 0 : age
      delay = hasMoved ? this.patience : delay * 2
      const late = source.late()
      const isStalled = !hasMoved && (late.cpus.length > 0 || late.handedOver > 0)
      if (isStalled) this.tell?.({ domain: source.domain, ...late, age })
      arm()
    }
    arm()
    return () => stop()
  }
}
