/**
 * One execution, for people: the events of every process in the order in which they took effect,
 * and the failure. The diagrams (report/) are drawn from a trace and from nothing else.
 */

/** The effect of an event on shared memory, or on another process. */
export type EventName =
  | 'load'
  | 'store'
  | 'add'
  | 'sub'
  | 'and'
  | 'or'
  | 'xor'
  | 'exchange'
  | 'compareExchange'
  | 'fill'
  | 'copyIn'
  | 'copyOut'
  /** Compared the word and began to wait, or returned 'not-equal'. */
  | 'wait'
  /** Returned from a wait: 'ok' or 'timed-out'. */
  | 'wake'
  | 'notify'
  /** A bounded or endless `awaitUntil` whose predicate was false. */
  | 'spin'
  /** Took one of several outcomes that the environment decides: a failing allocation, a number. */
  | 'choose'
  /** An interrupt or IPI handler began or ended on its CPU. */
  | 'enter'
  | 'leave'
  /** Sent an IPI. */
  | 'ipi'
  /** Interrupts of the CPU were disabled or enabled. */
  | 'mask'
  | 'unmask'
  /** A turn of the CPU's event loop began: for a promise, a timer or a message. */
  | 'turn'
  | 'safepoint'
  /** Gave its event loop something to do: a timer, a callback. */
  | 'task'
  /** The CPU's body returned. */
  | 'exit'
  /** The CPU was terminated. */
  | 'kill'
  /** The time of a wait ran out. */
  | 'timeout'
  | 'allocate'
  | 'free'
  /** A call of the history that is checked began or ended. */
  | 'call'
  | 'return'

/**
 * The kind of a process: a CPU's body, an interrupt handler, or something that the environment
 * does.
 */
export type ProcessKind = 'cpu' | 'irq' | 'ipi' | 'reaper' | 'kill' | 'timer'

export interface TraceProcess {
  /** Number of the process, from 0. */
  readonly id: number
  /** `cpu 0`, `irq tick`, `reaper of 1`. */
  readonly name: string
  readonly kind: ProcessKind
  /** The CPU on which it runs: the column of a diagram. */
  readonly cpu: number
}

export interface TraceEvent {
  /** Position in the execution, from 0. */
  readonly step: number
  /** {@link TraceProcess.id}. */
  readonly process: number
  readonly name: EventName
  /** `none` for events that touch no memory. */
  readonly order: 'atomic' | 'plain' | 'none'
  /**
   * Byte address within its memory, and bytes touched; undefined for events that touch no memory.
   */
  readonly address: number | undefined
  readonly bytes: number
  /** The word's name from its layout (`lock.owner`, `srcu.locks[1]`), or `0x40` for one without. */
  readonly word: string | undefined
  /** The kind of the word, as its layout says. */
  readonly kind: 'atomic' | 'owner' | 'locked' | 'published' | 'racy' | undefined
  /** The value that it read, if it reads. For a wait, wake, notify or choice, its result. */
  readonly read: number | bigint | string | undefined
  /**
   * The value that it wrote, if it writes; undefined for a compareExchange that found another
   * value.
   */
  readonly wrote: number | bigint | string | undefined
  /** The CPU that an IPI was sent to. */
  readonly target?: number | undefined
  /**
   * For a load that read a stale value: the step of the store that it read from, -1 for the initial
   * value.
   */
  readonly readFrom: number | undefined
  /**
   * Innermost frame first, as `functionName (file:line:column)`. Frames of the lab and of `#mem`
   * are left out.
   */
  readonly stack: readonly string[]
}

export type FailureKind =
  | 'data race'
  | 'assertion'
  | 'invariant'
  | 'deadlock'
  | 'starvation'
  | 'leak'
  | 'use after free'
  | 'not linearizable'
  | 'nondeterminism'
  | 'limit'
  | 'execution count'

export interface DataRace {
  /** Steps of the two accesses. */
  readonly first: number
  readonly second: number
  /** `plain-plain`, `atomic-plain`, `unequal widths`. */
  readonly rule: 'plain-plain' | 'atomic-plain' | 'unequal widths'
  /** A sentence that says what would have ordered them. */
  readonly missing: string
}

/** One execution, complete or broken off. */
export interface Trace {
  /** The name given to `explore`. */
  readonly test: string
  readonly processes: readonly TraceProcess[]
  readonly events: readonly TraceEvent[]
  /** Runs exactly this execution again: `explore(name, scenario, { replay: schedule })`. */
  readonly schedule: string
  readonly failure:
    | {
        readonly kind: FailureKind
        /** One sentence, without the trace. */
        readonly message: string
        readonly race: DataRace | undefined
        /**
         * Processes that wait for ever, and the things that they wait for, if that is the failure.
         */
        readonly stuck: readonly { readonly process: number; readonly waitsFor: string }[]
      }
    | undefined
}
