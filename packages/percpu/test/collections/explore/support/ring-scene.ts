/** Rings over a bare memory, for explorations, and what they have to do. */
import type { CpuContext, Scenario } from 'percpu-lab'
import type { SharedRing as Ring } from 'percpu'
import { isTimeout, Locks } from '../../../sync/explore/support/locks.js'

const { REASON_WAKE } = await import('../../../../dist/cpus/ringer.js')
const { WaitQueue } = await import('../../../../dist/sync/wait-queue.js')
const { Life } = await import('../../../../dist/collections/life.js')
const { SharedRing } = await import('../../../../dist/collections/ring/ring.js')
const { RingRoot } = await import('../../../../dist/collections/ring/ring-layout.js')
const { initialiseRing, isEmpty, openRing, ringBytes } =
  await import('../../../../dist/collections/ring/place.js')
const { valueCodecs } = await import('../../../../dist/collections/values.js')

type Numbers = Ring<number>
/** The declarations of the library leave the constructor out. */
type Constructor = new (
  name: string,
  place: object,
  spec: { readonly codec: object; readonly isFixed: boolean },
  parts: object,
) => Numbers
const NumberRing = SharedRing as unknown as Constructor
/** Words: room for two messages, the second of which goes around the end of the buffer. */
const CAPACITY = 5

/** What a ring is. */
export class Queue {
  messages: number[] = []
  isClosed = false
  trySend(message: number): boolean {
    if (this.isClosed) throw Object.assign(new Error('closed'), { code: 'PERCPU_RING_CLOSED' })
    if (this.messages.length === 2) return false
    this.messages.push(message)
    return true
  }
  trySendMany(messages: readonly number[]): number {
    let sent = 0
    for (const message of messages) if (this.trySend(message)) sent++
    return sent
  }
  tryReceive(): number | undefined {
    return this.messages.shift()
  }
  receiveMany(limit: number): number[] {
    return this.messages.splice(0, limit)
  }
  isEnded(): boolean {
    return this.isClosed && this.messages.length === 0
  }
  close(): void {
    this.isClosed = true
  }
}
/** One that has two messages. */
export class Full extends Queue {
  override messages = [1, 2]
}

/** A wait for the other end of a lock may end any time. */
export function orGaveUp<Result>(call: () => Result): Result | 'gave up' {
  try {
    return call()
  } catch (error) {
    if (!isTimeout(error)) throw error
    return 'gave up'
  }
}

/** A ring, and the memory of those who use it. */
export class Scene {
  readonly locks: Locks
  readonly #address: number
  readonly #cpus: number

  constructor(t: Scenario, cpus: number, messages: readonly number[] = [], capacity = CAPACITY) {
    this.#cpus = cpus
    this.locks = new Locks(t, cpus)
    const words = t.words(ringBytes(capacity) / 4 + 16)
    this.#address = Math.ceil((words.base * 4) / 64) * 64
    t.name(this.locks.memory, this.#address, RingRoot, 'ring')
    initialiseRing(this.locks.memory, this.#address, capacity)
    const ring = this.#open(0)
    ring.trySend(0)
    ring.tryReceive()
    for (const message of messages) ring.trySend(message)
  }

  open(cpu: CpuContext, hears = false): Numbers {
    return cpu.prepare(() => this.#open(cpu.number, hears))
  }
  #open(cpu: number, hears = false): Numbers {
    const { locks } = this
    const state = locks.state(cpu, hears)
    const queue = (mask: number, address: number, name: string) => new WaitQueue(state, mask, address, name)
    const parts = {
      own: Object.assign(state.own, { map: { cpus: this.#cpus } }),
      sync: { state, queue },
      lock: locks.layerLock(cpu),
      life: new Life(),
    }
    const place = openRing(locks.memory, this.#address)
    return new NumberRing('r', place, { codec: valueCodecs.i32, isFixed: true }, parts)
  }

  /** In the place of a CPU that has died. */
  openAgain(cpu: number): Numbers {
    return this.#open(cpu)
  }
  get isEmpty(): boolean {
    return isEmpty(openRing(this.locks.memory, this.#address))
  }

  /** What the reaper does, in the order of the supervisor. */
  reap(cpu: number): void {
    const { doorbell } = this.locks.state(cpu).own
    for (let other = 0; other < this.#cpus; other++) doorbell.ringer.ring(other, REASON_WAKE)
    this.locks.recover(cpu)
  }
}
