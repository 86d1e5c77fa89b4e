/**
 * Ringing: how one CPU makes another one do something. The words are explained in doorbell.ts.
 *
 * A ringer that is killed between setting the bit and waking leaves a CPU asleep. So does one that
 * took the waiters and has not rung them. Hence every ring wakes, and its reaper rings everybody.
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
/** Rings bells. A thread that is no CPU itself, such as a reaper, can use it too. */
export class Ringer {
  readonly #table: CpuTable
  readonly #channels = new Map<number, Channel>()

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
    if (loadAtomic32(memory.i32, record + Cpu.words.port) === 1) this.#channel(cpu).postMessage(0)
    // atomic: read after K, as the parking CPU reads its bell after it wrote this word: one of both
    // sees the other.
    const parkedOn = loadAtomic32(memory.i32, record + Cpu.words.parkedOn)
    if (parkedOn >= 0 && (reasons & ~(REASON_QUIESCE | REASON_WAKE)) !== 0) notify32(memory.i32, parkedOn)
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
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }

  #channel(cpu: number): Channel {
    let channel = this.#channels.get(cpu)
    if (!channel) {
      channel = openChannel(this.#table.map.id, cpu)
      this.#channels.set(cpu, channel)
    }
    return channel
  }
}

/** The messages by which a CPU is woken that hears its doorbell so. */
export function openChannel(machine: number, cpu: number): Channel {
  if (!host.BroadcastChannel) throw new UnsupportedError('there is no BroadcastChannel here')
  const channel = new host.BroadcastChannel(`percpu/${machine}/${cpu}`)
  channel.unref?.()
  return channel
}
