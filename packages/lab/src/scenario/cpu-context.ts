/** What the code of a CPU can do beside its accesses: each is a step, or makes some. */
import type { Memory } from 'percpu'
import { hook } from '../engine/hook.js'
import { ALLOCATE, CHOOSE, FREE, IPI, IPI_SYNC, MASK, SAFEPOINT } from '../engine/ops.js'
import type { Cpu } from '../engine/process.js'
import { ScenarioError } from './check.js'

/** A handler that CPUs may send to each other: made by {@link Scenario.ipi}. */
export interface Ipi {
  readonly name: string
  /** @internal */
  readonly number: number
}

/** What a body gets: the steps that are no accesses. */
export interface CpuContext {
  /** Its number. */
  readonly number: number
  /**
   * Runs `action` once for all executions: its accesses are no steps, and what they change is there from the start. Before the
   * first step only. For joining a machine, opening objects.
   */
  prepare<T>(action: () => T): T
  /** One of the numbers below `count`: each is explored. */
  choose(count: number): number
  /** Whether something that can fail (an allocation) fails here: both are explored. */
  fails(): boolean
  /** Keeps interrupts up to `level` (default: all but those of level Infinity) out; returns the level before. */
  mask(level?: number): number
  /** Lets interrupts above `level` (default: 0, all) in. */
  unmask(level?: number): void
  /** A point at which interrupts of `at: 'safepoints'` may come in. */
  safepoint(): void
  /** Sends an interrupt to another CPU, or to this one. */
  ipi(cpu: number, handler: Ipi): void
  /** As {@link ipi}, and waits until the handler has ended. */
  ipiAndWait(cpu: number, handler: Ipi): void
  /** Says that `bytes` at `address` belong to somebody from now on; they must be freed before the end. */
  allocated(memory: Memory, address: number, bytes: number): void
  /** Says that they are free: whoever touches them from now on is wrong. */
  freed(memory: Memory, address: number, bytes: number): void
}

/** The body, as the engine calls it. */
export function inContext(body: (cpu: CpuContext) => unknown): (cpu: Cpu) => unknown {
  return (cpu) => body(new Context(cpu.number))
}

class Context implements CpuContext {
  constructor(readonly number: number) {}
  prepare<T>(action: () => T): T {
    return runner().prepare(action)
  }
  choose(count: number): number {
    if (!Number.isInteger(count) || count < 1) throw new ScenarioError(`choose() takes a count, not ${count}`)
    return runner().op(CHOOSE, undefined, 0, count, undefined) as number
  }
  fails(): boolean {
    return this.choose(2) === 1
  }
  mask(level = Number.MAX_VALUE): number {
    return runner().op(MASK, undefined, 0, level, undefined) as number
  }
  unmask(level = 0): void {
    runner().op(MASK, undefined, 1, level, undefined)
  }
  safepoint(): void {
    runner().op(SAFEPOINT, undefined, 0, undefined, undefined)
  }
  ipi(cpu: number, handler: Ipi): void {
    runner().op(IPI, undefined, cpu, [cpu, handler.number], undefined)
  }
  ipiAndWait(cpu: number, handler: Ipi): void {
    runner().op(IPI_SYNC, undefined, cpu, [cpu, handler.number], undefined)
  }
  allocated(memory: Memory, address: number, bytes: number): void {
    runner().op(ALLOCATE, (memory as unknown as { bytes: never }).bytes, address, 0, bytes)
  }
  freed(memory: Memory, address: number, bytes: number): void {
    runner().op(FREE, (memory as unknown as { bytes: never }).bytes, address, 0, bytes)
  }
}

function runner() {
  if (hook.runner?.isRunning !== true) throw new ScenarioError('only the body of a CPU can do this')
  return hook.runner
}
