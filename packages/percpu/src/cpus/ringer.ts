/**
 * Ringing: how one CPU makes another one do something. The words are explained in doorbell.ts.
 *
 * A ringer that is killed between setting the bit and waking leaves a CPU asleep. So does one that
 * took the waiters and has not rung them. Hence every ring wakes, and its reaper rings everybody.
 *
 * Messages wait in a queue while their CPU computes, so not every ring may send one. A ringer sends
 * none while one of its own, sent at the same count `heard`, has not arrived: that one will wake
 * the CPU. The CPU counts `heard` on when a message arrives that was sent at the present count.
 * Hosts may lose a message to a CPU that has just come online. So one that others rely on is sent
 * again after a while, after twice that, and so on. So few messages of each ringer wait, however
 * long.
 */
import { exchangeAtomic32, loadAtomic32, notify32, orAtomic32, store32 } from '#mem'
import { UnsupportedError } from '../machine/errors.js'
import { Cpu } from '../machine/layouts.js'
import { MASK_WORDS } from '../machine/limits.js'
import { host, type Channel } from '../machine/platform.js'
import type { CpuTable } from './cpu-table.js'

/** The machine's own reasons; those of users start at bit {@link USER_REASONS_SHIFT}. */
export const REASON_QUIESCE = 1
export const REASON_CALL = 2
export const REASON_WAKE = 4
/** Callbacks wait for somebody to run them. rcu/callbacks.ts */
export const REASON_CALLBACKS = 8
/** A supervisor asks for a sign of life, or for other entries in the dispatch log. heartbeat.ts */
export const REASON_WATCH = 64
export const USER_REASONS_SHIFT = 8
export const USER_REASONS = 16

/** In `cpu.parkedOn`: asleep as a waiter in the mask at this word index. */
export function asleepIn(mask: number): number {
  return -2 - mask
}

/** Rings bells. A thread that is no CPU itself, such as a reaper, can use it too. */
export class Ringer {
  readonly #table: CpuTable
  readonly #messengers = new Map<number, Messenger>()

  constructor(table: CpuTable) {
    this.#table = table
  }

  /**
   * Sets the reasons and wakes the CPU, also when it is parked (but a parked CPU needs no waking to
   * be quiescent).
   */
  ring(cpu: number, reasons: number): void {
    const { memory } = this.#table
    const record = this.#table.record(cpu)
    // K(cpu.bell) pairs with L in answer: what the ringer wrote before is the answering CPU's to
    // read. Mutant: cpus/ring-before-call.
    orAtomic32(memory.i32, record + Cpu.words.bell, reasons)
    store32(memory.i32, record + Cpu.words.hint, 1)
    // atomic: a wake-up orders nothing; the bell does.
    notify32(memory.i32, record + Cpu.words.bell)
    // atomic: how to wake is a matter of speed only.
    if (loadAtomic32(memory.i32, record + Cpu.words.port) === 1) this.#send(cpu, record)
    // atomic: read after K, as the parking CPU reads its bell after it wrote this word: one of both
    // sees the other.
    const parkedOn = loadAtomic32(memory.i32, record + Cpu.words.parkedOn)
    if (parkedOn >= 0 && (reasons & ~(REASON_QUIESCE | REASON_WAKE)) !== 0) notify32(memory.i32, parkedOn)
  }

  /**
   * Whether it is asleep as one of the waiters in this mask, and a ring wakes it at once. A
   * snapshot. One that sleeps for something else has a task in the mask at most, which goes on when
   * the thread does. Mutant: sync/asleep-for-another.
   */
  isAsleepIn(mask: number, cpu: number): boolean {
    const { i32 } = this.#table.memory
    const record = this.#table.record(cpu)
    // atomic: snapshots. Where it slept last is no matter to one that is deaf.
    if ((loadAtomic32(i32, record + Cpu.words.idle) & 1) === 0) return false
    const isIn = loadAtomic32(i32, record + Cpu.words.parkedOn) === asleepIn(mask)
    return isIn && loadAtomic32(i32, record + Cpu.words.deaf) === 0
  }

  /** Rings everybody who waits for `cpu`, after one of its progress words changed. */
  wakeWaiters(cpu: number): void {
    this.wakeAll(this.#table.waiters(cpu))
  }

  /** Rings everybody in the mask at this word index, after what they wait for has changed. */
  wakeAll(mask: number): void {
    const { memory } = this.#table
    for (let i = 0; i < MASK_WORDS; i++) {
      // N(cpu.waiters) pairs with M in enter: either this sees the waiter's bit, or the waiter's
      // check, which comes after its bit, sees the progress. Mutant: cpus/check-before-waiting.
      let bits = loadAtomic32(memory.i32, mask + i) === 0 ? 0 : exchangeAtomic32(memory.i32, mask + i, 0)
      for (; bits !== 0; bits &= bits - 1) this.ring(i * 32 + 31 - Math.clz32(bits & -bits), REASON_WAKE)
    }
  }

  close(): void {
    for (const messenger of this.#messengers.values()) messenger.close()
    this.#messengers.clear()
  }

  #send(cpu: number, record: number): void {
    let messenger = this.#messengers.get(cpu)
    if (!messenger) {
      // VS(cpu.heard) pairs with VT in #countHeard: read after the bell was set. If the count is
      // still that of the last message, who takes that message counts, and then takes this bell.
      // Mutant: cpus/heard-after-answer.
      const heard = (): number => loadAtomic32(this.#table.memory.i32, record + Cpu.words.heard)
      messenger = new Messenger(openChannel(this.#table.map.id, cpu), heard)
      this.#messengers.set(cpu, messenger)
    }
    messenger.send()
  }
}

/** Milliseconds after which a message is sent again: the first time, and the longest. */
const RESEND = 10
const LONGEST_RESEND = 2 ** 16

/** Sends messages to one CPU. */
class Messenger {
  readonly #channel: Channel
  readonly #heard: () => number
  /** The count `heard` at which it has sent a message last, and when. */
  #sentAt: number | undefined
  #time = 0
  #patience = RESEND
  #timer: ReturnType<typeof host.setTimeout> | undefined

  constructor(channel: Channel, heard: () => number) {
    this.#channel = channel
    this.#heard = heard
  }

  send(): void {
    const heard = this.#heard()
    const now = host.performance.now()
    const waited = now - this.#time
    const isOnItsWay = heard === this.#sentAt
    if (isOnItsWay && waited < this.#patience) {
      this.#lookAgain(this.#patience - waited)
      return
    }
    this.#patience = isOnItsWay ? this.#patience * 2 : RESEND
    this.#sentAt = heard
    this.#time = now
    this.#channel.postMessage(heard)
  }

  /** A ring relies on a message that is on its way. If that is lost, it is sent again. */
  #lookAgain(milliseconds: number): void {
    if (this.#timer !== undefined || milliseconds > LONGEST_RESEND) return
    this.#timer = host.setTimeout(() => {
      this.#timer = undefined
      if (this.#heard() !== this.#sentAt) return
      this.send()
      this.#lookAgain(this.#patience)
    }, milliseconds)
    this.#timer.unref?.()
  }

  close(): void {
    if (this.#timer !== undefined) host.clearTimeout(this.#timer)
    this.#channel.close()
  }
}

/** The messages by which a CPU is woken that hears its doorbell so. */
export function openChannel(machine: number, cpu: number): Channel {
  if (!host.BroadcastChannel) throw new UnsupportedError('there is no BroadcastChannel here')
  const channel = new host.BroadcastChannel(`percpu/${machine}/${cpu}`)
  channel.unref?.()
  return channel
}
