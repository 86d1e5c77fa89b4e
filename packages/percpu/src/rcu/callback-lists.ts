/**
 * The lists of callbacks of one kind of grace period, a list for each CPU, and what is decided
 * about all of them: whether anything is pending, and what ends with a CPU. The kinds are sched
 * RCU, and each domain of SRCU for which somebody has queued anything.
 */
import { loadAtomic32, storeAtomic32, type Memory } from '#mem'
import type { Tags } from '../alloc/tags.js'
import { incarnationOf, stateOf, type CpuTable } from '../cpus/cpu-table.js'
import { passedOf, pendingEntries, tailOf } from './callback-list.js'
import type { Callbacks } from './callbacks.js'
import { finishFreeing, finishQueueing } from './dead.js'
import { CallbackList } from './layouts.js'

const { words } = CallbackList

export interface CallbackLists {
  /** The name of the domain; undefined for sched RCU. */
  readonly domain: string | undefined
  /** Word index of each CPU's list. */
  readonly lists: readonly number[]
  /** What looks after them on this thread. @throws OfflineError. */
  readonly open: () => Callbacks
}

/** Whether there is anything to be freed in a list. */
export function hasEntries({ i32 }: Memory, list: number): boolean {
  return passedOf(i32, list) !== tailOf(i32, list)
}
/** Whether there is in any of them. */
export function anyEntries(memory: Memory, lists: readonly number[]): boolean {
  return lists.some((list) => hasEntries(memory, list))
}

/** Callbacks that are pending in all lists, functions included. A snapshot. */
export function pendingCallbacks(memory: Memory, lists: readonly number[]): number {
  return lists.reduce((sum, list) => sum + pendingIn(memory, list), 0)
}
/** Those of one list. */
export function pendingIn(memory: Memory, list: number): number {
  return pendingEntries(memory, list) + pendingFunctions(memory, list)
}
function pendingFunctions({ i32 }: Memory, list: number): number {
  // atomic: a snapshot. The older one first: it is not behind the other then.
  const head = loadAtomic32(i32, list + words.functionsHead)
  return (loadAtomic32(i32, list + words.functionsTail) - head) >>> 0
}

/** Before any layer changes what a dead CPU left. `tags`: the dead CPU's. Can be repeated. */
export function finishLists(memory: Memory, lists: readonly number[], cpu: number, tags: Tags): void {
  for (const [other, list] of lists.entries()) {
    if (other === cpu) finishQueueing(memory, list, tags)
    finishFreeing(memory, list, tags)
  }
}

/**
 * A CPU's functions end with its thread: nobody waits for them any more. Returns how many there
 * were. One word is moved, so they count once, whoever dies: all those before the head that have
 * not run are lost.
 */
export function loseFunctions(memory: Memory, list: number): number {
  const { i32 } = memory
  const lost = pendingFunctions(memory, list)
  // atomic: the CPU's own word, or that of a dead one.
  const tail = loadAtomic32(i32, list + words.functionsTail)
  // atomic: as CK in FunctionQueue, in the CPU's place. Mutant: rcu/lost-waited-for.
  if (lost > 0) storeAtomic32(i32, list + words.functionsHead, tail)
  return lost
}

/** From now on the lists stay until {@link endWork}, for this incarnation of the list's CPU. */
export function beginWork({ i32 }: Memory, list: number, incarnation: number): void {
  // CX(list.working) in the stretch in which the lists were found; pairs with CY in isAtWork: who
  // lets no new stretch find them, and waits for those under way, finds it. Mutant:
  // rcu/lists-freed-in-use.
  storeAtomic32(i32, list + words.working, incarnation)
}
/** By the CPU, or in its place when it has ended. */
export function endWork({ i32 }: Memory, list: number): void {
  // atomic: as CX. Nothing of the lists is touched afterwards.
  storeAtomic32(i32, list + words.working, 0)
}
/**
 * One that died is done. Its reaper says so only if it finds the domain, which may have left the
 * registry meanwhile. Mutant: rcu/lists-of-the-dead.
 */
export function isAtWork(table: CpuTable, cpu: number, list: number): boolean {
  // CY(list.working) pairs with CX in beginWork: if it is 0, that CPU is done with the lists.
  // Mutant: rcu/lists-freed-in-use.
  const worker = loadAtomic32(table.memory.i32, list + words.working)
  if (worker === 0) return false
  const state = table.stateWord(cpu)
  return incarnationOf(state) === worker && !['dead', 'offline'].includes(stateOf(state))
}
