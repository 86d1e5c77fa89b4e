/** Why a domain cannot be cleaned up, and its end. (After the kernel's, which leaks it then.) */
import { SrcuBusyError } from './srcu-errors.js'
import type { SrcuWords } from './srcu-words.js'
import type { Srcu } from './srcu.js'

/** Milliseconds for which the end of a domain waits for CPUs that look after its callbacks. */
export const PATIENCE = 1000

/** `callbacks`: how many are pending. `isFirst`: false when it has been asked before. */
export function whyBusy(words: SrcuWords, callbacks: number, isFirst: boolean): string | undefined {
  if (words.isExpedited) return 'an expedited grace period is wanted'
  if (callbacks > 0) return 'callbacks are pending: await barrier() before'
  if (words.isWanted) return 'a grace period is wanted'
  if (words.handedOver > 0 || words.parts.some((_, cpu) => words.openOf(cpu) > 0))
    return isFirst ? 'sections are under way' : 'a section has begun meanwhile'
  return undefined
}

export function busyError(name: string, words: SrcuWords, reason: string): SrcuBusyError {
  const sections = words.parts.map((_, cpu) => words.openOf(cpu))
  const { handedOver, sequence, needed } = words
  return new SrcuBusyError(`${name}: cannot be cleaned up: ${reason}; it was left as it is`, {
    name,
    reason,
    sections,
    handedOver,
    sequence,
    needed,
  })
}

const sections = ['readLock', 'readUnlock', 'downRead', 'upRead'] as const
const waits = ['synchronize', 'synchronizeExpedited', 'synchronizeBlocking', 'barrier', 'cleanup'] as const
const cookies = ['getState', 'startPoll', 'poll', 'expediteCurrent'] as const
const callbacks = ['free', 'call', 'freeBlocking', 'callBlocking'] as const

/** From now on the object throws, whatever is called. */
export function refuse(domain: Srcu, makeError: () => Error): void {
  const value = (): never => {
    throw makeError()
  }
  for (const name of [...sections, ...waits, ...cookies, ...callbacks])
    Object.defineProperty(domain, name, { value })
}
