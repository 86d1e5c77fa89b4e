/**
 * The end of a domain: why it cannot be cleaned up (after the kernel's, which leaks it then), and
 * what an object does whose domain was.
 */
import { UnansweredError } from '../machine/errors.js'
import { excessOf, SrcuBusyError } from './srcu-errors.js'
import type { SrcuWords } from './srcu-words.js'
import { visible } from '../shown.js'

/** Milliseconds for which the end of a domain waits for CPUs that look after its callbacks. */
export const PATIENCE = 1000

/** `callbacks`: how many are pending. `isFirst`: false when it has been asked before. */
export function whyBusy(words: SrcuWords, callbacks: number, isFirst: boolean): string | undefined {
  const { handedOver } = words
  if (handedOver < 0) return `${excessOf(handedOver)}: debugRcu finds where`
  if (words.isExpedited) return 'an expedited grace period is wanted: await synchronize() before'
  if (callbacks > 0) return 'callbacks are pending: await barrier() before'
  if (words.isWanted) return 'a grace period is wanted: await synchronize() before'
  if (handedOver > 0 || words.parts.some((_, cpu) => words.openOf(cpu) > 0))
    return isFirst ? 'sections are under way' : 'a section has begun meanwhile'
  return undefined
}

export function busyError(name: string, words: SrcuWords, reason: string): SrcuBusyError {
  const sections = words.parts.map((_, cpu) => words.openOf(cpu))
  const { handedOver, sequence, needed } = words
  return new SrcuBusyError(`${visible(name)}: cannot be cleaned up: ${reason}; it was left as it is`, {
    name,
    reason,
    sections,
    handedOver,
    sequence,
    needed,
  })
}

/** The domain has ended, and others may still be at it. */
export function leakError(name: string, timeout: number, cause?: unknown): UnansweredError {
  return new UnansweredError(
    `${visible(name)}: the domain has ended, but other CPUs have not got done with it within ${timeout} ms: its parts stay ` +
      'allocated; do not free the struct that it lies in',
    { name, timeout },
    { cause },
  )
}

const sections = ['readLock', 'readUnlock', 'downRead', 'upRead'] as const
const waits = [
  'synchronize',
  'synchronizeExpedited',
  'synchronizeBlocking',
  'barrier',
  'barrierBlocking',
] as const
const cookies = ['getState', 'startPoll', 'poll', 'expediteCurrent', 'cleanup'] as const
const callbacks = ['free', 'call', 'freeBlocking', 'callBlocking'] as const

/** From now on the object throws, whatever is called. */
export function refuse(domain: object, makeError: () => Error): void {
  const value = (): never => {
    throw makeError()
  }
  for (const name of [...sections, ...waits, ...cookies, ...callbacks])
    Object.defineProperty(domain, name, { value })
}
