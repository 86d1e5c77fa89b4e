/**
 * Counters, reference counts and locks by name: their parts in per-CPU memory, and what is done about them when a CPU leaves or dies.
 * The directory is the list of all of them.
 */
import { loadU32, storeAtomic32, storeF64, storeU32, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import type { Struct } from '../layout/struct-type.js'
import type { Directory, ObjectInfo } from '../bootmem/directory.js'
import { openBootMemory } from '../bootmem/layer.js'
import { OfflineError } from '../machine/errors.js'
import type { Recovery } from '../cpus/layer.js'
import { reportError } from '../machine/platform.js'
import type { Level } from '../sync/layer-lock.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { SyncLayer } from '../sync/layer.js'
import type { Locks } from '../sync/locks.js'
import { pointerAt } from './allocator.js'
import type { Core } from './state.js'
import { defaultBatch, foldDead, PercpuCounter, type CounterPlaces } from './counter.js'
import type { Attached } from './layer.js'
import { PercpuCounterWords, PercpuReaders, PercpuRefWords, PercpuRwSemaphoreWords } from './layouts.js'
import { openNamed } from './named.js'
import { INITIAL_STATE, isUnsettled, PercpuRef } from './ref.js'
import { leaveForDead, PercpuRwSemaphore } from './rwsem.js'

const WORD = 4

export interface CounterOptions {
  /** What a CPU keeps for itself before it folds it into the sum. Default 256, or twice the number of possible CPUs if that is more. */
  readonly batch?: number
}

interface Opened {
  readonly memory: Memory
  readonly words: number
  readonly parts: readonly number[]
}

export class SharedObjects {
  readonly #sync: SyncLayer
  readonly #locks: Locks
  readonly #attached: Attached

  constructor(sync: SyncLayer, locks: Locks, attached: Attached) {
    this.#sync = sync
    this.#locks = locks
    this.#attached = attached
  }

  counter(name: string, { batch }: CounterOptions): PercpuCounter {
    const { core, context, level } = this.#attached
    const wanted = batch ?? defaultBatch(core.geometry.cpus)
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > 2 ** 30)
      throw new ArgumentError(`batch: ${shown(wanted)} is not a whole number from 1 to 2^30`, {
        batch: wanted,
      })
    const { u32, f64 } = core.memory
    const opened = this.#open(name, PercpuCounterWords, (address) => {
      storeU32(u32, address / 4 + PercpuCounterWords.words.batch, wanted)
      storeF64(f64, (address + PercpuCounterWords.offsets.rough) / 8, 0)
    })
    const found = loadU32(u32, opened.words + PercpuCounterWords.words.batch)
    if (batch !== undefined && batch !== found)
      throw new ArgumentError(`batch: counter '${name}' has ${found}, not ${batch}`, { batch, found })
    return new PercpuCounter(name, opened, level, context.own.cpu)
  }

  ref(name: string): PercpuRef {
    const { i32 } = this.#attached.core.memory
    const opened = this.#open(name, PercpuRefWords, (address) => {
      // atomic: before anybody can find it.
      storeAtomic32(i32, address / 4 + PercpuRefWords.words.state, INITIAL_STATE)
    })
    const { background } = this.#sync
    return new PercpuRef(name, { ...this.#lockParts(name, opened, PercpuRefWords.words), background })
  }

  rwSemaphore(name: string): PercpuRwSemaphore {
    const opened = this.#open(name, PercpuRwSemaphoreWords, undefined, PercpuReaders.size)
    return new PercpuRwSemaphore(name, this.#lockParts(name, opened, PercpuRwSemaphoreWords.words))
  }

  /** Goes on with what a thread began that died. */
  settle(): void {
    const { core } = this.#attached
    for (const { name, words } of find(core, this.#attached.context.objects, PercpuRefWords)) {
      if (!isUnsettled(core.memory, words)) continue
      // A CPU that goes offline meanwhile leaves it to the next one that changes the mode.
      this.ref(name).settle().catch(reportUnlessOffline)
    }
  }

  /** `bytes`: of each CPU's part. */
  #open(
    name: string,
    layout: Struct,
    init: (address: number) => void = () => undefined,
    bytes = WORD,
  ): Opened {
    const spec = { type: layout.name, layout, bytes, align: bytes, init }
    const { core } = this.#attached
    const { address, pointer } = openNamed(this.#attached, name, spec)
    return { memory: core.memory, words: address / 4, parts: partsOf(core, pointer) }
  }

  #lockParts(
    name: string,
    opened: Opened,
    words: { readonly mutex: number; readonly waiters: number },
  ): ConstructorParameters<typeof PercpuRwSemaphore>[1] {
    const { context } = this.#attached
    return {
      ...opened,
      cpu: context.own.cpu,
      mutex: this.#locks.mutexAt((opened.words + words.mutex) * 4, `mutex of ${name}`),
      queue: this.#sync.queue(opened.words + words.waiters, opened.words * 4, name),
      synchronize: () => context.own.gracePeriods.synchronize(),
      reportError: reportUnlessOffline,
    }
  }
}

/** For what goes on in the background: that ends when the CPU goes offline. */
function reportUnlessOffline(error: unknown): void {
  if (!(error instanceof OfflineError)) reportError(error)
}

/** Word index of each CPU's part. */
function partsOf(core: Core, pointer: number): number[] {
  const { geometry, backend } = core
  const chunk = core.record(pointer >>> geometry.shift)
  const granule = pointer & (geometry.granules - 1)
  return Array.from(
    { length: geometry.cpus },
    (_, cpu) => (backend.translate(chunk, cpu, granule) ?? 0) / WORD,
  )
}

interface Found extends Opened {
  readonly name: string
}

/** All objects of a kind that are complete. */
function find(core: Core, directory: Directory, layout: Struct): Found[] {
  const isOne = ({ type, layoutHash }: ObjectInfo): boolean =>
    type === layout.name && layoutHash === layout.hash
  return directory
    .list()
    .filter(isOne)
    .map(({ name, address }) => ({ name, address, pointer: pointerAt(core, address) }))
    .filter(({ pointer }) => pointer !== 0)
    .map(({ name, address, pointer }) => ({
      name,
      memory: core.memory,
      words: address / 4,
      parts: partsOf(core, pointer),
    }))
}

/** What a CPU leaves that dies or goes offline. Every step can be repeated. `level`: in its place. Returns how many read locks it had. */
export function leaveAll(core: Core, recovery: Recovery, level: Level): number {
  const { table, cpu, incarnation, ringer } = recovery
  const directory = openBootMemory(table, cpu, incarnation).objects
  for (const counter of find(core, directory, PercpuCounterWords))
    foldDead(counter satisfies CounterPlaces, level, cpu)
  let readLocks = 0
  for (const { words, parts } of find(core, directory, PercpuRwSemaphoreWords))
    readLocks += leaveForDead(core.memory, ringer, words, parts[cpu] ?? 0)
  // If it was changing the mode, those who wait for the release go on.
  for (const { words } of find(core, directory, PercpuRefWords))
    if (isUnsettled(core.memory, words)) ringAll(core.memory, ringer, words + PercpuRefWords.words.waiters)
  return readLocks
}
