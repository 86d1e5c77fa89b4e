/**
 * Doorbells: how a CPU hears that it is to do something, and how it waits for others without
 * blocking. Ringing them is in ringer.ts.
 *
 *     cpu.bell     a bit per reason, set by ringers, taken all at once by the CPU when it answers
 *     cpu.hint     plain copy for `poll`: may lag, never decides
 *     cpu.waiters  a bit per CPU that wants to be rung (WAKE) when this CPU's progress words change
 *
 * A CPU sleeps on its own bell only, whatever it waits for. It enters itself in the waiters of what
 * it waits for, checks its condition, and checks it again each time it is rung.
 *
 * An answer runs as a job of its own, or inside `poll`, which the caller places. So no synchronous
 * section of this thread is under way, and answering is a quiescent state.
 *
 * Cost: see "machine" in docs/benchmarks.md for round trips.
 */
import * as mem from '#mem'
import {
  addAtomic32,
  awaitUntil,
  exchangeAtomic32,
  loadAtomic32,
  notify32,
  orAtomic32,
  storeAtomic32,
  waitAsync32,
  canWaitAsync,
} from '#mem'
import { checkOneOf } from '../machine/check.js'
import type { CpuTable } from './cpu-table.js'
import { UnsupportedError } from '../machine/errors.js'
import { Cpu } from '../machine/layouts.js'
import { host, reportError, type Channel } from '../machine/platform.js'
import { Deadline } from '../machine/wait-options.js'
import { ensureStack, MANY } from '../stack.js'
import { openChannel, REASON_WAKE, Ringer } from './ringer.js'
import { Vigil } from './vigil.js'

/** A local constant: an imported binding is looked up anew at each `poll` (0.3 ns). */
const { load32, store32 } = mem

/** Bounds of the tries of {@link Doorbell.until} before it sleeps: about 1 and 10 µs. */
const MIN_TRIES = 32
const MAX_TRIES = 256
/** Waits in a row that need not sleep, between two that go through the event loop. */
const UNSLEPT = 256

/**
 * Whether this CPU hears its bell by `Atomics.waitAsync` or, where that is missing, by messages.
 */
export type DoorbellMode = 'waitAsync' | 'port'

/**
 * @throws ArgumentError for another mode; UnsupportedError for one that this engine does not have.
 */
export function chooseDoorbellMode(wanted: DoorbellMode | undefined): DoorbellMode {
  checkOneOf('doorbell', wanted, ['waitAsync', 'port'])
  const mode = wanted ?? (canWaitAsync ? 'waitAsync' : 'port')
  if (mode === 'waitAsync' ? canWaitAsync : host.BroadcastChannel) return mode
  throw new UnsupportedError(
    mode === 'port'
      ? 'there is no BroadcastChannel here, which a doorbell by messages needs'
      : "there is no Atomics.waitAsync here; use doorbell: 'port'",
  )
}

/** One CPU's own end: hears, answers, and waits. */
export class Doorbell {
  readonly ringer: Ringer
  /** While something is waited for. */
  readonly vigil = new Vigil()
  readonly #table: CpuTable
  readonly #cpu: number
  readonly #bell: number
  readonly #hint: number
  readonly #heard: number
  readonly #handlers = new Map<number, () => void>()
  readonly #waits = new Set<Wait>()
  /** Set by the VPA layer: is told of each answer, before it is given. */
  onAnswer: ((reasons: number) => void) | undefined
  #channel: Channel | undefined
  #tries = MAX_TRIES
  #unslept = 0
  #answering = false
  #owed = 0
  #muted = false
  #open = true
  /** Set by the lock layer: a section is open, in the middle of which nothing is answered. */
  isHeldBack: () => boolean = () => false
  /** Set by the CPU: whether the bell is this thread's still. */
  holdsNumber: () => boolean = () => true

  constructor(table: CpuTable, cpu: number) {
    this.ringer = new Ringer(table)
    this.#table = table
    this.#cpu = cpu
    this.#bell = table.record(cpu) + Cpu.words.bell
    this.#hint = table.record(cpu) + Cpu.words.hint
    this.#heard = table.record(cpu) + Cpu.words.heard
    this.on(REASON_WAKE, () => this.#recheck())
  }

  /** Sets what is done for one reason (a single bit), in place of what was done before. */
  on(reason: number, handler: () => void): void {
    this.#handlers.set(reason, handler)
  }

  /**
   * As {@link on}, unless that reason has a handler: then undefined. Returns a function that ends
   * it.
   */
  add(reason: number, handler: () => void): (() => void) | undefined {
    if (this.#handlers.has(reason)) return undefined
    this.on(reason, handler)
    return () => {
      if (this.#handlers.get(reason) === handler) this.#handlers.delete(reason)
    }
  }

  /**
   * Starts hearing, before the CPU comes online: what was rung for an earlier incarnation is
   * dropped.
   */
  start(mode: DoorbellMode): void {
    const { i32 } = this.#table.memory
    // atomic: the CPU is not online yet; E in setState publishes these.
    exchangeAtomic32(i32, this.#bell, 0)
    const port = this.#table.record(this.#cpu) + Cpu.words.port
    storeAtomic32(i32, port, 0)
    store32(i32, this.#hint, 0)
    if (mode === 'waitAsync') {
      this.#listenToWord().catch(reportError)
      return
    }
    this.#channel = openChannel(this.#table.map.id, this.#cpu)
    this.#channel.onmessage = ({ data }) => {
      this.#hear(data)
    }
    // Messages to the thread that had this number before do not arrive here.
    this.#countHeard()
    // atomic: after the count; before it nobody sends messages.
    storeAtomic32(i32, port, 1)
  }

  /** Stops hearing. Waits that are under way end as if they had timed out. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    for (const wait of [...this.#waits]) this.#settle(wait, false)
    this.ringer.close()
    this.#channel?.close()
    // atomic: ends the pending waitAsync of #listenToWord.
    if (!this.#channel) notify32(this.#table.memory.i32, this.#bell)
  }

  /**
   * Makes `Machine.poll`: answers now if somebody has rung; one plain load and one plain store
   * otherwise. A closure over one view, because the engine then treats that view as a constant.
   *
   * The load is of a racy word and may lag; the store is there so that no engine moves the load out
   * of the caller's loop.
   */
  makePoll(): () => void {
    const view = this.#table.memory.i32
    const hint = this.#hint
    const polled = this.#table.record(this.#cpu) + Cpu.words.polled
    return () => {
      if (load32(view, hint) === 0) store32(view, polled, 1)
      else this.answer()
    }
  }

  /**
   * Whether nothing is answered now: this is being called by an answer, or the CPU is in an idle
   * stretch.
   */
  get isMuted(): boolean {
    return this.#answering || this.#muted
  }
  /**
   * A handler that ran meanwhile could read memory that a grace period, which does not wait for
   * idle CPUs, frees.
   */
  mute(muted: boolean): void {
    this.#muted = muted
  }

  /**
   * Takes all reasons rung so far and does what they ask for. The caller is at a point where
   * nothing is being read. In a section nothing is answered: what a handler commits would be taken
   * back with the section.
   */
  answer(): void {
    // Mutant: cpus/answers-in-sections.
    if (this.isMuted || this.isHeldBack() || !this.#isOwn()) return
    ensureStack(MANY)
    this.#answering = true
    try {
      const { i32 } = this.#table.memory
      store32(i32, this.#hint, 0)
      // L(cpu.bell) pairs with K in ring: what the ringers wrote before they rang may be read.
      // Mutant: cpus/ring-before-call.
      let reasons = exchangeAtomic32(i32, this.#bell, 0) | this.#owed
      this.#owed = 0
      if (reasons !== 0) this.onAnswer?.(reasons)
      for (; reasons !== 0; reasons &= reasons - 1) {
        try {
          this.#handlers.get(reasons & -reasons)?.()
        } catch (error) {
          reportError(error)
        }
      }
    } finally {
      this.#answering = false
    }
  }

  /**
   * This CPU owes itself an answer. It gives it when it polls, unless it does without it by
   * {@link settleOwn} first. Wakes nobody.
   */
  oweOwn(reason: number): void {
    this.#owed |= reason
    store32(this.#table.memory.i32, this.#hint, 1)
  }
  settleOwn(reason: number): void {
    this.#owed &= ~reason
  }

  /** Whether an answer is under way on this stack. */
  get isAnswering(): boolean {
    return this.#answering
  }
  /**
   * Takes what was rung so far without answering it; to be rung again by the caller, who sleeps on
   * the bell meanwhile.
   */
  take(): number {
    if (!this.#isOwn()) return 0
    // atomic: as L; what the ringers wrote before is read by whoever answers the ring that follows
    // this.
    return exchangeAtomic32(this.#table.memory.i32, this.#bell, 0)
  }

  /** Whoever was declared dead by mistake takes no rings of the next thread of its number. */
  #isOwn(): boolean {
    if (!this.#open) return false
    // Mutant: cpus/answers-for-others.
    if (this.holdsNumber()) return true
    this.close()
    return false
  }

  /** Asks all conditions of {@link until} again. */
  recheck(): void {
    this.#recheck()
  }

  /**
   * Resolves to true as soon as `done()` holds, or to false at the deadline. `done` reads words
   * whose writers ring those in `masks` afterwards, and is called again then; `masks`: word indices
   * of masks of CPUs. Keeps the process alive meanwhile. Rejects with the reason of the deadline's
   * signal when that aborts.
   */
  until(masks: readonly number[], done: () => boolean, deadline = new Deadline()): Promise<boolean> {
    return new Promise((resolve, reject) => {
      deadline.throwIfAborted()
      if (!this.#spin(done)) this.#sleep({ masks, done, resolve, reject }, deadline)
      // A loop of waits that never have to wait still lets timers and sockets have their turn.
      else if (++this.#unslept % UNSLEPT === 0) host.setTimeout(() => resolve(true), 0)
      else resolve(true)
    })
  }
  /** As {@link until}, for what is known to take its time: it is not tried before. */
  sleepUntil(masks: readonly number[], done: () => boolean, deadline: Deadline): Promise<boolean> {
    return new Promise((resolve, reject) => {
      deadline.throwIfAborted()
      this.#sleep({ masks, done, resolve, reject }, deadline)
    })
  }
  #sleep(waited: Omit<Wait, 'stop'>, deadline: Deadline): void {
    const stop = deadline.watch(
      () => this.#look(wait, true),
      (reason) => {
        if (this.#forget(wait)) wait.reject(reason)
      },
    )
    const wait: Wait = { ...waited, stop }
    this.#waits.add(wait)
    // Nobody rings any more.
    if (!this.#open) return this.#settle(wait, false)
    if (this.#waits.size === 1) this.vigil.begin()
    this.#look(wait)
  }

  /**
   * Tries for some microseconds before sleeping: a CPU that answers at once, as most do, saves this
   * one the way through its event loop. Adaptive, as the kernel's halt polling: longer after a
   * success, shorter after a failure.
   */
  #spin(done: () => boolean): boolean {
    const succeeded = awaitUntil(done, this.#tries)
    this.#tries = succeeded ? Math.min(MAX_TRIES, this.#tries * 2) : Math.max(MIN_TRIES, this.#tries >> 1)
    return succeeded
  }

  #recheck(): void {
    for (const wait of [...this.#waits]) this.#look(wait)
  }

  /** Enters this CPU in a mask, before it looks at what it waits for. */
  enter(mask: number): void {
    // M(cpu.waiters) pairs with N in wakeAll: set before the condition is read, so progress that
    // the check misses finds the bit. Mutant: cpus/check-before-waiting.
    orAtomic32(this.#table.memory.i32, mask + (this.#cpu >>> 5), 1 << (this.#cpu & 31))
  }

  #holds({ masks, done }: Wait): boolean {
    for (const mask of masks) this.enter(mask)
    return done()
  }
  /**
   * Asks its condition. What that throws ends this wait, and no other one. `isLast`: the time is
   * over. Mutant: cpus/condition-throws.
   */
  #look(wait: Wait, isLast = false): void {
    if (!this.#waits.has(wait)) return
    try {
      const holds = this.#holds(wait)
      if (holds || isLast) this.#settle(wait, holds)
    } catch (error) {
      if (this.#forget(wait)) wait.reject(error)
    }
  }

  #settle(wait: Wait, result: boolean): void {
    if (this.#forget(wait)) wait.resolve(result)
  }
  /** Whether it was under way. */
  #forget(wait: Wait): boolean {
    if (!this.#waits.delete(wait)) return false
    wait.stop()
    if (this.#waits.size === 0) this.vigil.end()
    return true
  }

  async #listenToWord(): Promise<void> {
    let busy = 0
    while (this.#open) {
      // atomic: sleeps only while the bell is 0, so a ring in between is not lost.
      const heard = waitAsync32(this.#table.memory.i32, this.#bell, 0)
      busy = heard.async ? 0 : busy + 1
      // A CPU that is rung without pause still lets its timers and sockets have their turn.
      await (busy > 64 ? new Promise<void>((resolve) => host.setTimeout(resolve, 0)) : heard.value)
      this.#answerIfOpen()
    }
  }

  /** A message has come that was sent at the count `sentAt`. */
  #hear(sentAt: unknown): void {
    if (!this.#open) return
    // atomic: only this CPU counts.
    if (sentAt === loadAtomic32(this.#table.memory.i32, this.#heard)) this.#countHeard()
    this.answer()
  }
  #countHeard(): void {
    // VT(cpu.heard) pairs with VS in #send: counted before the bell is taken. So a ringer that
    // still finds the old count has its bell taken, and one that finds the new one sends a message.
    // Mutant: cpus/heard-after-answer.
    addAtomic32(this.#table.memory.i32, this.#heard, 1)
  }

  #answerIfOpen(): void {
    if (this.#open) this.answer()
  }
}

interface Wait {
  readonly masks: readonly number[]
  readonly done: () => boolean
  readonly resolve: (result: boolean) => void
  readonly reject: (reason: unknown) => void
  /** Ends its timer, and listening to its signal. */
  readonly stop: () => void
}
