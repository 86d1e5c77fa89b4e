/**
 * SRCU as a layer: the domains of one thread, and what is done about all of them when a CPU goes
 * offline or dies. The directory of named objects is the list of all domains.
 */
import { loadU32, storeU32 } from '#mem'
import { openBootMemory, type LayerContext } from '../bootmem/layer.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { ArgumentError } from '../errors.js'
import { checkOptions, shown } from '../machine/check.js'
import { makeState, type PercpuLayer } from '../percpu/layer.js'
import { findShared, openShared } from '../percpu/named.js'
import type { PageSource } from '../percpu/pages.js'
import { openRoot, type Opened } from '../percpu/setup.js'
import { LockHeldError } from '../sync/errors.js'
import { LAYER_PERCPU } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import { FAST, NORMAL, SrcuCpuLayout, SrcuLayout } from './srcu-layouts.js'
import { makeFastSrcu } from './srcu-fast.js'
import { NormalSrcu } from './srcu-normal.js'
import { initialiseSrcu, SrcuWords } from './srcu-words.js'
import type { Srcu, SrcuFlavour, SrcuParts } from './srcu.js'
import { makeTinySrcu } from './tiny-srcu.js'

export interface SrcuOptions {
  /**
   * How readers count themselves. `'fast'`: by plain additions, and not on deaf CPUs. `'normal'`:
   * by atomic ones, everywhere. Default: that of the domain, or `'fast'`.
   */
  readonly flavour?: SrcuFlavour
}

const flavours = { fast: FAST, normal: NORMAL }

export class SrcuLayer implements AttachedLayer {
  readonly name = 'srcu'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #percpu: PercpuLayer
  readonly #domains = new Map<string, Srcu>()
  /** Where per-CPU memory is; known in any case once this CPU has gone offline. */
  #root: Opened | undefined
  #hasLeft = false

  constructor(context: LayerContext, sync: SyncLayer, percpu: PercpuLayer) {
    this.#context = context
    this.#sync = sync
    this.#percpu = percpu
  }

  /**
   * The domain of this name, for all threads.
   *
   * @throws ArgumentError for a bad name or option, or another flavour than the domain has;
   *   ObjectMismatchError if the name is that of something else; OutOfMemoryError;
   *   LockTimeoutError; OfflineError.
   */
  open(name: string, options: SrcuOptions = {}): Srcu {
    if (this.#hasLeft) throw this.#context.own.offlineError()
    checkOptions('srcu', options, { flavour: true })
    const { flavour } = options
    if (flavour !== undefined && !Object.hasOwn(flavours, flavour))
      throw new ArgumentError(`flavour: ${shown(flavour)} is neither 'fast' nor 'normal'`, { flavour })
    const domain = this.#domains.get(name) ?? this.#open(name, flavour ?? 'fast')
    if (flavour !== undefined && domain.flavour !== flavour)
      throw new ArgumentError(`flavour: the domain '${name}' is ${domain.flavour}, not ${flavour}`, {
        flavour,
        found: domain.flavour,
      })
    return domain
  }

  #open(name: string, flavour: SrcuFlavour): Srcu {
    const { own } = this.#context
    const cpuState = this.#percpu.use()
    const { memory } = cpuState.state
    const shared = openShared(cpuState, name, SrcuLayout, SrcuCpuLayout.size, (address) => {
      storeU32(memory.u32, address / 4 + SrcuLayout.words.flavour, flavours[flavour])
      initialiseSrcu(memory, address / 4)
    })
    const { waiting } = this.#sync.state
    const parts: SrcuParts = {
      name,
      words: new SrcuWords(shared),
      own,
      sleep: (done, deadline) => waiting.sleep(done, deadline),
    }
    const isFast = loadU32(memory.u32, shared.words + SrcuLayout.words.flavour) === FAST
    const domain = make(parts, isFast ? 'fast' : 'normal')
    this.#domains.set(name, domain)
    return domain
  }

  /**
   * Ends the sections of this CPU.
   *
   * @throws LockHeldError after that, if there were any.
   */
  detach(): void {
    const { doorbell, cpu } = this.#context.own
    const names: string[] = []
    let sections = 0
    // Only in domains that it has opened it can have any.
    for (const { name, words } of this.#domains.values()) {
      const ended = words.endSections(cpu, doorbell.ringer)
      if (ended !== 0) names.push(name)
      sections += ended
    }
    this.abandon()
    if (sections === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${sections} read sections of ${names.join(', ')} under way; they were ended`,
      { cpu, sections, names },
    )
  }

  abandon(): void {
    this.#openRoot()
    this.#hasLeft = true
    const error = this.#context.own.offlineError()
    for (const domain of this.#domains.values()) domain.close(error)
    this.#domains.clear()
  }

  /** Ends the sections of the dead CPU, and goes on with grace periods that it may have driven. */
  recover(recovery: Recovery): void {
    for (const { name, words } of this.#all(recovery)) {
      words.endSections(recovery.cpu, recovery.ringer)
      if (!this.#hasLeft && words.isWanted) this.open(name).takeOver()
    }
  }

  #openRoot(): Opened {
    return (this.#root ??= openRoot(this.#context))
  }
  /** The words of every domain, through the recovering thread's own views. */
  *#all({ table, cpu, incarnation }: Recovery): Generator<{ name: string; words: SrcuWords }> {
    const { geometry, tables } = this.#openRoot()
    const layerLock = this.#sync.layerLock(table, cpu, incarnation, LAYER_PERCPU)
    const state = makeState(table, geometry, tables, layerLock, noPages)
    const { objects } = openBootMemory(table, cpu, incarnation)
    for (const shared of findShared(state, objects, SrcuLayout))
      yield { name: shared.name, words: new SrcuWords(shared) }
  }
}

function make(parts: SrcuParts, flavour: SrcuFlavour): Srcu {
  if (parts.words.parts.length === 1) return makeTinySrcu(parts, flavour)
  if (flavour === 'normal') return new NormalSrcu(parts)
  return makeFastSrcu(parts)
}

const noPages: PageSource = {
  tryAlloc: () => undefined,
  free: () => undefined,
  persist: () => undefined,
  adopt: () => undefined,
}
