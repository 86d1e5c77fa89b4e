/**
 * The tree of those who wait for grace periods of a domain, once there are many. (After the
 * combining tree of the kernel's Tree SRCU: four slots a node, and small domains without a tree.
 * Where the kernel's nodes have locks, the words here are changed by one operation each.)
 *
 *     small   every CPU that waits scans, and is rung at each step
 *     big     one of them scans; the others enter themselves in the tree and sleep
 *
 *                    root                 waiting[slot]: children below which somebody waits
 *                 ╱        ╲
 *             leaf          leaf          waiting[slot]: CPUs that wait
 *
 * The slot of a grace period is its number modulo 4. At most two are waited for at any time. So
 * when one ends, its slot leads to exactly those who waited for it, and a bit that was left behind
 * costs a ring too many.
 *
 *     enter   sets the leaf's bit, then those above that are not set; then looks at the sequence
 *     wake    after the sequence has moved: takes the root's bits, then those of the nodes below
 *
 * No wake-up is lost. A CPU that misses the move has set its leaf's bit before it. Its bits above
 * are set, too: if they are taken before it looks, it sets them again; if later, the one who takes
 * them comes to the leaf after that. Mutant: rcu/srcu-tree-top-first.
 *
 * A thread that dies while it wakes leaves bits without those above. Its reaper wakes every leaf.
 *
 * Nobody in particular scans. Who sleeps has found another CPU's bit in the domain's `waiters`. One
 * that ceases to scan, or to sleep, takes its own bits away. Then, if a grace period is wanted and
 * nobody scans, it rings one that sleeps. The reaper of one that dies rings all. One that blocks
 * its thread is not counted on for longer than the patience of those who sleep.
 *
 * Cost of a grace period: a scan by one CPU, and for each CPU that waits an atomic operation, some
 * loads and a ring.
 */
import { andAtomic32, exchangeAtomic32, loadAtomic32, orAtomic32, type Memory } from '#mem'
import { REASON_WAKE, type Ringer } from '../cpus/ringer.js'
import { periodsOf } from '../cpus/sequence.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { pointerAt } from '../percpu/allocator.js'
import { sharedObject, type SharedObject } from '../percpu/named.js'
import type { AllocatorState } from '../percpu/state.js'
import { SRCU_SLOTS, SrcuLayout, SrcuNode } from './srcu-layouts.js'

/** A node by its word index, and its bit in the one above. */
interface Place {
  readonly node: number
  readonly bit: number
}

/** Its shape is that of the tree of sched RCU: how many nodes each level has, leaves first. */
type TreeShape = Pick<MemoryMap, 'cpus' | 'fanout' | 'rcuLevels'>

/** Bytes of each CPU's part of the memory that holds the nodes. */
export function treeBytes({ rcuLevels, cpus }: TreeShape): number {
  return Math.ceil(nodesOf(rcuLevels) / cpus) * SrcuNode.size
}
/** Where a domain keeps the pointer to that memory. */
export function treeAddress({ words }: SharedObject): number {
  return (words + SrcuLayout.words.tree) * 4
}
/** Undefined while the domain is small. */
export function findTree(
  state: AllocatorState,
  domain: SharedObject,
  shape: TreeShape,
): SrcuTree | undefined {
  const address = treeAddress(domain)
  const pointer = pointerAt(state, address)
  if (pointer === 0) return undefined
  return new SrcuTree(state.memory, shape, sharedObject(state, address, pointer).parts)
}

export class SrcuTree {
  readonly #memory: Memory
  readonly #shape: TreeShape
  /** Word index of each node, leaves first, the root last. */
  readonly #nodes: readonly number[]

  /** `parts`: word index of each CPU's part of its memory. */
  constructor(memory: Memory, shape: TreeShape, parts: readonly number[]) {
    this.#memory = memory
    this.#shape = shape
    const each = treeBytes(shape) / SrcuNode.size
    const count = nodesOf(shape.rcuLevels)
    const at = (node: number): number =>
      (parts[Math.floor(node / each)] ?? 0) + (node % each) * (SrcuNode.size / 4)
    this.#nodes = Array.from({ length: count }, (_, node) => at(node))
  }

  /** From now on CPU `cpu` is rung when the grace period of the cookie ends. */
  enter(cpu: number, cookie: number): void {
    const slot = slotOf(cookie)
    for (const [level, { node, bit }] of this.#path(cpu).entries()) {
      // SS(srcu.tree) pairs with ST in #take, SU in wakeOne: set, leaf first, before the sequence
      // is looked at, so who moves that finds the bits. Mutants: rcu/srcu-tree-top-first,
      // rcu/srcu-tree-woken-early.
      const word = node + slot
      if (level === 0 || (loadAtomic32(this.#memory.i32, word) & bit) === 0)
        orAtomic32(this.#memory.i32, word, bit)
    }
  }

  /** CPU `cpu` does not sleep any more. Bits above the leaf's may stay. */
  leave(cpu: number, cookie: number): void {
    const [leaf] = this.#path(cpu)
    if (!leaf) return
    const word = leaf.node + slotOf(cookie)
    // atomic: nobody hands over to this CPU from here on. Mutant: rcu/srcu-tree-left-behind.
    if ((loadAtomic32(this.#memory.i32, word) & leaf.bit) !== 0)
      andAtomic32(this.#memory.i32, word, ~leaf.bit)
  }

  /** Rings those who wait for the grace period that has ended, except `self`. */
  wake(ended: number, ringer: Ringer, self: number): void {
    this.#wakeBelow(this.#shape.rcuLevels.length - 1, 0, slotOf(ended), ringer, self)
  }
  #wakeBelow(level: number, index: number, slot: number, ringer: Ringer, self: number): void {
    for (let bits = this.#take(this.#nodeAt(level, index) + slot); bits !== 0; bits &= bits - 1) {
      const child = index * this.#shape.fanout + lowest(bits)
      if (level > 0) this.#wakeBelow(level - 1, child, slot, ringer, self)
      else if (child !== self) ringer.ring(child, REASON_WAKE)
    }
  }

  /** Rings all who wait. For a reaper. */
  wakeAll(ringer: Ringer): void {
    const [leaves = 0] = this.#shape.rcuLevels
    for (let index = 0; index < leaves; index++)
      for (let slot = 0; slot < SRCU_SLOTS; slot++) this.#wakeBelow(0, index, slot, ringer, -1)
  }

  /** Rings one who waits, if there is any but `self`. Its bit stays. */
  wakeOne(ringer: Ringer, self: number): void {
    const [leaves = 0] = this.#shape.rcuLevels
    for (let index = 0; index < leaves; index++)
      for (let slot = 0; slot < SRCU_SLOTS; slot++) {
        // SU(srcu.tree) pairs with SS in enter: either this finds who sleeps, or that one finds
        // that nobody scans. Mutant: rcu/srcu-tree-not-handed-over.
        let bits = loadAtomic32(this.#memory.i32, this.#nodeAt(0, index) + slot)
        for (; bits !== 0; bits &= bits - 1) {
          const cpu = index * this.#shape.fanout + lowest(bits)
          if (cpu === self) continue
          ringer.ring(cpu, REASON_WAKE)
          return
        }
      }
  }

  #take(word: number): number {
    const { i32 } = this.#memory
    // ST(srcu.tree) pairs with SS in enter: whoever set the bit before the sequence moved is rung.
    // Mutants: rcu/srcu-tree-top-first, rcu/srcu-tree-woken-early.
    return loadAtomic32(i32, word) === 0 ? 0 : exchangeAtomic32(i32, word, 0)
  }

  /** From a CPU's leaf to the root. */
  #path(cpu: number): Place[] {
    const { fanout, rcuLevels } = this.#shape
    let index = cpu
    return rcuLevels.map((_, level) => {
      const bit = 1 << (index % fanout)
      index = Math.floor(index / fanout)
      return { node: this.#nodeAt(level, index), bit }
    })
  }
  #nodeAt(level: number, index: number): number {
    return this.#nodes[nodesOf(this.#shape.rcuLevels.slice(0, level)) + index] ?? 0
  }
}

function slotOf(cookie: number): number {
  return periodsOf(cookie) % SRCU_SLOTS
}
function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}
function nodesOf(levels: readonly number[]): number {
  return levels.reduce((sum, count) => sum + count, 0)
}
