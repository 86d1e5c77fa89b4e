/** Locks that have names: their kinds, and whether one is in use. */
import { loadAtomic32, loadU32, type Memory } from '#mem'
import type { NameSpace } from '../bootmem/names.js'
import { MASK_WORDS } from '../machine/limits.js'
import { nextBit } from './cpu-mask.js'
import { CompletionLayout, ConditionLayout, MutexLayout, SemaphoreLayout, SeqlockLayout } from './layouts.js'
import { ownerCpu } from './mutex-words.js'
import { loadValue } from './semaphore-words.js'

/** The kinds of locks that have names. */
export type LockKind = Extract<NameSpace, 'mutex' | 'completion' | 'condition' | 'seqlock' | 'semaphore'>

export const layouts = {
  mutex: MutexLayout,
  completion: CompletionLayout,
  condition: ConditionLayout,
  seqlock: SeqlockLayout,
  semaphore: SemaphoreLayout,
} as const

const waiters: Readonly<Record<LockKind, number>> = {
  mutex: MutexLayout.words.waiters,
  completion: CompletionLayout.words.waiters,
  condition: ConditionLayout.words.waiters,
  seqlock: SeqlockLayout.words['mutex.waiters'],
  semaphore: SemaphoreLayout.words.waiters,
}
/** The word with the owner of those that have one. */
const owner: Readonly<Partial<Record<LockKind, number>>> = {
  mutex: MutexLayout.words.owner,
  seqlock: SeqlockLayout.words['mutex.owner'],
}

/** Who has or awaits the lock with this word index, for a message; undefined if nobody does. */
export function useOf(memory: Memory, kind: LockKind, word: number): string | undefined {
  const ownerWord = owner[kind]
  // atomic: a snapshot, as those below.
  const cpu = ownerWord === undefined ? undefined : ownerCpu(loadAtomic32(memory.i32, word + ownerWord))
  if (cpu !== undefined) return `held by CPU ${cpu}`
  if (kind === 'semaphore') {
    const total = loadU32(memory.u32, word + SemaphoreLayout.words.total)
    const { permits } = loadValue(memory, word)
    if (permits !== total) return `held: ${total - permits} of its ${total} permits are taken`
  }
  const waiter = nextBit(memory, word + waiters[kind], 0, MASK_WORDS * 32)
  return waiter < 0 ? undefined : `waited for by CPU ${waiter}`
}
