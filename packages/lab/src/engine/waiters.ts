/** The waiters on words. */
import type { Cpu, Process } from './process.js'
import type { Shadow } from './views.js'

/** A process in `Atomics.wait`, or a task of an event loop. */
export interface Waiter {
  readonly shadow: Shadow
  readonly word: number
  readonly cpu: Cpu
  readonly process: Process | undefined
  /** The task's number; -1 for a process. */
  readonly task: number
  readonly timer: Process | undefined
}

/** Whether one of the waiters, which a step woke or removed, was in the queue of the word. */
export function wasWaiting(waiters: unknown, shadow: Shadow | undefined, word: number): boolean {
  return (waiters as readonly Waiter[]).some((waiter) => waiter.shadow === shadow && waiter.word === word)
}
