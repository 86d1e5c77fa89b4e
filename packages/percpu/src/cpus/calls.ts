/**
 * Cross calls: run a registered function on other CPUs. (After the kernel's
 * `smp_call_function_many`.)
 *
 * A caller has one call under way at a time; further ones queue in its own thread. It writes the
 * call (call-records.ts) and rings. A target that hears CALL looks at every caller's record, runs
 * what is new and meant for it, and answers in its own row.
 *
 * Guarantee: on a CPU reported as `ran` the function has run once. On one reported as `gone` or
 * `deaf` it has not run and will not. The exception is a target whose thread died in the middle of
 * it.
 */
import { loadAtomic32 } from '#mem'
import { ArgumentError } from '../errors.js'
import {
  FAILED,
  functionId,
  MISSED,
  RAN,
  SKIPPED,
  CallRecords,
  type CallStatus,
  type FunctionId,
} from './call-records.js'
import { incarnationOf, stateOf, type CpuTable } from './cpu-table.js'
import type { Doorbell } from './doorbell.js'
import { REASON_CALL, REASON_WAKE } from './ringer.js'
import { shown } from '../machine/check.js'
import { UnansweredError } from '../machine/errors.js'
import { Cpu } from '../machine/layouts.js'
import { reportError } from '../machine/platform.js'
import { Deadline, type AbortSignalLike, type WaitOptions } from '../machine/wait-options.js'

export interface CallOptions extends WaitOptions {
  /** A 32-bit integer passed to the function. Default 0. */
  readonly argument?: number
  /** False: do not wait until it has run everywhere. Default: wait. */
  readonly wait?: boolean
  /**
   * Milliseconds until an UnansweredError, counted from the call: calls before it are included.
   * Without waiting, it is how long later calls wait for this one. Default: for ever.
   */
  readonly timeout?: number
  /**
   * The call rejects with the signal's reason when it aborts: it is not made if it has not been
   * made by then; otherwise it may still run. Without waiting, the calls behind this one wait no
   * longer for it.
   */
  readonly signal?: AbortSignalLike
}
/** What has become of a call on each CPU that it was for. */
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
/** A function that other CPUs may call, with a signed 32-bit number. */
export type CallFunction = (argument: number) => void

/** A call that has been made. */
interface Made {
  readonly name: string
  readonly sequence: number
  readonly targets: readonly Target[]
  /** Asked for, but not online. */
  readonly absent: readonly number[]
}
interface Target {
  readonly cpu: number
  readonly incarnation: number
}

export class Calls {
  readonly #table: CpuTable
  readonly #doorbell: Doorbell
  readonly #records: CallRecords
  readonly #functions = new Map<string, { readonly name: string; readonly run: CallFunction }>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(table: CpuTable, doorbell: Doorbell, cpu: number) {
    this.#table = table
    this.#doorbell = doorbell
    this.#records = new CallRecords(table, cpu)
    doorbell.on(REASON_CALL, () => this.#finishPending((call) => this.#run(call.id, call.argument)))
  }

  /** Before the CPU comes online. */
  start(): void {
    this.#records.skipEarlier()
  }

  /** Lets other CPUs call `run` here by its name. Returns a function that takes it back. */
  register(name: string, run: CallFunction): () => void {
    const key = functionId(name).join()
    const other = this.#functions.get(key)
    if (other) {
      const why =
        other.name === name
          ? 'is registered already'
          : `has the same hash as ${shown(other.name)}; rename one`
      throw new ArgumentError(`function ${shown(name)} ${why}`, { name })
    }
    const entry = { name, run }
    this.#functions.set(key, entry)
    return () => {
      if (this.#functions.get(key) === entry) this.#functions.delete(key)
    }
  }

  /** Makes the call as soon as those before it are done. See `Cpus.call`. */
  call(cpus: readonly number[], name: string, options: CallOptions): Promise<CallOutcome> {
    const { argument = 0, wait = true } = options
    const deadline = new Deadline(options)
    return new Promise((resolve, reject) => {
      let isOver = false
      const giveUp = (reason: Error) => {
        isOver = true
        reject(reason)
      }
      const stop = deadline.watch(() => giveUp(this.#notMade(cpus, name, deadline.timeout)), giveUp)
      const turn = async () => {
        stop()
        if (isOver) return
        const call = this.#make(cpus, name, argument)
        if (!wait) resolve({ ran: [], failed: [], gone: call.absent, deaf: [] })
        resolve(await this.#collect(call, deadline))
      }
      // A call that nobody waits for has been resolved by then, so that being late is nobody's
      // error.
      this.#last = this.#last.then(turn).catch(reject)
    })
  }

  /** Resolves when no call of this CPU is under way. */
  async drain(): Promise<void> {
    await this.#last
  }

  /** This CPU was deaf. Calls made to it meanwhile have been reported so, and are not run. */
  skipPending(): void {
    this.#finishPending(() => SKIPPED)
  }

  #make(cpus: readonly number[], name: string, argument: number): Made {
    // Begun before the states are read: a thread that comes online as a target's next incarnation
    // after that skips this call.
    const sequence = this.#records.begin()
    const states = cpus.map((cpu) => ({ cpu, word: this.#table.stateWord(cpu) }))
    const targets = states
      .filter(({ word }) => stateOf(word) === 'online')
      .map(({ cpu, word }) => ({ cpu, incarnation: incarnationOf(word) }))
    const present = targets.map(({ cpu }) => cpu)
    this.#records.complete(sequence, present, functionId(name), argument)
    for (const cpu of present) this.#doorbell.ringer.ring(cpu, REASON_CALL)
    return { name, sequence, targets, absent: cpus.filter((cpu) => !present.includes(cpu)) }
  }

  async #collect({ name, sequence, targets, absent }: Made, deadline: Deadline): Promise<CallOutcome> {
    const isPending = (target: Target) =>
      this.#records.statusAt(target.cpu, sequence) === undefined &&
      !this.#isGone(target) &&
      !this.#isDeaf(target.cpu)
    const pending = () => targets.filter(isPending)
    const present = targets.map(({ cpu }) => cpu)
    const masks = present.map((cpu) => this.#table.waiters(cpu))
    const done = await this.#doorbell.until(masks, () => !targets.some(isPending), deadline)
    const late = done ? [] : pending().map(({ cpu }) => cpu)
    if (late.length > 0) throw this.#unanswered(name, late, deadline.timeout)
    const outcome = { ran: [] as number[], failed: [] as number[], gone: [...absent], deaf: [] as number[] }
    for (const target of targets) outcome[this.#resultOf(target, sequence)].push(target.cpu)
    return outcome
  }

  #resultOf(target: Target, sequence: number): keyof CallOutcome {
    const status = this.#records.statusAt(target.cpu, sequence)
    if (status === RAN) return 'ran'
    if (status === FAILED) return 'failed'
    return status === MISSED || this.#isGone(target) ? 'gone' : 'deaf'
  }

  #finishPending(finish: (call: { id: FunctionId; argument: number }) => CallStatus): void {
    for (let caller = 0; caller < this.#table.map.cpus; caller++) {
      const call = this.#records.pending(caller)
      if (!call) continue
      this.#records.answer(caller, call.sequence, finish(call))
      this.#doorbell.ringer.ring(caller, REASON_WAKE)
    }
  }

  #run(id: FunctionId, argument: number): CallStatus {
    const registered = this.#functions.get(id.join())
    if (!registered) return FAILED
    try {
      registered.run(argument)
      return RAN
    } catch (error) {
      reportError(error)
      return FAILED
    }
  }

  /** A CPU that is stopping still answers. Once it is offline, it answers nothing any more. */
  #isGone({ cpu, incarnation }: Target): boolean {
    const word = this.#table.stateWord(cpu)
    const state = stateOf(word)
    return incarnationOf(word) !== incarnation || state === 'offline' || state === 'dead'
  }
  #isDeaf(cpu: number): boolean {
    // X(cpu.deaf) read after the call is written; pairs with Y in Idle.#hear: a CPU reported as
    // deaf does not run the call later. Mutant: cpus/deaf-runs-later.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + Cpu.words.deaf) === 1
  }

  #notMade(cpus: readonly number[], name: string, timeout: number): UnansweredError {
    return new UnansweredError(
      `${shown(name)} was not called: this thread's call before it has not been answered yet`,
      {
        cpus,
        function: name,
        timeout,
      },
    )
  }
  #unanswered(name: string, cpus: readonly number[], timeout: number): UnansweredError {
    return new UnansweredError(`${shown(name)} was not answered by CPU ${cpus.join(', ')}`, {
      cpus,
      function: name,
      timeout,
    })
  }
}
