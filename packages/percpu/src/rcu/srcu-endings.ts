/**
 * How domains end on one thread, and how others finish what a thread had begun that has gone.
 *
 *     step                        a death after it leaves        who finishes
 *     ──────────────────────────────────────────────────────────────────────────────────────────
 *     a slot kept, of a name      the domain, and its slot      the next end of that domain
 *     marked: the CPU's token     with its name: the domain     the reaper takes the mark away
 *       in the slot               in a struct: it is ending     the reaper says so; the heir
 *     the name taken away         it is ending                  the heir
 *     a grace period,             the same                      the heir
 *       nobody at its lists
 *     of each block of lists:
 *       in flight                 the list still names it       the reaper unlinks it; the heap
 *       unlinked, freed           a shorter list                the heir
 *     lists, tree, parts freed,   fewer of them, as each word   the heir
 *       each by its word          goes with what it names
 *     the name's block in         no more than that block       the heap, or who has the queue;
 *       flight, then queued                                     the reaper takes the mark away
 *     no domain in the slot       a slot without a domain       the reaper takes the mark away
 *     no mark                     nothing                       –
 *
 * The heir is a CPU that its reaper, or the CPU itself when it goes offline, rings (RcuLayer), or
 * the next one that comes online. It begins with a grace period of its own: that does not end
 * before the reaper is done. Each step can be repeated, and the mark is taken away last.
 *
 * If there is no memory for a slot, the domain ends without a mark: a death loses its parts then.
 */
import { load32, loadAtomic32, store32, type Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { AllocLayer } from '../alloc/layer.js'
import type { Tags } from '../alloc/tags.js'
import { openBootMemory, type LayerContext } from '../bootmem/layer.js'
import type { Recovery } from '../cpus/layer.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { reportError } from '../machine/platform.js'
import { tokenOf } from '../machine/token.js'
import { Deadline } from '../machine/wait-options.js'
import { blockOf, entryOf } from '../names/entry.js'
import { isThere } from '../names/recovery.js'
import type { Allocator } from '../percpu/allocator.js'
import type { PercpuLayer } from '../percpu/layer.js'
import { ensureStack, MANY } from '../stack.js'
import { CallbackBlock, CallbackList } from './layouts.js'
import { listsOf, settleLists } from './srcu-callbacks.js'
import { leakError, PATIENCE } from './srcu-cleanup.js'
import { ORPHANED, SrcuLayout } from './srcu-layouts.js'
import {
  beginEnd,
  enderOf,
  endingBy,
  giveBack,
  goOn,
  leave,
  reserve,
  setEnder,
  tellEnd,
  type Slot,
} from './srcu-registry.js'

const { words } = CallbackList

/** A domain without a slot has 0 in its place. */
const NO_SLOT = 0

export class SrcuEndings {
  readonly #context: LayerContext
  readonly #alloc: AllocLayer
  readonly #percpu: PercpuLayer
  readonly #token: number
  #hasLeft = false

  constructor(context: LayerContext, alloc: AllocLayer, percpu: PercpuLayer) {
    this.#context = context
    this.#alloc = alloc
    this.#percpu = percpu
    this.#token = tokenOf(context.own.cpu, context.own.incarnation)
  }

  /** Nothing is written any more. */
  abandon(): void {
    this.#hasLeft = true
  }

  /**
   * Takes the name of a domain away that nobody uses, and ends it. Whether nobody else has.
   *
   * @throws LockTimeoutError: it has its name then. UnansweredError: it ends later.
   */
  async endNamed(name: string, domain: number): Promise<boolean> {
    const { own, names } = this.#context
    const slot = this.#reserve(domain)
    const mark = (): void => {
      // Before the name is gone. Mutant: rcu/srcu-end-unmarked.
      if (slot.slot !== NO_SLOT) setEnder(own.memory, slot, this.#token)
    }
    let isEnding: boolean | undefined
    try {
      isEnding = names.unlink('srcu', name, domain * 4, mark)
    } finally {
      if (isEnding !== true && slot.slot !== NO_SLOT) this.#unmark(slot, isEnding === undefined)
    }
    if (isEnding) await this.#end(name, slot)
    return isEnding
  }
  #reserve(domain: number): Slot {
    const { own, objects } = this.#context
    try {
      return reserve(own.memory, objects, domain)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      return { slot: NO_SLOT, words: domain, hasName: true }
    }
  }
  /** `hasName`: the slot is kept for the next end. Another thread may be about to mark it. */
  #unmark(slot: Slot, hasName: boolean): void {
    const { memory } = this.#context.own
    if (enderOf(memory, slot) === this.#token) setEnder(memory, slot, 0)
    // Mutant: rcu/srcu-slot-given-back.
    if (!hasName) giveBack(memory, slot)
  }

  /** As {@link endNamed}, of a domain in a struct. */
  async endPlaced(name: string, domain: number): Promise<boolean> {
    const { own, objects } = this.#context
    const slot = beginEnd(own.memory, objects, domain, this.#token)
    if (slot) await this.#end(name, slot)
    return slot !== undefined
  }

  /** Ends what others had begun to end that have gone. */
  adopt(): void {
    const { own, objects } = this.#context
    for (const slot of endingBy(own.memory, objects, ORPHANED)) {
      if (!goOn(own.memory, slot, this.#token)) continue
      this.#end(`srcu at ${slot.words * 4}`, slot).catch((error: unknown) => {
        // Offline: it is for the others again.
        if (!this.#hasLeft) reportError(error)
      })
    }
  }

  /** What a domain has beside its own words, once nobody can find it any more. */
  async #end(name: string, slot: Slot): Promise<void> {
    // Reapers, and those who look after callbacks of others, look for domains in one stretch.
    const { own } = this.#context
    const timeout = Math.max(PATIENCE, own.gracePeriods.stalls.limit)
    const deadline = new Deadline({ timeout })
    try {
      await own.gracePeriods.synchronize(deadline).catch((error: unknown) => {
        throw leakError(name, timeout, error)
      })
      const { state } = this.#percpu.use()
      const [late] = await settleLists(own, listsOf(state, slot.words * 4), deadline)
      if (late !== undefined) throw leakError(name, timeout)
      this.#release(slot)
    } catch (error) {
      // Somebody may go on later.
      if (!this.#hasLeft && slot.slot !== NO_SLOT) setEnder(own.memory, slot, ORPHANED)
      throw error
    }
  }

  #release(slot: Slot): void {
    const { memory } = this.#context.own
    const { state, allocator } = this.#percpu.use()
    ensureStack(MANY)
    const address = slot.words * 4
    for (const list of listsOf(state, address)) freeBlocks(memory, list, this.#alloc.heap)
    freeParts(memory, allocator, slot.words)
    if (slot.hasName) this.#context.names.discard('srcu', address)
    if (slot.slot !== NO_SLOT) leave(memory, slot)
  }

  /**
   * What a dead CPU was ending. In its place: its locks are not free, and the heap has not freed
   * what it had in flight. Can be repeated.
   */
  examine(recovery: Recovery): void {
    const { memory } = recovery.table
    const slots = this.#endingBy(recovery)
    if (slots.length === 0) return
    const { state } = this.#percpu.stateFor(recovery)
    const tags = this.#alloc.tagsOf(recovery)
    for (const slot of slots) {
      const address = slot.words * 4
      // Mutant: rcu/srcu-end-with-name.
      if (slot.words === 0 || (slot.hasName && this.#hasItsName(memory, address))) setEnder(memory, slot, 0)
      // Mutant: rcu/srcu-ended-twice.
      else if (slot.hasName && !isStillThere(memory, address, tags)) leave(memory, slot)
      else {
        if (!slot.hasName) tellEnd(memory, slot.words)
        for (const list of listsOf(state, address)) finishFreeing(memory, list, tags)
      }
    }
  }
  #hasItsName(memory: Memory, address: number): boolean {
    return this.#context.names.nameAt('srcu', memory, address) !== undefined
  }

  /** Lets others go on with what the CPU was ending. Whether there is anything to go on with. */
  orphan(recovery: Recovery): boolean {
    const { memory } = recovery.table
    for (const slot of this.#endingBy(recovery)) setEnder(memory, slot, ORPHANED)
    return this.#endingBy(recovery, ORPHANED).length > 0
  }

  #endingBy({ table, cpu, incarnation }: Recovery, ender = tokenOf(cpu, incarnation)): readonly Slot[] {
    return endingBy(table.memory, openBootMemory(table, cpu, incarnation).objects, ender)
  }
}

/** Tree and parts of a domain that nobody can find any more; each with the word that names it. */
export function freeParts({ i32 }: Memory, allocator: Allocator, domain: number): void {
  const { lists, tree, pointer } = SrcuLayout.words
  // The last one says that there is no domain.
  for (const field of [lists, tree, pointer]) {
    const word = domain + field
    // atomic: cleared by whoever frees it.
    const found = loadAtomic32(i32, word)
    if (found !== 0) allocator.free(found, word)
  }
}

/** The blocks of a list that is empty. */
function freeBlocks({ i32 }: Memory, list: number, heap: Heap): void {
  const head = list + words.headBlock
  if (load32(i32, head) === 0) store32(i32, head, load32(i32, list + words.first))
  store32(i32, list + words.first, 0)
  for (let block = load32(i32, head); block !== 0; block = load32(i32, head)) {
    heap.adopt(block * 8)
    // Before it is freed. Mutant: rcu/srcu-block-freed-first.
    store32(i32, head, nextOf(i32, block))
    heap.free(block * 8)
  }
}
/** The block that a dead CPU was about to unlink. */
function finishFreeing({ i32 }: Memory, list: number, tags: Tags): void {
  const head = list + words.headBlock
  const block = load32(i32, head)
  // Mutant: rcu/srcu-block-freed-twice.
  if (block !== 0 && tags.isInFlight(block * 8)) store32(i32, head, nextOf(i32, block))
}
function nextOf(i32: Memory['i32'], block: number): number {
  return load32(i32, block * 2 + CallbackBlock.words.next)
}

/** Whether the block of the domain's name was not given back. */
function isStillThere(memory: Memory, address: number, tags: Tags): boolean {
  return isThere(() => tags.isPersistent(blockOf(memory, entryOf(address)).address))
}
