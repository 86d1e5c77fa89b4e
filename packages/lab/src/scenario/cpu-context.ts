/** The calls that the code of a CPU can make beside its accesses. Each is a step, or makes some. */
import type { Memory } from 'percpu'
import { hook } from '../engine/hook.js'
import { ALLOCATE, CHOOSE, FREE, IPI, IPI_SYNC, MASK, SAFEPOINT } from '../engine/ops.js'
import type { Cpu } from '../engine/process.js'
import { checkLevel, checkMemory, checkWhole, ScenarioError } from '../check.js'

/** A handler that CPUs may send to each other. {@link Scenario.ipi} makes it. */
export interface Ipi {
  readonly name: string
  /** @internal */
  readonly number: number
}

/**
 * The argument of a body: the steps that are no accesses.
 *
 * @throws ScenarioError by each call outside of the body that got it
 */
export interface CpuContext {
  /** The CPU's number. */
  readonly number: number
  /**
   * Runs `action` once for all executions: its accesses are no steps, and every execution starts
   * from the memory that they leave. For joining a machine, or opening objects. A body calls it
   * before its first step.
   */
  prepare<T>(action: () => T): T
  /**
   * One of the whole numbers from 0 to `count` - 1: each is explored.
   *
   * @throws ScenarioError unless `count` is a whole number from 1 on
   */
  choose(count: number): number
  /** Whether an allocation, or another thing that can fail, fails here: both are explored. */
  fails(): boolean
  /**
   * Keeps interrupts up to `level` out; returns the level before. Default: all but the ones of
   * level Infinity.
   *
   * @throws ScenarioError unless `level` is a number from 0 on
   */
  mask(level?: number): number
  /**
   * Lets interrupts above `level` in. Default: 0, all of them.
   *
   * @throws ScenarioError unless `level` is a number from 0 on
   */
  unmask(level?: number): void
  /** A point at which interrupts with `at: 'safepoints'` may come. */
  safepoint(): void
  /**
   * Sends an interrupt to another CPU, or to this one.
   *
   * @throws ScenarioError for a CPU or a handler that is none
   */
  ipi(cpu: number, handler: Ipi): void
  /** As {@link ipi}, and waits until the handler has ended. */
  ipiAndWait(cpu: number, handler: Ipi): void
  /**
   * Says that the block of `bytes` at byte `address` is taken. It must be freed before the end.
   *
   * @throws ScenarioError for a memory, an address or a number of bytes that is none
   */
  allocated(memory: Memory, address: number, bytes: number): void
  /**
   * Says that the block is free. Each access to it from now on is a failure.
   *
   * @throws ScenarioError for a memory, an address or a number of bytes that is none
   */
  freed(memory: Memory, address: number, bytes: number): void
}

/** The body as the engine calls it. */
export function inContext(body: (cpu: CpuContext) => unknown): (cpu: Cpu) => unknown {
  return (cpu) => body(new Context(cpu.number))
}

class Context implements CpuContext {
  constructor(readonly number: number) {}
  prepare<T>(action: () => T): T {
    return runner().prepare(action)
  }
  choose(count: number): number {
    if (!Number.isInteger(count) || count < 1)
      throw new ScenarioError(`choose() takes a whole number from 1 on, not ${count}`)
    return runner().op(CHOOSE, undefined, 0, count, undefined) as number
  }
  fails(): boolean {
    return this.choose(2) === 1
  }
  mask(level = Number.MAX_VALUE): number {
    checkLevel('mask', level)
    return runner().op(MASK, undefined, 0, level, undefined) as number
  }
  unmask(level = 0): void {
    checkLevel('unmask', level)
    runner().op(MASK, undefined, 1, level, undefined)
  }
  safepoint(): void {
    runner().op(SAFEPOINT, undefined, 0, undefined, undefined)
  }
  ipi(cpu: number, handler: Ipi): void {
    runner().op(IPI, undefined, cpu, [cpu, handlerOf('ipi', cpu, handler)], undefined)
  }
  ipiAndWait(cpu: number, handler: Ipi): void {
    runner().op(IPI_SYNC, undefined, cpu, [cpu, handlerOf('ipiAndWait', cpu, handler)], undefined)
  }
  allocated(memory: Memory, address: number, bytes: number): void {
    runner().op(ALLOCATE, blockIn('allocated', memory, address, bytes), address, 0, bytes)
  }
  freed(memory: Memory, address: number, bytes: number): void {
    runner().op(FREE, blockIn('freed', memory, address, bytes), address, 0, bytes)
  }
}

function handlerOf(what: string, cpu: number, handler: Ipi): number {
  checkWhole(`${what}: the CPU`, cpu)
  const { number } = (handler as Ipi | undefined) ?? {}
  if (!Number.isInteger(number)) throw new ScenarioError(`${what}: the handler is none that t.ipi() made`)
  return number as number
}

/** The bytes of the memory in which the block lies. */
function blockIn(what: string, memory: Memory, address: number, bytes: number): never {
  checkMemory(what, memory)
  checkWhole(`${what}: the address`, address)
  checkWhole(`${what}: the number of bytes`, bytes)
  return (memory as unknown as { bytes: never }).bytes
}

function runner() {
  if (hook.runner?.isRunning !== true) throw new ScenarioError('only the body of a CPU can do this')
  return hook.runner
}
