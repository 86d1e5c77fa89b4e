/**
 * What a reaper does for this layer after a CPU died. In this order: the journals are replayed
 * backwards, so that what the dead CPU's locks protect is whole again; then each lock that it held,
 * waited for or was giving back is looked at, and taken off its list when it is done with. Each
 * step can be repeated by the next reaper.
 */
import { addAtomic32, loadAtomic32, type Memory } from '#mem'
import type { Ringer } from '../cpus/ringer.js'
import type { Recovery } from '../cpus/layer.js'
import { tokenOf } from '../machine/token.js'
import { clearBit, ringAll } from './cpu-mask.js'
import { recoverLayerLocks } from './layer-lock.js'
import { clearHeldLock, KIND_QUEUE, KIND_SEMAPHORE, KIND_SEQLOCK, readHeldLocks } from './held-locks.js'
import { replayJournal } from './journal.js'
import { SeqlockLayout } from './layouts.js'
import { MutexProtocol, ownerToken } from './mutex-words.js'
import { recoverSemaphore } from './semaphore-words.js'
import type { SyncMap } from './sync-map.js'

/** What was found and undone. */
export interface RecoveryResult {
  /** Words restored from the journal. */
  readonly restored: number
  /** Byte addresses of the mutexes that the CPU owned. */
  readonly released: readonly number[]
  /** Byte addresses of the locks that it held, waited for or was giving back. */
  readonly heldLocks: readonly number[]
}

/** Entries of locks that could not be put right are not the next thread's of this CPU. */
export function forgetLocks({ table, cpu }: Pick<Recovery, 'table' | 'cpu'>, map: SyncMap): void {
  for (const entry of readHeldLocks(table.memory, map.record(cpu))) clearHeldLock(table.memory, entry)
}

/**
 * @throws what went wrong with single locks, which stay as they are, after all others have been
 *   dealt with.
 */
export function recoverSync({ table, ringer, cpu, incarnation }: Recovery, map: SyncMap): RecoveryResult {
  const { memory } = table
  const record = map.record(cpu)
  const token = tokenOf(cpu, incarnation)
  const protocol = new MutexProtocol(memory, ringer, table.map.cpus, cpu, token)
  const ofLayers = recoverLayerLocks(memory, map, cpu, token)
  const restored = ofLayers + replayJournal(memory, map.journal(cpu))
  const released: number[] = []
  const errors: unknown[] = []
  const heldLocks = readHeldLocks(memory, record)
  for (const entry of heldLocks) {
    const { lock, kind } = entry
    try {
      if (kind === KIND_SEMAPHORE) recoverSemaphore(memory, entry, cpu, ringer)
      else if (kind === KIND_QUEUE) recoverQueue(memory, ringer, lock, cpu)
      else {
        if (kind === KIND_SEQLOCK) evenSequence(memory, lock, token)
        if (protocol.recover(lock)) released.push(lock * 4)
      }
      // Not before: should something throw, it is done anew. Mutant: sync/entry-lost.
      clearHeldLock(memory, entry)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors)
  return { restored, released, heldLocks: heldLocks.map(({ lock }) => lock * 4) }
}

function recoverQueue(memory: Memory, ringer: Ringer, mask: number, cpu: number): void {
  clearBit(memory, mask, cpu)
  ringAll(memory, ringer, mask)
}

/**
 * The dead writer's data is restored: its readers may go on. `mutex`: word index of the seqlock's
 * mutex.
 */
function evenSequence(memory: Memory, mutex: number, token: number): void {
  const sequence = mutex - SeqlockLayout.words.mutex
  // atomic: only an owner changes the sequence, and the dead one does so no more.
  const owner = loadAtomic32(memory.i32, mutex)
  if (ownerToken(owner) !== token) return
  // atomic: as N in Seqlock, in the dead writer's place.
  if ((loadAtomic32(memory.i32, sequence) & 1) === 1) addAtomic32(memory.i32, sequence, 1)
}
