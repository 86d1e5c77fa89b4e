/**
 * Cross calls: run a registered function on other CPUs. (After the kernel's `smp_call_function_many`.)
 *
 *     cpu[caller].callSequence   a multiple of 4: the call below is complete; odd: it is being written
 *                .callFunction, .callArgument, .callMask
 *     answers[target][caller]    the last sequence that the target is done with, plus RAN, FAILED or SKIPPED
 *
 * A caller has one call under way at a time; further ones queue in its own thread. It writes the call and rings. A target
 * that hears CALL looks at every caller's sequence, copies what is new and meant for it, checks that the sequence stood still
 * meanwhile, runs it, and answers in its own row. So neither side ever waits for a word that only a dead thread would write: a
 * target that died, left or is deaf is told by its state; a caller that died leaves a complete call or an odd sequence.
 * Sequences wrap after 2^30 calls; only equality is asked for.
 */
import { loadAtomic32, storeAtomic32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { stateOf, type CpuTable } from './cpu-table.js'
import { REASON_CALL, REASON_WAKE, type Doorbell } from './doorbell.js'
import { UnansweredError } from './errors.js'
import { Cpu } from './layouts.js'
import { MASK_WORDS } from './limits.js'
import { host, reportError, type Timer } from './platform.js'

export interface CallOptions {
  /** A 32-bit integer passed to the function. Default 0. */
  readonly argument?: number
  /** False: do not wait until it has run everywhere. Default: wait. */
  readonly wait?: boolean
  /** Milliseconds to wait before an UnansweredError. Default: for ever. */
  readonly timeout?: number
}
export interface CallOutcome {
  /** CPUs on which the function ran. */
  readonly ran: readonly number[]
  /** CPUs on which it threw (the error surfaces there) or is not registered. */
  readonly failed: readonly number[]
  /** CPUs that were not online, or left or died before they answered. */
  readonly gone: readonly number[]
  /** CPUs that are deaf. */
  readonly deaf: readonly number[]
}
export type CallFunction = (argument: number) => void

interface Target {
  readonly cpu: number
  readonly stateWord: number
}

const { words } = Cpu
const STEP = 4
const STATUS = STEP - 1
const WRITING = 1
const RAN = 0
const FAILED = 1
const SKIPPED = 2

export class Calls {
  readonly #table: CpuTable
  readonly #doorbell: Doorbell
  readonly #cpu: number
  readonly #functions = new Map<number, { readonly name: string; readonly run: CallFunction }>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(table: CpuTable, doorbell: Doorbell, cpu: number) {
    this.#table = table
    this.#doorbell = doorbell
    this.#cpu = cpu
    doorbell.on(REASON_CALL, () => this.#runPending())
  }

  /** Before the CPU comes online: calls made to an earlier incarnation are not run by this one. */
  start(): void {
    for (let caller = 0; caller < this.#table.map.cpus; caller++) {
      const sequence = this.#sequence(caller) & ~STATUS
      if ((this.#answerOf(this.#cpu, caller) & ~STATUS) !== sequence) this.#answer(caller, sequence | SKIPPED)
    }
  }

  /** Lets other CPUs call `run` here by its name. Returns a function that takes it back. */
  register(name: string, run: CallFunction): () => void {
    const id = hashName(name)
    const other = this.#functions.get(id)
    if (other) {
      const why =
        other.name === name ? 'is registered already' : `has the same hash as '${other.name}'; rename one`
      throw new ArgumentError(`function '${name}' ${why}`, { name })
    }
    this.#functions.set(id, { name, run })
    return () => this.#functions.delete(id)
  }

  /** Calls are made one after another; see `Machine.callFunctionMany`. */
  call(cpus: readonly number[], name: string, options: CallOptions): Promise<CallOutcome> {
    const outcome = this.#last.then(() => this.#call(cpus, name, options))
    const ended = () => undefined
    this.#last = outcome.then(({ all }) => all).then(ended, ended)
    return outcome.then(({ all, first }) => first ?? all)
  }

  /** Resolves when no call of this CPU is under way. */
  async drain(): Promise<void> {
    await this.#last
  }

  /** `all` settles when every target has answered; `first` is given at once to a caller that does not wait. */
  async #call(
    cpus: readonly number[],
    name: string,
    { argument = 0, wait = true, timeout }: CallOptions,
  ): Promise<{ all: Promise<CallOutcome>; first: CallOutcome | undefined }> {
    const deaf = cpus.filter((cpu) => this.#isDeaf(cpu))
    const listening = cpus.filter((cpu) => !deaf.includes(cpu))
    const targets = listening
      .map((cpu) => ({ cpu, stateWord: this.#table.stateWord(cpu) }))
      .filter(({ stateWord }) => stateOf(stateWord) === 'online')
    const sequence = this.#write(targets, hashName(name), argument)
    for (const { cpu } of targets) this.#doorbell.ringer.ring(cpu, REASON_CALL)
    const all = this.#collect(listening, deaf, targets, sequence, name, wait ? timeout : undefined)
    if (wait) {
      await all
      return { all, first: undefined }
    }
    all.catch(reportError)
    return { all, first: { ran: [], failed: [], gone: [], deaf } }
  }

  #write(targets: readonly Target[], id: number, argument: number): number {
    const { i32 } = this.#table.memory
    const record = this.#table.record(this.#cpu)
    const sequence = (this.#sequence(this.#cpu) & ~STATUS) + STEP
    const mask = new Array<number>(MASK_WORDS).fill(0)
    for (const { cpu } of targets) mask[cpu >>> 5] = (mask[cpu >>> 5] ?? 0) | (1 << (cpu & 31))
    // S(cpu.callSequence) odd, then a multiple of 4 again, around the call's words; pairs with T in #sequence: an equal, complete
    // sequence before and after copying means that the copy is one whole call. Mutant: machine/call-sequence-even.
    storeAtomic32(i32, record + words.callSequence, sequence | WRITING)
    // atomic: ordered by S, all five.
    storeAtomic32(i32, record + words.callFunction, id)
    storeAtomic32(i32, record + words.callArgument, argument)
    mask.forEach((bits, i) => storeAtomic32(i32, record + words.callMask + i, bits))
    // atomic: the second half of S.
    storeAtomic32(i32, record + words.callSequence, sequence)
    return sequence | 0
  }

  async #collect(
    listening: readonly number[],
    deaf: readonly number[],
    targets: readonly Target[],
    sequence: number,
    name: string,
    timeout: number | undefined,
  ): Promise<CallOutcome> {
    const pending = () =>
      targets.filter((target) => !this.#isGone(target) && !this.#hasAnswered(target, sequence))
    const again = this.#ringParkedAgain(pending)
    try {
      const done = await this.#doorbell.until(
        targets.map(({ cpu }) => cpu),
        () => pending().length === 0,
        timeout,
      )
      if (!done) {
        const late = pending().map(({ cpu }) => cpu)
        throw new UnansweredError(`'${name}' was not answered by CPU ${late.join(', ')}`, {
          cpus: late,
          function: name,
          timeout,
        })
      }
    } finally {
      again.stop()
    }
    const answered = (status: number) =>
      targets.map(({ cpu }) => cpu).filter((cpu) => this.#answerOf(cpu, this.#cpu) === (sequence | status))
    const ran = answered(RAN)
    const failed = answered(FAILED)
    return { ran, failed, gone: listening.filter((cpu) => !ran.includes(cpu) && !failed.includes(cpu)), deaf }
  }

  /**
   * A CPU may start to park between this ring and the wake-up: `Atomics.wait` sleeps on the user's word, which a ring does not
   * change. Rung again while it stays parked, it hears the next one.
   */
  #ringParkedAgain(pending: () => readonly Target[]): { stop: () => void } {
    let timer: Timer | undefined
    const again = (delay: number) => {
      timer = host.setTimeout(() => {
        for (const { cpu } of pending()) {
          // atomic: a hint whom to ring.
          const parked = loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.parkedOn) >= 0
          if (parked) this.#doorbell.ringer.ring(cpu, REASON_CALL)
        }
        again(Math.min(2 * delay, 100))
      }, delay)
      timer.unref?.()
    }
    again(1)
    return { stop: () => timer && host.clearTimeout(timer) }
  }

  #runPending(): void {
    for (let caller = 0; caller < this.#table.map.cpus; caller++) {
      const call = this.#copyCall(caller)
      if (!call) continue
      let status = FAILED
      try {
        const registered = this.#functions.get(call.id)
        registered?.run(call.argument)
        if (registered) status = RAN
      } catch (error) {
        reportError(error)
      }
      this.#answer(caller, call.sequence | status)
      this.#doorbell.ringer.ring(caller, REASON_WAKE)
    }
  }

  /** The call of `caller` that this CPU has still to run, if there is one. */
  #copyCall(caller: number): { sequence: number; id: number; argument: number } | undefined {
    const { i32 } = this.#table.memory
    const record = this.#table.record(caller)
    const sequence = this.#sequence(caller)
    if ((sequence & WRITING) !== 0 || sequence === (this.#answerOf(this.#cpu, caller) & ~STATUS))
      return undefined
    // atomic: ordered by S and T, all three.
    const mask = loadAtomic32(i32, record + words.callMask + (this.#cpu >>> 5))
    const id = loadAtomic32(i32, record + words.callFunction)
    const argument = loadAtomic32(i32, record + words.callArgument)
    if (this.#sequence(caller) !== sequence || (mask & (1 << (this.#cpu & 31))) === 0) return undefined
    return { sequence, id, argument }
  }

  #sequence(caller: number): number {
    // T(cpu.callSequence) before and after the copy; pairs with S in #write: a copy between two equal, complete sequences is one
    // whole call. Mutant: machine/call-sequence-even.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(caller) + words.callSequence)
  }
  #answer(caller: number, value: number): void {
    const word = this.#table.map.callTable + this.#cpu * this.#table.map.cpus + caller
    // U(cpu.answers) pairs with V in #answerOf: what the function did may be read by the caller. Mutant:
    // machine/answer-before-run.
    storeAtomic32(this.#table.memory.i32, word, value)
  }
  #answerOf(target: number, caller: number): number {
    // V(cpu.answers) pairs with U in #answer: the caller may rely on the function's effects, and reuse its call record. Mutant:
    // machine/answer-before-run.
    return loadAtomic32(
      this.#table.memory.i32,
      this.#table.map.callTable + target * this.#table.map.cpus + caller,
    )
  }
  #hasAnswered({ cpu }: Target, sequence: number): boolean {
    return (this.#answerOf(cpu, this.#cpu) & ~STATUS) === sequence
  }
  #isGone({ cpu, stateWord }: Target): boolean {
    return this.#table.stateWord(cpu) !== stateWord || this.#isDeaf(cpu)
  }
  #isDeaf(cpu: number): boolean {
    // atomic: a CPU that turns deaf announces it as progress, so a waiting caller looks again.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.deaf) === 1
  }
}

/** FNV-1a of the name, 32 bits, never 0. */
function hashName(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash | 0 || 1
}
