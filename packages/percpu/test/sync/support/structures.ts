/**
 * The structures of the kill test, in shared memory, with the checks that tell whether they are
 * whole:
 *
 *     zeros   ZEROS words whose sum is always zero
 *     list    a ring of doubly linked nodes behind a sentinel
 *     free    a singly linked list of the nodes not in the ring
 *
 * Each node is in exactly one of the two lists. Every operation changes words more than once, so
 * that the order of undoing matters. `write` is what changes a word: a section's, or a bare store.
 */
import { load32, type Memory } from 'percpu/mem'

export const ZEROS = 16
export const NODES = 32
/** Words of a node: next, previous, how often it was moved. */
const NODE = 4
/** Word index of the sentinel, relative to the structures. */
const SENTINEL = ZEROS
const FREE = SENTINEL + NODE
const FIRST = FREE + NODE
export const STRUCTURE_BYTES = (FIRST + NODES * NODE) * 4

type Write = (word: number, value: number) => void

export class Structures {
  readonly #memory: Memory
  readonly #base: number

  constructor(memory: Memory, address: number) {
    this.#memory = memory
    this.#base = address / 4
  }

  /** All nodes free. `write` stores. */
  initialise(write: Write): void {
    const base = this.#base
    write(base + SENTINEL, base + SENTINEL)
    write(base + SENTINEL + 1, base + SENTINEL)
    for (let i = 0; i < NODES; i++) this.#push(this.#node(i), write)
  }

  /**
   * Moves an amount from one word to another, in several steps; the sum is wrong from the first to
   * the last of them.
   */
  transfer(from: number, to: number, amount: number, write: Write): void {
    const a = this.#base + from
    const b = this.#base + to
    for (let step = 0; step < 4; step++) write(a, (this.#load(a) - amount) | 0)
    for (let step = 0; step < 4; step++) write(b, (this.#load(b) + amount) | 0)
  }

  /** Takes a node from the free list into the ring; false if there is none. */
  insert(write: Write): boolean {
    const node = this.#load(this.#base + FREE)
    if (node === 0) return false
    write(this.#base + FREE, this.#load(node))
    const sentinel = this.#base + SENTINEL
    const next = this.#load(sentinel)
    write(node, next)
    write(node + 1, sentinel)
    write(next + 1, node)
    write(sentinel, node)
    write(node + 2, (this.#load(node + 2) + 1) | 0)
    return true
  }

  /** Takes the last node of the ring back to the free list; false if the ring is empty. */
  remove(write: Write): boolean {
    const sentinel = this.#base + SENTINEL
    const node = this.#load(sentinel + 1)
    if (node === sentinel) return false
    const previous = this.#load(node + 1)
    write(previous, sentinel)
    write(sentinel + 1, previous)
    this.#push(node, write)
    return true
  }

  /** What is wrong, if anything is. Nobody changes the structures meanwhile. */
  faults(): string[] {
    const faults: string[] = []
    let sum = 0
    for (let i = 0; i < ZEROS; i++) sum = (sum + this.#load(this.#base + i)) | 0
    if (sum !== 0) faults.push(`the words sum to ${sum}`)
    const sentinel = this.#base + SENTINEL
    const seen = new Map<number, string>()
    const visit = (node: number, list: string): boolean => {
      const index = (node - this.#node(0)) / NODE
      if (!Number.isInteger(index) || index < 0 || index >= NODES)
        faults.push(`${list} leads to word ${node}`)
      else if (seen.has(node)) faults.push(`node ${index} is in ${seen.get(node)} and ${list}`)
      else {
        seen.set(node, list)
        return true
      }
      return false
    }
    let previous = sentinel
    for (let node = this.#load(sentinel); node !== sentinel; node = this.#load(node)) {
      if (!visit(node, 'the ring')) break
      if (this.#load(node + 1) !== previous) faults.push('a node of the ring does not lead back')
      previous = node
    }
    if (this.#load(sentinel + 1) !== previous) faults.push('the end of the ring is not where it should be')
    for (let node = this.#load(this.#base + FREE); node !== 0; node = this.#load(node))
      if (!visit(node, 'the free list')) break
    if (seen.size !== NODES) faults.push(`${NODES - seen.size} nodes are lost`)
    return faults
  }

  #push(node: number, write: Write): void {
    write(node, this.#load(this.#base + FREE))
    write(this.#base + FREE, node)
  }
  #node(index: number): number {
    return this.#base + FIRST + index * NODE
  }
  #load(word: number): number {
    return load32(this.#memory.i32, word)
  }
}
