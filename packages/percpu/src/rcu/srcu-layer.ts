/**
 * SRCU as a layer: the domains of one thread, and what is done about all of them when a CPU goes
 * offline or dies. Names and the registry list all domains.
 */
import { fillBytes, loadU32 } from '#mem'
import type { AllocLayer } from '../alloc/layer.js'
import { openBootMemory, type LayerContext } from '../bootmem/layer.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { checkOneOf, checkOptions, checkPlace } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { tokenOf } from '../machine/token.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import type { PercpuLayer } from '../percpu/layer.js'
import { pointerAt } from '../percpu/allocator.js'
import { findShared, openShared, sharedObject, type NamedObject, type SharedObject } from '../percpu/named.js'
import { LockHeldError, LockTimeoutError } from '../sync/errors.js'
import type { GracePeriodSnapshot } from '../watch/grace-periods.js'
import type { SyncLayer } from '../sync/layer.js'
import { pendingIn } from './callback-lists.js'
import { debugged } from './debug-domain.js'
import { bootDebug, Notes } from './debug-notes.js'
import { indented } from './debug-stack.js'
import { FAST, SrcuCpuLayout, SrcuLayout } from './srcu-layouts.js'
import { SrcuDebug } from './srcu-debug.js'
import { SrcuMisuseError } from './srcu-errors.js'
import { freeParts, SrcuEndings } from './srcu-endings.js'
import { beingCleanedUp, checkFlavour, cleanedUp, endStale, flavours, makeDomain } from './srcu-making.js'
import type { CallbackLists } from './callback-lists.js'
import { listsOf, SrcuCallbacks, type MakeQueueing } from './srcu-callbacks.js'
import { inspectDomain } from './srcu-inspect.js'
import { nameAt, titleOf } from './srcu-names.js'
import { isEnding, register, registered } from './srcu-registry.js'
import { initialiseSrcu, SrcuWords } from './srcu-words.js'
import type { Srcu, SrcuFlavour, SrcuParts } from './srcu.js'
import { findTree, treeAddress, treeBytes, type SrcuTree } from './srcu-tree.js'
import { visible } from '../shown.js'

/** What `machine.srcu` takes. */
export interface SrcuOptions {
  /**
   * How readers count themselves. `'fast'`: by plain additions, and not on deaf CPUs. `'normal'`:
   * by atomic ones, everywhere. Default: that of the domain, or `'fast'`.
   */
  readonly flavour?: SrcuFlavour
}

/** At boot. */
export function bootSrcu({ own, objects }: LayerContext): void {
  if (own.map.debugRcu) bootDebug(objects)
}

/** A domain, and how to open it. */
interface Found {
  readonly shared: SharedObject
  readonly name: string
  readonly open: () => Srcu
}

/** A domain in a struct. One that is made there later differs. */
interface Placed {
  readonly pointer: number
  readonly serial: number
  readonly domain: Srcu
}
/** A domain that has a name. Another one that gets it later differs. */
type NamedDomain = Pick<Placed, 'serial' | 'domain'>

export class SrcuLayer implements AttachedLayer {
  readonly name = 'srcu'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #percpu: PercpuLayer
  readonly #endings: SrcuEndings
  /** Those of this thread that have names. */
  readonly #named = new Map<string, NamedDomain>()
  /** Those in structs, by their addresses. */
  readonly #placed = new Map<number, Placed>()
  #hasLeft = false
  /** Undefined without debug mode; made for the first domain. */
  #debug: SrcuDebug | undefined
  /** Set by the machine: is told of misuse that nobody can catch. */
  tellMisuse: (error: SrcuMisuseError) => void = () => undefined
  /** Set by the layer of callbacks, which is above. */
  makeQueueing: MakeQueueing = () => {
    throw this.#context.own.offlineError()
  }

  constructor(context: LayerContext, sync: SyncLayer, alloc: AllocLayer, percpu: PercpuLayer) {
    this.#context = context
    this.#sync = sync
    this.#percpu = percpu
    this.#endings = new SrcuEndings(context, alloc, percpu)
  }

  /**
   * The domain of this name, for all threads.
   *
   * @throws ArgumentError for a bad name or option, or another flavour than the domain has;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  open(name: string, options: SrcuOptions = {}): Srcu {
    const flavour = this.#check(options)
    return checkFlavour(this.#open(name, flavour ?? 'fast'), flavour)
  }

  #check(options: SrcuOptions): SrcuFlavour | undefined {
    if (this.#hasLeft) throw this.#context.own.offlineError()
    checkOptions('srcu', options, { flavour: true })
    const { flavour } = options
    checkOneOf('flavour', flavour, Object.keys(flavours))
    return flavour
  }

  #open(name: string, flavour: SrcuFlavour): Srcu {
    const cpuState = this.#percpu.use()
    const { memory } = cpuState.state
    const shared = openShared(cpuState, 'srcu', name, SrcuLayout, SrcuCpuLayout.size, (address) => {
      initialiseSrcu(memory, address / 4, flavours[flavour])
    })
    return this.#domainOf(name, shared)
  }

  /** The domain that has, or just had, this name; through this thread's own views. */
  #domainOf(name: string, { serial, words }: NamedObject): Srcu {
    const { state } = this.#percpu.use()
    const known = this.#named.get(name)
    if (known?.serial === serial) return known.domain
    // Another thread has ended that one.
    if (known) endStale(known.domain)
    const free = async (): Promise<void> => {
      this.#named.delete(name)
      if (!(await this.#endings.endNamed(name, words))) throw cleanedUp(title)
    }
    const address = words * 4
    const title = titleOf(this.#context.names, state.memory, name)
    const domain = this.#make(sharedObject(state, address, pointerAt(state, address)), title, free)
    this.#named.set(name, { serial, domain })
    return domain
  }

  /** Another thread has ended the domain of this name, or is about to: this one uses it no more. */
  letGo(name: string): void {
    const known = this.#named.get(name)
    if (known === undefined) return
    this.#named.delete(name)
    endStale(known.domain)
  }

  /**
   * Makes a domain in memory of the caller, which is zero and which no other thread knows yet.
   *
   * @throws ArgumentError for a bad address or option; SrcuMisuseError if there is one already;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  initialise(address: number, options: SrcuOptions = {}): Srcu {
    const flavour = this.#check(options) ?? 'fast'
    const cpuState = this.#percpu.use()
    const { state, allocator, context } = cpuState
    this.#checkAddress(address)
    const name = nameAt(address)
    // Somebody may have died there without its last word: who goes on would end this one. Mutant:
    // rcu/srcu-made-while-ending.
    if (isEnding(state.memory, context.objects, address / 4)) throw beingCleanedUp(name, address)
    if (pointerAt(state, address) !== 0)
      throw new SrcuMisuseError(`${name}: there is a domain already, or the memory is not zero`, { address })
    initialiseSrcu(state.memory, address / 4, flavours[flavour])
    const { size: bytes, align } = SrcuCpuLayout
    try {
      allocator.allocate(bytes, { align, into: address, owned: true })
      register(state.memory, context.objects, address / 4)
    } catch (error) {
      // Nobody has seen it: it is no domain again.
      freeParts(state.memory, allocator, address / 4)
      fillBytes(state.memory, address, SrcuLayout.size, 0)
      throw error
    }
    return this.at(address, options)
  }

  /**
   * The domain that a thread made at this address.
   *
   * @throws SrcuMisuseError if there is none; ArgumentError for a bad address, or another flavour
   *   than the domain has; OfflineError.
   */
  at(address: number, options: SrcuOptions = {}): Srcu {
    const flavour = this.#check(options)
    const { state } = this.#percpu.use()
    this.#checkAddress(address)
    const pointer = pointerAt(state, address)
    const name = nameAt(address)
    if (pointer === 0) throw new SrcuMisuseError(`${name}: there is no domain`, { address })
    const serial = this.#serialAt(address)
    if (serial === 0) throw beingCleanedUp(name, address)
    const known = this.#placed.get(address)
    if (known?.pointer === pointer && known.serial === serial) return checkFlavour(known.domain, flavour)
    // Another thread has ended that one.
    if (known) endStale(known.domain)
    const free = async (): Promise<void> => {
      this.#placed.delete(address)
      if (!(await this.#endings.endPlaced(name, address / 4))) throw cleanedUp(name)
    }
    const domain = this.#make(sharedObject(state, address, pointer), name, free)
    this.#placed.set(address, { pointer, serial, domain })
    return checkFlavour(domain, flavour)
  }

  #make(shared: SharedObject, name: string, free: () => Promise<void>): Srcu {
    const { own } = this.#context
    const { waiting } = this.#sync.state
    const words = new SrcuWords(shared)
    const percpu = () => this.#percpu.use()
    const address = words.words * 4
    const callbacks = new SrcuCallbacks(
      { name, address, own, percpu, make: this.makeQueueing },
      () => domain.source,
    )
    const parts: SrcuParts = {
      name,
      words,
      own,
      sleep: (done, deadline) => waiting.sleep(done, deadline),
      assertMayBlock: () => waiting.assertMayBlock(),
      ...this.#treeOf(shared),
      callbacks,
      free,
    }
    const isFast = loadU32(shared.memory.u32, shared.words + SrcuLayout.words.flavour) === FAST
    const domain: Srcu = makeDomain(parts, isFast ? 'fast' : 'normal')
    const debug = this.#openDebug()
    return debug ? debugged(domain, debug) : domain
  }
  /** How a domain finds its tree, and makes one. */
  #treeOf(shared: SharedObject): Pick<SrcuParts, 'tree' | 'grow'> {
    const { map } = this.#context.own
    let found: SrcuTree | undefined
    const tree = (): SrcuTree | undefined => (found ??= findTree(this.#percpu.use().state, shared, map))
    const grow = (): void => {
      if (tree()) return
      try {
        const into = treeAddress(shared)
        this.#percpu.use().allocator.allocate(treeBytes(map), { into, owned: true })
      } catch (error) {
        // A small domain does without.
        if (!(error instanceof OutOfMemoryError || error instanceof LockTimeoutError)) throw error
      }
    }
    return { tree, grow }
  }
  #openDebug(): SrcuDebug | undefined {
    const { own, objects } = this.#context
    if (!own.map.debugRcu) return undefined
    const tell = (error: SrcuMisuseError): void => this.tellMisuse(error)
    return (this.#debug ??= new SrcuDebug(own, Notes.open(own.memory, objects), tell))
  }
  /** The number of the domain at an address. */
  #serialAt(address: number): number {
    return loadU32(this.#context.own.memory.u32, address / 4 + SrcuLayout.words.serial)
  }
  #checkAddress(address: number): void {
    // In a struct of the user's, whose alignment may be less than that of one of its own.
    const { name, size } = SrcuLayout
    checkPlace('address', address, this.#context.own.memory, { name, size, align: 4 })
  }

  /**
   * Ends the sections of this CPU.
   *
   * @throws LockHeldError after that, if there were any.
   */
  detach(): void {
    const { doorbell, cpu } = this.#context.own
    const lockedAt = this.#debug?.close()
    const names: string[] = []
    let sections = 0
    for (const domain of this.#living()) {
      const ended = domain.words.endSections(cpu, doorbell.ringer)
      if (ended !== 0) names.push(domain.name)
      sections += ended
      domain.handOver()
    }
    this.abandon()
    if (sections === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${sections} read sections of ${names.map(visible).join(', ')} under way; they were ended` +
        (lockedAt ?? []).map((stack) => indented('begun', stack)).join(''),
      { cpu, sections, names, ...(lockedAt && { lockedAt }) },
    )
  }

  abandon(): void {
    this.#hasLeft = true
    this.#endings.abandon()
    this.#debug?.abandon()
    const error = this.#context.own.offlineError()
    for (const { domain } of this.#named.values()) domain.close(error)
    for (const { domain } of this.#placed.values()) domain.close(error)
    this.#named.clear()
    this.#placed.clear()
  }

  /** While the lock of the names shows what it was at. */
  rescue(recovery: Recovery): void {
    this.examine(recovery)
  }
  /** What the dead CPU was ending, before the heap frees what it had in flight. */
  examine(recovery: Recovery): void {
    this.#endings.examine(recovery)
  }

  /** Ends the sections of the dead CPU, and goes on with grace periods that it may have driven. */
  recover(recovery: Recovery): void {
    const { table, cpu, incarnation } = recovery
    if (table.map.debugRcu) {
      const { objects } = openBootMemory(table, cpu, incarnation)
      Notes.open(table.memory, objects).forget(tokenOf(cpu, incarnation))
    }
    const { state } = this.#percpu.stateFor(recovery)
    const { map } = this.#context.own
    const errors: unknown[] = []
    for (const { shared, open } of this.#all(recovery)) {
      try {
        const words = new SrcuWords(shared)
        words.endSections(recovery.cpu, recovery.ringer)
        // Mutant: rcu/srcu-tree-reaper.
        findTree(state, shared, map)?.wakeAll(recovery.ringer)
        if (!this.#hasLeft && words.isWanted) open().takeOver()
      } catch (error) {
        // The other domains first.
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors)
  }

  /** Others go on to end what a CPU was ending, which leaves or has died. Whether there is any. */
  orphan(recovery: Recovery): boolean {
    return this.#endings.orphan(recovery)
  }
  /** Goes on to end what others had begun to, which have gone. */
  adoptOrphans(): void {
    this.#endings.adopt()
  }

  /** The lists of callbacks of all domains that have any. `recovery`: through whose views. */
  *callbackLists(recovery: Recovery): Generator<CallbackLists> {
    const { state } = this.#percpu.stateFor(recovery)
    for (const { shared, name: domain, open } of this.#all(recovery)) {
      const lists = listsOf(state, shared.words * 4)
      if (lists.length > 0) yield { domain, lists, open: () => open().callbacks }
    }
  }

  structs(): readonly PlacedStruct[] {
    return [...this.#living()].flatMap(({ name, words: { words, parts } }) => [
      { name: `srcu[${name}]`, address: words * 4, struct: SrcuLayout },
      ...parts.map((part, cpu) => ({
        name: `srcu[${name}].cpu[${cpu}]`,
        address: part * 4,
        struct: SrcuCpuLayout,
      })),
    ])
  }

  /** Every domain, for watchers. */
  inspect(): readonly GracePeriodSnapshot[] {
    const { table, cpu, incarnation, doorbell } = this.#context.own
    const recovery = { table, cpu, incarnation, ringer: doorbell.ringer }
    const { state } = this.#percpu.stateFor(recovery)
    const notes = table.map.debugRcu ? Notes.open(table.memory, this.#context.objects).all() : []
    return [...this.#all(recovery)].map(({ shared, name }) => {
      const callbacks = listsOf(state, shared.words * 4).map((list) => pendingIn(table.memory, list))
      return { ...inspectDomain(new SrcuWords(shared), name, notes), callbacks }
    })
  }

  /** The domains that this thread has opened, but for those that were cleaned up since. */
  *#living(): Generator<Srcu> {
    if (this.#named.size + this.#placed.size === 0) return
    const { state, context } = this.#percpu.use()
    for (const { name, serial } of findShared(state, context.names, 'srcu')) {
      const known = this.#named.get(name)
      if (known?.serial === serial) yield known.domain
    }
    for (const at of registered(state.memory, context.objects)) {
      const known = this.#placed.get(at * 4)
      if (known?.pointer === pointerAt(state, at * 4) && known.serial === this.#serialAt(at * 4))
        yield known.domain
    }
  }
  /** Every domain, through the recovering thread's own views, and how to open it. */
  *#all(recovery: Recovery): Generator<Found> {
    const { table, cpu, incarnation } = recovery
    const { state } = this.#percpu.stateFor(recovery)
    const { objects } = openBootMemory(table, cpu, incarnation)
    const { names } = this.#context
    for (const shared of findShared(state, names, 'srcu')) {
      const name = titleOf(names, table.memory, shared.name)
      yield { shared, name, open: () => this.#domainOf(shared.name, shared) }
    }
    for (const at of registered(table.memory, objects)) {
      const pointer = pointerAt(state, at * 4)
      if (pointer === 0) continue
      const shared = sharedObject(state, at * 4, pointer)
      yield { shared, name: nameAt(at * 4), open: () => this.at(at * 4) }
    }
  }
}
