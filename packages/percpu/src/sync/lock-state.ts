/**
 * What watchers are told of a CPU's locks: read from its list of held locks, also when it is stuck
 * or dead.
 */
import { loadAtomic32 } from '#mem'
import type { CpuTable } from '../cpus/cpu-table.js'
import { Cpu } from '../machine/layouts.js'
import type { Names } from '../bootmem/names.js'
import { KIND_MUTEX, KIND_SEQLOCK, readHeldLocks } from './held-locks.js'
import { SeqlockLayout } from './layouts.js'
import { ownerCpu } from './mutex-words.js'
import type { SyncMap } from './sync-map.js'

/** A lock that a CPU owns. */
export interface OwnedLock {
  readonly address: number
  readonly name?: string | undefined
}
/** A lock that a CPU waits for. */
export interface AwaitedLock extends OwnedLock {
  /** The CPU that owns it, if any at this moment. */
  readonly owner: number | undefined
  /** Whether the whole thread waits, or only a task of it. */
  readonly blocking: boolean
}
/** The locks that a CPU holds and waits for. */
export interface LockState {
  readonly owned: readonly OwnedLock[]
  readonly awaited: readonly AwaitedLock[]
}
/**
 * The locks of a CPU, read through the table given: a reaper's outlives its own CPU. Also asked for
 * a CPU that died, before anything of it is cleaned up.
 */
export type LockProvider = (table: CpuTable, cpu: number) => LockState

/**
 * Locks of `cpu`, through any thread's table; exact only if the CPU is dead or asleep. A thread
 * that sleeps on its bell with one lock to wait for waits for that one as a whole. Mutexes and
 * seqlocks only: others have no owner to wait for.
 */
export function lockStateOf(table: CpuTable, map: SyncMap, cpu: number, names: Names): LockState {
  const { memory } = table
  const found = readHeldLocks(memory, map.record(cpu))
    .filter(({ kind }) => kind === KIND_MUTEX || kind === KIND_SEQLOCK)
    // atomic: a snapshot for watchers.
    .map(({ lock, kind }) => ({ lock, kind, owner: ownerCpu(loadAtomic32(memory.i32, lock)) }))
  const owned: OwnedLock[] = []
  const awaited: Omit<AwaitedLock, 'blocking'>[] = []
  for (const { lock, kind, owner } of found) {
    const address = lock * 4
    const name = nameOf(names, kind, table, address)
    if (owner === cpu) owned.push({ address, name })
    else awaited.push({ address, name, owner })
  }
  const blocking = awaited.length === 1 && sleepsOnBell(table, cpu)
  return { owned, awaited: awaited.map((lock) => ({ ...lock, blocking })) }
}

function sleepsOnBell(table: CpuTable, cpu: number): boolean {
  const { i32 } = table.memory
  const record = table.record(cpu)
  // atomic: snapshots. A CPU that parks on a word of the user's, or is deaf, is not waiting for a
  // lock.
  const isIdle = (loadAtomic32(i32, record + Cpu.words.idle) & 1) === 1
  const isDeaf = loadAtomic32(i32, record + Cpu.words.deaf) === 1
  return isIdle && !isDeaf && loadAtomic32(i32, record + Cpu.words.parkedOn) < 0
}

/** A seqlock is known by the mutex inside it. */
function nameOf(names: Names, kind: number, { memory }: CpuTable, address: number): string | undefined {
  return kind === KIND_MUTEX
    ? names.nameAt('mutex', memory, address)
    : names.nameAt('seqlock', memory, address - SeqlockLayout.offsets.mutex)
}
