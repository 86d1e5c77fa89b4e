/**
 * The shared words of cross calls.
 *
 *     cpu[caller].callSequence   a multiple of 4: the call below is complete; odd: it is being
 *                                written
 *                .callFunction (two words), .callArgument, .callMask
 *     answers[target][caller]    the last sequence that the target is done with, and RAN, FAILED, …
 *
 * Rules: a caller's words are written by that CPU, or by its reaper. A row of answers is written by
 * its target only. So neither side ever waits for a word that only a dead thread would write. A
 * target that died, left or is deaf is told by its state; a caller that died leaves a complete call
 * or an odd sequence.
 *
 * Sequences wrap after 2^30 calls of one caller; only equality is asked for. A call is mistaken for
 * an earlier one only if the target has answered none of the exactly 2^30 calls between, or of a
 * multiple: it was not meant by any of them, and is by the next. They take hours at least.
 */
import { loadAtomic32, storeAtomic32 } from '#mem'
import { hashText } from '../arithmetic.js'
import type { CpuTable } from './cpu-table.js'
import { Cpu } from '../machine/layouts.js'
import { MASK_WORDS } from '../machine/limits.js'

const { words } = Cpu
const STEP = 4
const STATUS = STEP - 1
const WRITING = 1

/**
 * How a target is done with a call. RAN: the function returned. FAILED: it threw, or is not
 * registered. SKIPPED: the CPU was deaf. MISSED: the CPU was not online when the call began.
 */
export const RAN = 0
export const FAILED = 1
export const SKIPPED = 2
export const MISSED = 3
export type CallStatus = typeof RAN | typeof FAILED | typeof SKIPPED | typeof MISSED

/** Names a function in all threads: a 64-bit hash of its name. */
export type FunctionId = readonly [number, number]

export interface Call {
  readonly sequence: number
  readonly id: FunctionId
  readonly argument: number
}

export class CallRecords {
  readonly #table: CpuTable
  readonly #cpu: number

  constructor(table: CpuTable, cpu: number) {
    this.#table = table
    this.#cpu = cpu
  }

  /** Begins this CPU's next call, in place of the one before; returns its sequence. */
  begin(): number {
    const sequence = ((this.#sequence(this.#cpu) & ~STATUS) + STEP) | 0
    // S(cpu.callSequence) odd while the call is written; pairs with T in #sequence: nobody copies
    // the call. Mutant: cpus/call-sequence-even.
    storeAtomic32(
      this.#table.memory.i32,
      this.#table.record(this.#cpu) + words.callSequence,
      sequence | WRITING,
    )
    return sequence
  }

  complete(sequence: number, targets: readonly number[], id: FunctionId, argument: number): void {
    const { i32 } = this.#table.memory
    const record = this.#table.record(this.#cpu)
    const mask = new Array<number>(MASK_WORDS).fill(0)
    for (const cpu of targets) mask[cpu >>> 5] = (mask[cpu >>> 5] ?? 0) | (1 << (cpu & 31))
    // atomic: ordered by S and Z, all of them.
    id.forEach((half, i) => storeAtomic32(i32, record + words.callFunction + i, half))
    storeAtomic32(i32, record + words.callArgument, argument)
    mask.forEach((bits, i) => storeAtomic32(i32, record + words.callMask + i, bits))
    // Z(cpu.callSequence) a multiple of 4 again; pairs with T in #sequence: the call is whole, and
    // its targets' to copy. Mutant: cpus/ring-before-call.
    storeAtomic32(i32, record + words.callSequence, sequence)
  }

  /** The call of `caller` that this CPU has still to run, if there is one. */
  pending(caller: number): Call | undefined {
    const { i32 } = this.#table.memory
    const record = this.#table.record(caller)
    const sequence = this.#sequence(caller)
    if ((sequence & WRITING) !== 0 || sequence === (this.#answerOf(this.#cpu, caller) & ~STATUS))
      return undefined
    // atomic: ordered by T before and after, all four.
    const copy = (field: number) => loadAtomic32(i32, record + field)
    const mask = copy(words.callMask + (this.#cpu >>> 5))
    const id = [copy(words.callFunction), copy(words.callFunction + 1)] as const
    const argument = copy(words.callArgument)
    if (this.#sequence(caller) !== sequence || (mask & (1 << (this.#cpu & 31))) === 0) return undefined
    return { sequence, id, argument }
  }

  /** This CPU is done with that call. */
  answer(caller: number, sequence: number, status: CallStatus): void {
    // U(cpu.answers) pairs with V in #answerOf: what the function did may be read by the caller.
    // Mutant: cpus/answer-before-run.
    storeAtomic32(this.#table.memory.i32, this.#answerWord(this.#cpu, caller), sequence | status)
  }

  /**
   * How `target` is done with this CPU's call of that sequence; undefined as long as it has not
   * said.
   */
  statusAt(target: number, sequence: number): CallStatus | undefined {
    const answer = this.#answerOf(target, this.#cpu)
    return (answer & ~STATUS) === sequence ? ((answer & STATUS) as CallStatus) : undefined
  }

  /**
   * Before the CPU comes online: calls made to an earlier incarnation, also one being written, are
   * not run by this one.
   */
  skipEarlier(): void {
    for (let caller = 0; caller < this.#table.map.cpus; caller++) {
      const sequence = this.#sequence(caller) & ~STATUS
      if ((this.#answerOf(this.#cpu, caller) & ~STATUS) !== sequence) this.answer(caller, sequence, MISSED)
    }
  }

  #sequence(caller: number): number {
    // T(cpu.callSequence) before and after the copy; pairs with S in begin, Z in complete: a copy
    // between two equal, complete sequences is one whole call. Mutant: cpus/call-sequence-even.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(caller) + words.callSequence)
  }
  #answerOf(target: number, caller: number): number {
    // V(cpu.answers) pairs with U in answer: the caller may rely on the function's effects, and
    // reuse its call record. Mutant: cpus/answer-before-run.
    return loadAtomic32(this.#table.memory.i32, this.#answerWord(target, caller))
  }
  #answerWord(target: number, caller: number): number {
    return this.#table.map.callTable + target * this.#table.map.cpus + caller
  }
}

/**
 * For the reaper: a call that its dead caller was writing becomes a whole one that is meant for
 * nobody.
 */
export function finishCall(table: CpuTable, caller: number): void {
  const { i32 } = table.memory
  const record = table.record(caller)
  // atomic: the caller is dead, and the targets trust no odd sequence.
  const sequence = loadAtomic32(i32, record + words.callSequence)
  if ((sequence & WRITING) === 0) return
  // atomic: as above; the sequence last.
  for (let i = 0; i < MASK_WORDS; i++) storeAtomic32(i32, record + words.callMask + i, 0)
  storeAtomic32(i32, record + words.callSequence, (sequence & ~STATUS) + STEP)
}

/** Two independent 32-bit hashes. By accident, no two of a million names are alike in both. */
export function functionId(name: string): FunctionId {
  let low = 0x2545f491
  for (let i = 0; i < name.length; i++)
    low = Math.imul((low << 5) ^ (low >>> 27) ^ name.charCodeAt(i), 0x5bd1e995)
  return [hashText(name) | 0, low | 0]
}
