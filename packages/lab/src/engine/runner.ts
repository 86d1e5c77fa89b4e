/**
 * Brings the code of CPUs from step to step, by replay.
 *
 * Code cannot be stopped in the middle of a function and continued later. To leave a CPU, the hook
 * of its next access throws a token, which unwinds the stack. To come back, the runner calls the
 * CPU's body again from the start. It answers each access that the body made before from the log,
 * until the body arrives where it was left.
 *
 * Replay is sound because threads share nothing but memory: a thread is a function of the values
 * that it has read. It colours no functions: constructors, getters, callbacks and comparators work
 * as they are.
 *
 * An interrupt is a call of its handler in the middle of an access of the code that it interrupts.
 * The log says where.
 */
import { checkIsSync, isPromise } from '../check.js'
import { BodyError, NondeterminismError } from './body-errors.js'
import { drain, type EventLoop } from './event-loop.js'
import type { StepTaker } from './hook.js'
import { ENTER, EXIT, LEAVE, SPIN, TURN } from './ops.js'
import { prepareStep } from './prepare.js'
import { type Cpu, FINISHED, Process, READY, type Task, UNBORN } from './process.js'
import { FAILED, type Search } from './search.js'
import { takeStep } from './step.js'
import { differs, stepsInVain } from './turns.js'
import type { LabView } from './views.js'
import type { World } from './world.js'

/** Unwinds a stack. A body that catches it does not get far: each access throws it again. */
class Unwind extends Error {}
const token = new Unwind('the lab leaves this CPU: let this error pass')

export class Runner implements StepTaker {
  /** The CPU whose code is on the stack, if any. */
  private cpu: Cpu | undefined = undefined
  private unwinding = false
  /** The CPU to go on with after the stack is unwound. */
  private upNext: Cpu | undefined = undefined
  private ended: number | undefined = undefined
  /** Set when a body has thrown, or has behaved otherwise at a replay. */
  error: BodyError | NondeterminismError | undefined = undefined

  constructor(
    readonly world: World,
    private readonly search: Search,
    private readonly eventLoop: EventLoop,
    /** Called after each step. */
    private readonly afterStep: (() => void) | undefined,
    /** Keeps the stacks of steps, if they are to be shown. */
    private readonly stacks:
      { arrive(process: Process): void; take(process: Process, step: number): void } | undefined,
  ) {
    eventLoop.onRejection = (reason) => {
      if (reason !== token && this.cpu !== undefined && !this.unwinding) this.fail(this.cpu, reason)
    }
  }

  get isRunning(): boolean {
    return this.cpu !== undefined
  }

  get isUnwinding(): boolean {
    return this.unwinding
  }

  get current(): Cpu {
    if (this.cpu === undefined) throw new Error('outside of the body of a CPU')
    return this.cpu
  }

  /** Runs every body up to its first step. To be called once, before the first execution. */
  runToFirstSteps(): void {
    for (const cpu of this.world.cpus) {
      this.ended = undefined
      this.toFirstSteps = true
      this.run(cpu)
      this.toFirstSteps = false
      cpu.hasFirstStep = true
      if (this.error !== undefined) return
    }
  }
  private toFirstSteps = false

  /**
   * Runs from the world's state to the end of an execution; returns one of the ends of search.ts.
   */
  execute(): number {
    this.ended = undefined
    this.upNext = undefined
    while (this.ended === undefined) {
      const cpu = this.proceed()
      if (cpu !== undefined) this.run(cpu)
      if (this.error !== undefined) this.ended = FAILED
    }
    return this.ended
  }

  /** The CPU that is to run now. If no stack was left for one, it is the CPU of the next step. */
  private proceed(): Cpu | undefined {
    const cpu = this.upNext
    this.upNext = undefined
    if (cpu !== undefined) return cpu
    try {
      return this.advance()
    } catch (error) {
      this.error ??= new BodyError(this.world.processes[0] as Process, error)
      return undefined
    }
  }

  /**
   * Takes the step that the search chooses. Returns its CPU if that one's code must run on after
   * it.
   */
  private advance(): Cpu | undefined {
    const chosen = this.search.next()
    if (chosen < 0) {
      this.ended = chosen
      return undefined
    }
    const process = this.world.processes[chosen] as Process
    this.take(process)
    return process.runs && process.state === READY && process.code < 0 ? process.cpu : undefined
  }

  private take(process: Process): number {
    const step = takeStep(this.world, process)
    this.stacks?.take(process, step)
    if (this.afterStep !== undefined) this.check(process, this.afterStep)
    return step
  }
  /** An error of the check is not for the body below, which might catch it. */
  private check(process: Process, check: () => void): void {
    try {
      check()
    } catch (error) {
      this.error = new BodyError(process, error)
      this.leave(undefined)
    }
  }

  /**
   * Calls the body of `cpu`, feeds it from the log, and lets it run on while the search chooses it.
   */
  private run(cpu: Cpu): void {
    this.cpu = cpu
    this.unwinding = false
    cpu.cursor = 0
    cpu.waited = 0
    cpu.settledAt = -1
    cpu.running = cpu.main
    cpu.callbacks.clear()
    const leaveLoop = this.eventLoop.enter(this, cpu)
    try {
      const result = (cpu.main.body as (cpu: Cpu) => unknown)(cpu)
      if (cpu.stays || isPromise(result)) {
        this.runLoop(cpu, Promise.resolve(result))
      } else {
        // Promise jobs that the body has left run when it returns.
        if (this.eventLoop.isAsync) drain()
        if (this.isUnwinding) throw token
        this.finish(cpu, result)
      }
    } catch (error) {
      if (error !== token) this.caught(cpu, error)
    } finally {
      if (this.eventLoop.isAsync) drain()
      leaveLoop()
      this.cpu = undefined
    }
  }

  /**
   * The event loop of a CPU with an async body: turn by turn, until the body's promise is settled.
   * That of a CPU that stays has no end.
   */
  private runLoop(cpu: Cpu, promise: Promise<unknown>): void {
    const outcome: { settled: boolean; failed: boolean; value: unknown } = {
      settled: false,
      failed: false,
      value: undefined,
    }
    const settle = (failed: boolean) => (value: unknown) =>
      void Object.assign(outcome, { settled: true, failed, value })
    promise.then(settle(false), settle(true))
    for (;;) {
      drain()
      if (this.unwinding) throw token
      if (outcome.failed) throw outcome.value
      if (outcome.settled) {
        if (!cpu.stays) break
        if (cpu.settledAt < 0) {
          cpu.settledAt = cpu.cursor
          cpu.result = outcome.value
        }
      }
      const task = this.op(TURN, undefined, 0, undefined, undefined) as Task
      cpu.callbacks.get(task.id)?.(task.value)
    }
    this.finish(cpu, outcome.value)
  }

  private finish(cpu: Cpu, result: unknown): void {
    // Handlers may enter after the body's end.
    this.replayEntries(cpu)
    if (this.unwinding) throw token
    if (cpu.cursor < cpu.logLength) throw this.nondeterminism(cpu, 'ended early')
    cpu.result = result
    const { main } = cpu
    if ((main.state === READY || main.state === UNBORN) && main.code < 0) {
      if (cpu.exits) this.world.setNext(main, EXIT, undefined, 0, undefined, undefined)
      else main.state = FINISHED
    }
    if (!this.toFirstSteps) this.pump(cpu, undefined)
  }

  /**
   * Takes an error of a body. While the stack is unwound, it may be one that the body made of the
   * token.
   */
  private caught(cpu: Cpu, error: unknown): void {
    if (!this.unwinding) this.fail(cpu, error)
  }

  private fail(cpu: Cpu, error: unknown): void {
    this.error =
      error instanceof NondeterminismError || error instanceof BodyError
        ? error
        : new BodyError(cpu.running, error)
  }

  private nondeterminism(cpu: Cpu, what: string): NondeterminismError {
    return new NondeterminismError(
      `${cpu.running.name} ${what} when it was run again with the same values: a body may depend on ` +
        'nothing but the values that it reads from shared memory, and must make its JavaScript state itself',
    )
  }

  op(code: number, view: LabView | undefined, index: number, a: unknown, b: unknown): unknown {
    const cpu = this.cpu as Cpu
    if (this.unwinding) throw token
    if (cpu.cursor < cpu.logLength) {
      if (cpu.log[cpu.cursor] instanceof Process) this.replayEntries(cpu)
      if (cpu.cursor < cpu.logLength) {
        const at = cpu.cursor++
        if (cpu.logCode[at] !== code || cpu.logIndex[at] !== index)
          throw this.nondeterminism(cpu, 'did another step')
        return cpu.log[at]
      }
    }
    if (this.isPreparing) {
      const value = prepareStep(this.world, cpu, code, view, index, a, b)
      const at = cpu.logLength++
      cpu.log[at] = value
      cpu.logCode[at] = code
      cpu.logIndex[at] = index
      return cpu.log[cpu.cursor++]
    }
    return this.live(cpu, code, view, index, a, b)
  }

  stepsInVain(from: number): readonly number[] | undefined {
    const cpu = this.current
    if (this.unwinding || this.isPreparing || cpu.cursor < cpu.logLength) return undefined
    return stepsInVain(this.world, cpu, from)
  }

  differs(steps: readonly number[]): boolean {
    return differs(this.world, steps)
  }

  prepare<T>(action: () => T): T {
    const cpu = this.current
    if (this.isPreparing) return action()
    if (cpu.hasFirstStep ? cpu.cursor > cpu.preparedLength : cpu.main.code >= 0)
      throw new Error('prepare() comes before the first step of a body')
    this.isPreparing = true
    try {
      const result = action()
      checkIsSync('the action of prepare()', result)
      return result
    } finally {
      this.isPreparing = false
      if (!cpu.hasFirstStep) cpu.preparedLength = cpu.logLength
    }
  }
  private isPreparing = false

  promiseOf(task: number, timeout: number): Promise<unknown> {
    const cpu = this.current
    return new Promise((resolve) =>
      cpu.callbacks.set(task, (how) => {
        if (how === 'timed-out') cpu.waited += timeout
        resolve(how)
      }),
    )
  }

  /** Calls the handlers that have entered at this point of the log. */
  private replayEntries(cpu: Cpu): void {
    while (cpu.cursor < cpu.logLength) {
      const entry = cpu.log[cpu.cursor]
      if (!(entry instanceof Process)) return
      cpu.cursor++
      this.handle(cpu, entry)
    }
  }

  /** Runs a handler on top of the code that the CPU is in. */
  private handle(cpu: Cpu, handler: Process): void {
    const interrupted = cpu.running
    cpu.running = handler
    const result = (handler.body as (cpu: Cpu) => unknown)(cpu)
    if (isPromise(result) && !this.unwinding)
      this.check(handler, () => checkIsSync('the handler of an interrupt', result))
    this.replayEntries(cpu)
    if (this.unwinding) throw token
    if (handler.state === READY && handler.code < 0) {
      if (handler.kind === 'ipi') {
        this.world.setNext(handler, LEAVE, undefined, 0, undefined, undefined)
        this.pump(cpu, handler)
      } else handler.state = FINISHED
    }
    cpu.running = interrupted
  }

  /** Takes a step at which the code has arrived for the first time. */
  private live(
    cpu: Cpu,
    code: number,
    view: LabView | undefined,
    index: number,
    a: unknown,
    b: unknown,
  ): unknown {
    const process = cpu.running
    if (process.code < 0) this.world.setNext(process, code, view, index, a, b)
    else if (code === SPIN) {
      process.a = a
      process.b = b
    }
    this.stacks?.arrive(process)
    if (this.toFirstSteps) this.leave(undefined)
    this.pump(cpu, process)
    return cpu.log[cpu.cursor++]
  }

  /**
   * Takes steps while the stack need not change. With a process, whose code is on top: until it has
   * got the value that it waits for, or has ended. Without one: until the execution ends, or
   * another CPU is to run.
   */
  private pump(cpu: Cpu, process: Process | undefined): void {
    for (;;) {
      if (process !== undefined && cpu.cursor < cpu.logLength) {
        const entry = cpu.log[cpu.cursor]
        if (!(entry instanceof Process)) return
        cpu.cursor++
        this.handle(cpu, entry)
        continue
      }
      if (process?.state === FINISHED) return
      const chosen = this.search.next()
      if (chosen < 0) {
        this.ended = chosen
        this.leave(undefined)
      }
      const next = this.world.processes[chosen] as Process
      const step = this.take(next)
      if (!next.runs || next.state !== READY || next.code >= 0) continue
      if (next === process || (next.cpu === cpu && this.world.history.code[step] === ENTER)) {
        if (process === undefined) {
          // The body has returned: handlers run without it below them.
          cpu.cursor++
          this.handle(cpu, next)
        }
        continue
      }
      this.leave(next.cpu)
    }
  }

  private leave(upNext: Cpu | undefined): void {
    this.upNext = upNext
    this.unwinding = true
    throw token
  }
}
