/**
 * The tree by which the machine learns that every CPU has passed a quiescent state. (After the
 * kernel's Tree RCU. Where the kernel's nodes have masks under locks, the words here only go
 * forward. So a step may be repeated by anybody, and a thread that dies between two leaves nothing
 * to take back.)
 *
 *     header.rcuSequence    even steps of 4: idle; + 1: a grace period is under way (sequence.ts)
 *     header.rcuNeeded      how far somebody wants it to come
 *     header.rcuExpedited   how far somebody wants it to come at once
 *     node.active           of a leaf: CPUs that may be reading: online, and in no idle stretch
 *     node.rung             the grace period for which all CPUs of the leaf have been rung
 *     cpu.reported          the grace period for which the CPU was quiescent
 *     node.completed        the grace period that everybody below has passed
 *
 *                           root             completed when all its children are
 *                        ╱        ╲
 *                    leaf          leaf      completed when each active CPU has reported
 *                   ╱ │ ╲         ╱ │ ╲
 *                 CPUs 0 … 15   CPUs 16 … 31
 *
 * Who does what, and what another thread does if that one dies there:
 *
 * - Whoever needs a grace period raises `needed`, then starts one if none is under way. Whoever
 *   ends one starts the next if `needed` is further. Of the two one sees the other.
 * - Who starts one rings a CPU of each leaf; the first that reports in a leaf rings its others. So
 *   256 CPUs cost the starter 16 rings. An expedited one rings them all itself.
 * - Who reports last in a leaf completes it, who completes the last child of a node completes that,
 *   and who completes the root ends the grace period and rings those who wait for it.
 *
 * Nobody is in charge. The reaper of a dead CPU takes it from its leaf, and does every step above
 * that is due ({@link RcuTree.drive}), also those that the dead thread was about to do.
 *
 * A CPU that goes idle leaves the mask of its leaf, and needs to be asked nothing: one look at the
 * mask asks for all idle CPUs of a leaf. A CPU that comes back, or comes online, enters the mask
 * first. Then it reports for the grace period under way, as it has read nothing yet. So who rings
 * after that finds it in the mask, and who rang before has its report.
 *
 * Why numbers may wrap around: sequence.ts. `completed` goes forward only, and a thread that
 * completes a node for a grace period of long ago finds that it has gone further.
 *
 * Cost, for each CPU and grace period: a ring and its answer, one store, and at most as many loads
 * as a leaf has CPUs. It does not grow with the number of CPUs.
 */
import {
  addAtomic32,
  andAtomic32,
  compareExchangeAtomic32,
  loadAtomic32,
  orAtomic32,
  storeAtomic32,
  type Memory,
} from '#mem'
import { Cpu, Header, RcuNode } from '../machine/layouts.js'
import type { MemoryMap } from '../machine/memory-map.js'
import type { CpuTable } from './cpu-table.js'
import { REASON_QUIESCE, type Ringer } from './ringer.js'
import { endOf, FIRST_SEQUENCE, isDone, isDoneExact, isIdle, later, nextPhase, snap } from './sequence.js'

const header = Header.words
const { active, completed, rung } = RcuNode.words
const stride = RcuNode.stride / 4
const NOBODY = -1

/** A leaf, or a node above, by its word index. */
interface Node {
  readonly at: number
  /** Of a leaf: its first CPU. */
  readonly first: number
  /** Those of an inner node. */
  readonly children: readonly Node[]
  parent: Node | undefined
}

/** Before the machine has a CPU: no grace period has been asked for. */
export function initialiseTree({ i32 }: Memory, map: MemoryMap): void {
  const nodes = map.rcuLevels.reduce((sum, count) => sum + count, 0)
  const words = Array.from({ length: nodes }, (_, node) => map.rcuNodes + node * stride + completed)
  // atomic: no other thread knows the memory yet.
  for (const word of [header.rcuSequence, header.rcuNeeded, header.rcuExpedited, ...words])
    storeAtomic32(i32, word, FIRST_SEQUENCE)
}

/** The tree as one thread works with it, which may be no CPU. */
export class RcuTree {
  readonly #table: CpuTable
  readonly #ringer: Ringer
  /** The leaves first, the root last. */
  readonly #nodes: readonly Node[]
  readonly #leaves: readonly Node[]

  constructor(table: CpuTable, ringer: Ringer) {
    this.#table = table
    this.#ringer = ringer
    this.#nodes = makeNodes(table.map)
    this.#leaves = this.#nodes.slice(0, table.map.rcuLevels[0])
  }

  /** Word index of the mask of those who want a ring when a grace period ends. */
  get waiters(): number {
    return header.rcuWaiters
  }

  get sequence(): number {
    // Q(rcu.sequence) pairs with W in #begin, R in #end: what was written before the grace period
    // began may be read, and if it has ended, what every CPU read before is over. Mutant:
    // cpus/start-by-store.
    return loadAtomic32(this.#table.memory.i32, header.rcuSequence)
  }

  /** The cookie of a grace period that begins after now. */
  snap(): number {
    // VI(rcu.sequence) hands over what this CPU has written plainly; pairs with W in #begin: the
    // grace period begins by a read-modify-write of the same word, later. A load would order
    // nothing. Mutant: cpus/snap-by-load.
    return snap(addAtomic32(this.#table.memory.i32, header.rcuSequence, 0))
  }

  /** Whether somebody has asked for one that has not ended. A snapshot. */
  get isWanted(): boolean {
    // atomic: a snapshot.
    return !isDone(this.sequence, loadAtomic32(this.#table.memory.i32, header.rcuNeeded))
  }

  isDone(cookie: number): boolean {
    return isDone(this.sequence, cookie)
  }

  /**
   * Sees to it that the grace period of the cookie comes. Returns whether this thread began one:
   * then its own CPU, `own`, has not been rung, and is to report as soon as it may.
   */
  request(cookie: number, own: number, isExpedited = false): boolean {
    if (isExpedited && !isDoneExact(this.sequence, cookie) && this.#raise(header.rcuExpedited, cookie))
      this.#hurry()
    this.#raise(header.rcuNeeded, cookie)
    return this.#begin(own)
  }

  /** Hurries all that is wanted, and the grace period under way. */
  expedite(): void {
    // atomic: how soon is a matter of speed only.
    const needed = loadAtomic32(this.#table.memory.i32, header.rcuNeeded)
    if (!isDone(this.sequence, needed) && this.#raise(header.rcuExpedited, needed)) this.#hurry()
  }

  /**
   * CPU `cpu` is quiescent now: its section before is over, the next has read nothing yet. `before`
   * is called before others hear of it, and finds what was written before the grace period.
   */
  report(cpu: number, before?: () => void): void {
    const { sequence } = this
    before?.()
    if (isIdle(sequence)) return
    const word = this.#table.record(cpu) + Cpu.words.reported
    // atomic: written by this CPU, or before it came online by another of its number.
    if (loadAtomic32(this.#table.memory.i32, word) === sequence) return
    // O(cpu.reported) gives up what this CPU has read; pairs with P in #hasReported: what it read
    // may be freed. Mutant: cpus/report-nothing.
    storeAtomic32(this.#table.memory.i32, word, sequence)
    this.#advance(this.#leafOf(cpu), sequence)
  }

  /** CPU `cpu` may read from now on. It has read nothing yet. `before`: as in {@link report}. */
  activate(cpu: number, before?: () => void): void {
    // VK(node.active) pairs with VJ in #isPassed: either who looks for CPUs to wait for finds this
    // one, or this one finds what was written before that grace period. Mutants:
    // cpus/active-by-load, cpus/activate-nothing.
    orAtomic32(this.#table.memory.i32, this.#leafOf(cpu).at + active, this.#bitOf(cpu))
    this.report(cpu, before)
  }

  /**
   * Whatever CPU `cpu` had read may be read on, in its place, until it is deactivated. For the
   * reaper of a dead CPU, which may be no CPU itself.
   */
  hold(cpu: number): void {
    const { at } = this.#leafOf(cpu)
    // atomic: as VK, but it reports nothing. The dead CPU may have been in the middle of something.
    orAtomic32(this.#table.memory.i32, at + active, this.#bitOf(cpu))
  }

  /** CPU `cpu` reads nothing from now on, until it is activated. By its thread, or its reaper. */
  deactivate(cpu: number): void {
    const leaf = this.#leafOf(cpu)
    // VL(node.active) gives up what this CPU has read; pairs with VJ in #isPassed: what it read may
    // be freed, and nobody waits for it. Mutant: cpus/deactivate-nothing.
    andAtomic32(this.#table.memory.i32, leaf.at + active, ~this.#bitOf(cpu))
    const { sequence } = this
    if (!isIdle(sequence)) this.#advance(leaf, sequence)
  }

  /**
   * Whether CPU `cpu` may be reading. If not, it finds what was written before this call when it
   * comes back, before it reads anything.
   */
  isActive(cpu: number): boolean {
    // atomic: as VJ in #isPassed, by a read-modify-write.
    const bits = addAtomic32(this.#table.memory.i32, this.#leafOf(cpu).at + active, 0)
    return (bits & this.#bitOf(cpu)) !== 0
  }

  /**
   * Does every step that is due, whoever was to do it. For the reaper of a dead CPU, which may have
   * been between two steps.
   */
  drive(): void {
    // Mutant: cpus/reaper-does-not-drive.
    const { sequence } = this
    if (!isIdle(sequence)) {
      for (const leaf of this.#leaves) this.#ringAll(leaf, sequence)
      for (const node of this.#nodes) this.#complete(node, sequence)
    }
    this.#begin()
    this.#ringer.wakeAll(header.rcuWaiters)
  }

  /**
   * CPUs that hold up the grace period under way; none if there is none. Those of a leaf that have
   * not been rung yet, as the first one there has not answered, are not late. A snapshot.
   */
  late(): number[] {
    const { sequence } = this
    if (isIdle(sequence)) return []
    const waitedFor = this.#leaves.flatMap((leaf) => this.#unreported(leaf, sequence))
    const rungFor = waitedFor.filter((cpu) => this.#isRungFor(cpu, sequence))
    return rungFor.length > 0 ? rungFor : waitedFor
  }

  /** Whether this thread brought the word forward to the cookie. */
  #raise(word: number, cookie: number): boolean {
    const { i32 } = this.#table.memory
    for (;;) {
      // atomic: only goes forward.
      const found = loadAtomic32(i32, word)
      // `needed` is not behind the sequence. So a cookie far ahead of it is one of long ago.
      const isThere = word === header.rcuNeeded ? isDoneExact : isDone
      if (isThere(found, cookie)) return false
      // VM(rcu.needed) pairs with VN in #begin: written before the sequence is looked at, as who
      // ends a grace period looks at this word after it. One of both begins the next. Mutant:
      // cpus/end-forgets-needed.
      if (compareExchangeAtomic32(i32, word, found, later(found, cookie)) === found) return true
    }
  }

  /** Begins a grace period, if one is needed and none is under way. */
  #begin(own = NOBODY): boolean {
    const { i32 } = this.#table.memory
    for (;;) {
      const { sequence } = this
      // VN(rcu.needed) pairs with VM in #raise: read after the sequence is found idle. Mutant:
      // cpus/end-forgets-needed.
      if (!isIdle(sequence) || isDone(sequence, loadAtomic32(i32, header.rcuNeeded))) return false
      const begun = nextPhase(sequence)
      // W(rcu.sequence) begins it; pairs with Q in sequence, VI in snap: what was written before
      // the cookie was taken is there for every CPU that reports for this grace period. Mutant:
      // cpus/start-by-store.
      if (compareExchangeAtomic32(i32, header.rcuSequence, sequence, begun) !== sequence) continue
      this.#ring(begun, own)
      return true
    }
  }

  /** Rings a CPU of each leaf, or all if it is in a hurry. */
  #ring(sequence: number, own: number): void {
    // atomic: how soon is a matter of speed only.
    const isExpedited = isDone(loadAtomic32(this.#table.memory.i32, header.rcuExpedited), endOf(sequence))
    for (const leaf of this.#leaves) {
      if (isExpedited || this.#leaves.length === 1) this.#ringAll(leaf, sequence, own)
      else this.#ringOne(leaf, sequence, own)
      // Nobody there may have anything to report. Otherwise the last who has completes it.
      if (this.#active(leaf) === 0) this.#advance(leaf, sequence)
    }
  }

  /** The grace period under way has become urgent: rings all CPUs that it waits for. */
  #hurry(): void {
    const { sequence } = this
    if (isIdle(sequence)) return
    for (const leaf of this.#leaves) this.#ringAll(leaf, sequence)
  }

  #ringOne(leaf: Node, sequence: number, own: number): void {
    for (let bits = this.#active(leaf); bits !== 0; bits &= bits - 1) {
      const cpu = lowestOf(leaf, bits)
      if (cpu === own || this.#hasReported(cpu, sequence)) continue
      this.#ringer.ring(cpu, REASON_QUIESCE)
      return
    }
    this.#ringAll(leaf, sequence, own)
  }

  #ringAll(leaf: Node, sequence: number, but = NOBODY): void {
    for (const cpu of this.#unreported(leaf, sequence))
      if (cpu !== but) this.#ringer.ring(cpu, REASON_QUIESCE)
    // atomic: after the rings. A thread that dies before has the others ring again.
    storeAtomic32(this.#table.memory.i32, leaf.at + rung, sequence)
  }

  /** A CPU of the leaf has nothing to report any more. */
  #advance(leaf: Node, sequence: number): void {
    // atomic: two that ring both do no harm. Mutant: cpus/leaf-not-rung.
    if (loadAtomic32(this.#table.memory.i32, leaf.at + rung) !== sequence) this.#ringAll(leaf, sequence)
    for (let node: Node | undefined = leaf; node && this.#complete(node, sequence); node = node.parent);
  }

  /** Completes a node if everybody below has passed. Returns whether this thread did. */
  #complete(node: Node, sequence: number): boolean {
    const { i32 } = this.#table.memory
    // atomic: goes forward only, and what hangs on it is decided by VO.
    const before = loadAtomic32(i32, node.at + completed)
    if (isDone(before, sequence)) {
      // Who completed the root may have died before the end.
      if (!node.parent && before === sequence) this.#end(sequence)
      return false
    }
    if (!this.#isPassed(node, sequence)) return false
    // VO(node.completed) pairs with VP in #isCompleted: what everybody below read is over. Mutant:
    // cpus/leaf-completes-early.
    if (compareExchangeAtomic32(i32, node.at + completed, before, sequence) !== before) return false
    if (!node.parent) this.#end(sequence)
    return true
  }

  #isPassed(node: Node, sequence: number): boolean {
    if (node.children.length > 0) return node.children.every((child) => this.#isCompleted(child, sequence))
    // VJ(node.active) pairs with VK in activate, VL in deactivate: what idle CPUs read before is
    // over, and they find what was written before this grace period when they come back. A load
    // would not order the latter. Mutant: cpus/active-by-load.
    let bits = addAtomic32(this.#table.memory.i32, node.at + active, 0)
    for (; bits !== 0; bits &= bits - 1) if (!this.#hasReported(lowestOf(node, bits), sequence)) return false
    return true
  }

  #isCompleted(node: Node, sequence: number): boolean {
    // VP(node.completed) pairs with VO in #complete: what everybody below read is over. Mutant:
    // cpus/leaf-completes-early.
    return loadAtomic32(this.#table.memory.i32, node.at + completed) === sequence
  }
  #hasReported(cpu: number, sequence: number): boolean {
    // P(cpu.reported) pairs with O in report: what the CPU read before is over. Mutant:
    // cpus/report-nothing.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + Cpu.words.reported) === sequence
  }

  #end(sequence: number): void {
    // R(rcu.sequence) ends it; pairs with Q in sequence: what every CPU had read before it began is
    // over. Mutant: cpus/leaf-completes-early.
    const found = compareExchangeAtomic32(
      this.#table.memory.i32,
      header.rcuSequence,
      sequence,
      endOf(sequence),
    )
    if (found !== sequence) return
    // The ending thread's own CPU reports by its bell, as all others do.
    this.#begin()
    this.#ringer.wakeAll(header.rcuWaiters)
  }

  #active(leaf: Node): number {
    // atomic: a CPU that leaves the mask later advances the leaf itself.
    return loadAtomic32(this.#table.memory.i32, leaf.at + active)
  }
  #unreported(leaf: Node, sequence: number): number[] {
    const cpus = []
    for (let bits = this.#active(leaf); bits !== 0; bits &= bits - 1) {
      const cpu = lowestOf(leaf, bits)
      if (!this.#hasReported(cpu, sequence)) cpus.push(cpu)
    }
    return cpus
  }

  #isRungFor(cpu: number, sequence: number): boolean {
    const { i32 } = this.#table.memory
    // atomic: a snapshot, for an error.
    if (loadAtomic32(i32, this.#leafOf(cpu).at + rung) === sequence) return true
    return (loadAtomic32(i32, this.#table.record(cpu) + Cpu.words.bell) & REASON_QUIESCE) !== 0
  }

  #leafOf(cpu: number): Node {
    return this.#leaves[Math.floor(cpu / this.#table.map.fanout)] as Node
  }
  #bitOf(cpu: number): number {
    return 1 << (cpu % this.#table.map.fanout)
  }
}

/** The CPU of the lowest bit in a mask of a leaf. */
function lowestOf({ first }: Node, bits: number): number {
  return first + 31 - Math.clz32(bits & -bits)
}

function makeNodes({ rcuLevels, rcuNodes, fanout }: MemoryMap): readonly Node[] {
  const nodes: Node[] = []
  let below: readonly Node[] = []
  for (const count of rcuLevels) {
    const level = Array.from({ length: count }, (_, index): Node => {
      const at = rcuNodes + (nodes.length + index) * stride
      const children = below.slice(index * fanout, (index + 1) * fanout)
      return { at, first: index * fanout, children, parent: undefined }
    })
    for (const node of level) for (const child of node.children) child.parent = node
    nodes.push(...level)
    below = level
  }
  return nodes
}
