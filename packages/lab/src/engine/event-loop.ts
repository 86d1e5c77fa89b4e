/**
 * The event loops of CPUs with async bodies.
 *
 * Promise jobs run natively, and all of them before anything else, as in any engine. Timers,
 * immediates and promises of `waitAsync32` are tasks of the CPU: the search decides which of them
 * has its turn.
 *
 * While an exploration runs, the globals that make tasks or tell the time are replaced. Their
 * replacements depend on nothing but the CPU's own past.
 */
import { promiseHooks } from 'node:v8'
import type { StepTaker } from './hook.js'
import { TASK } from './ops.js'
import type { Cpu } from './process.js'

/** Runs all promise jobs, also the ones of rejections that nobody handles. */
export function drain(): void {
  // Node has no other way to empty the queue of promise jobs in the middle of a macrotask.
  ;(process as unknown as { _tickCallback(): void })._tickCallback()
}

type Callback = (...args: unknown[]) => void

export class EventLoop {
  private runner: StepTaker | undefined = undefined
  private cpu: Cpu | undefined = undefined
  /**
   * Whether the code of a CPU has made a promise. Until then there are no promise jobs to run. To
   * look for them costs more than the steps of a small body.
   */
  isAsync = false
  private readonly originals = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setImmediate: globalThis.setImmediate,
    clearImmediate: globalThis.clearImmediate,
    queueMicrotask: globalThis.queueMicrotask,
    now: performance.now.bind(performance),
    dateNow: Date.now,
    random: Math.random,
  }

  /**
   * Says that the code of a CPU is about to run. The function that it returns says that it has
   * ended.
   */
  enter(runner: StepTaker, cpu: Cpu): () => void {
    this.runner = runner
    this.cpu = cpu
    return () => (this.cpu = undefined)
  }

  /** Replaces the globals; the function that it returns puts them back. */
  install(): () => void {
    const { originals } = this
    const tasks =
      (kind: 'timer' | 'immediate') =>
      (callback: Callback, delay?: unknown, ...args: unknown[]) =>
        kind === 'timer'
          ? this.addTask(kind, callback, args, Math.max(0, Number(delay) || 0))
          : this.addTask(kind, callback, [delay, ...args], 0)
    const clear = (id: unknown) => {
      if (typeof id === 'number') this.cpu?.callbacks.delete(id)
    }
    Object.assign(globalThis, {
      setTimeout: this.orElse(tasks('timer'), originals.setTimeout as (...args: never[]) => unknown),
      setImmediate: this.orElse(tasks('immediate'), originals.setImmediate as (...args: never[]) => unknown),
      clearTimeout: this.orElse(clear, originals.clearTimeout),
      clearImmediate: this.orElse(clear, originals.clearImmediate),
      queueMicrotask: this.orElse((callback: () => void) => {
        if (this.runner?.isUnwinding === true) return
        // An error of the callback is an uncaught error, unless the lab leaves the CPU by it.
        Promise.resolve()
          .then(callback)
          .catch((reason: unknown) => this.rejected(reason))
      }, originals.queueMicrotask),
    })
    performance.now = this.orElse(() => this.time(), originals.now)
    Date.now = this.orElse(() => Math.floor(this.time()), originals.dateNow)
    Math.random = this.orElse(() => ((this.time() * 9301 + 49297) % 233280) / 233280, originals.random)
    const stopHook = promiseHooks.onInit(() => {
      if (this.cpu === undefined || this.isAsync) return
      this.isAsync = true
      stopHook()
    }) as () => void
    const ignore = (reason: unknown) => this.rejected(reason)
    // Other listeners, such as a test runner's, would take a stack that the lab has left for a
    // failure.
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', ignore)
    return () => {
      const { now, dateNow, random, ...globals } = originals
      Object.assign(globalThis, globals)
      performance.now = now
      Date.now = dateNow
      Math.random = random
      stopHook()
      process.off('unhandledRejection', ignore)
      for (const listener of listeners) process.on('unhandledRejection', listener)
    }
  }

  /**
   * Milliseconds: they grow with each step of the CPU and by each wait that it saw timing out. They
   * are the same in each replay.
   */
  private time(): number {
    const { cpu } = this
    return cpu === undefined ? 0 : cpu.cursor / 1000 + cpu.waited
  }

  private orElse<Args extends never[], Result>(
    inside: (...args: Args) => unknown,
    outside: (...args: Args) => Result,
  ): (...args: Args) => Result {
    return (...args) => (this.cpu === undefined ? outside(...args) : (inside(...args) as Result))
  }

  private addTask(kind: 'timer' | 'immediate', callback: Callback, args: unknown[], delay: number): number {
    const { cpu, runner } = this
    if (cpu === undefined || runner === undefined) throw new Error('no CPU is running')
    const id = runner.op(TASK, undefined, 0, kind, undefined) as number
    cpu.callbacks.set(id, () => {
      cpu.waited += delay
      callback(...args)
    })
    return id
  }

  /**
   * Called for each promise that is rejected. Only stacks that the lab has left may reject
   * promises.
   */
  private rejected(reason: unknown): void {
    this.onRejection?.(reason)
  }
  onRejection: ((reason: unknown) => void) | undefined = undefined
}
