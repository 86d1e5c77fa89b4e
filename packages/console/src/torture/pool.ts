/**
 * The elements of a torture run, and the steps of their round.
 *
 * A thread can be killed between any two steps. What it owns is known by `owner`: {@link orphansOf}
 * finds it. Between the exchange of `current` and the next store, an element is nobody's: at most
 * one for each kill is lost until {@link lost} finds it, when all threads rest.
 */
import type { Cache, Machine } from 'percpu'
import {
  compareExchangeAtomic32,
  exchangeAtomic32,
  load32,
  addAtomic32,
  loadAtomic32,
  store32,
  storeAtomic32,
  type Memory,
} from 'percpu/mem'
import { Body, BODY_CACHE, Element, ELEMENTS, FREE, PIPE_LENGTH, PUBLISHED, State } from './layout.js'
import type { Tally } from './tally.js'

const { words } = Element
const STRIDE = Element.stride / 4
/** In bodies that are free. */
const POISON = 0x6b6b_6b6b

export class Pool {
  readonly #memory: Memory
  readonly #state: number
  readonly #tally: Tally
  readonly #bodies: Cache<typeof Body>

  constructor(machine: Machine, state: number, tally: Tally) {
    this.#memory = machine.memory
    this.#state = state
    this.#tally = tally
    this.#bodies = machine.heap.cache(BODY_CACHE, Body)
  }

  /** Index of the published element. */
  get current(): number {
    // TB(torture.current) pairs with TA in publish: the element and its body may be read plainly
    // until the section ends.
    return loadAtomic32(this.#memory.i32, this.#state + State.words.current)
  }
  /** Word index of an element. */
  at(element: number): number {
    return this.#state + State.words.elements + element * STRIDE
  }

  /** Takes a free element for `owner`; undefined if there is none. */
  take(owner: number, from: number): number | undefined {
    const { i32 } = this.#memory
    for (let i = 0; i < ELEMENTS; i++) {
      const element = (from + i) % ELEMENTS
      // TC(torture.owner) pairs with TD in release: it is this thread's to write.
      if (compareExchangeAtomic32(i32, this.at(element) + words.owner, FREE, owner) !== FREE) continue
      this.#tally.add('allocations')
      return element
    }
    this.#tally.add('allocationFailures')
    return undefined
  }
  /** Gives it a body and a stamp. */
  fill(element: number): void {
    const { i32 } = this.#memory
    const at = this.at(element)
    // atomic: a number that no other element has.
    const stamp = addAtomic32(i32, this.#state + State.words.stamps, 1) | 0
    const body = this.#bodies.alloc()
    this.#bodies.persist(body)
    for (let i = 0; i < Body.size / 4; i++) store32(i32, body / 4 + i, stamp)
    store32(i32, at + words.body, body / 8)
    // atomic: from here on the body is freed with the element; owner only.
    storeAtomic32(i32, at + words.hasBody, 1)
    store32(i32, at + words.stamp, stamp)
    store32(i32, at + words.pipe, 0)
    store32(i32, at + words.mbtest, 1)
  }
  /** Publishes it. Returns the one that it replaces, which is `owner`'s now. */
  publish(element: number, owner: number): number {
    const { i32 } = this.#memory
    // atomic: owner only; who is killed after it has lost the element.
    storeAtomic32(i32, this.at(element) + words.owner, PUBLISHED)
    // TA(torture.current) pairs with TB in current: readers find a whole element.
    const old = exchangeAtomic32(i32, this.#state + State.words.current, element)
    if (old < 0) return old
    // atomic: whoever took it from `current` owns it.
    storeAtomic32(i32, this.at(old) + words.owner, owner)
    this.#tally.add('versions')
    this.advance(old)
    return old
  }

  /** One more grace period. Returns whether it was the last one; the element is free then. */
  advance(element: number): boolean {
    const { i32 } = this.#memory
    const at = this.at(element)
    const pipe = load32(i32, at + words.pipe)
    this.#tally.addTo('circulation', pipe)
    store32(i32, at + words.pipe, pipe + 1)
    // The first one is for being replaced.
    if (pipe === 1) this.freeBody(element)
    if (pipe + 1 < PIPE_LENGTH) return false
    this.release(element)
    return true
  }
  /** The body, to be freed by another way after a grace period; undefined if that has been done. */
  giveUpBody(element: number): number | undefined {
    const { i32 } = this.#memory
    const at = this.at(element)
    // atomic: owner only; before the body is freed, so that it is freed once.
    if (exchangeAtomic32(i32, at + words.hasBody, 0) === 0) return undefined
    return load32(i32, at + words.body) * 8
  }
  freeBody(element: number): void {
    const body = this.giveUpBody(element)
    if (body === undefined) return
    for (let i = 0; i < Body.size / 4; i++) store32(this.#memory.i32, body / 4 + i, POISON)
    this.#bodies.free(body)
  }
  /** A body without an element. In flight. */
  spareBody(): number {
    return this.#bodies.alloc()
  }
  release(element: number): void {
    const { i32 } = this.#memory
    const at = this.at(element)
    this.freeBody(element)
    store32(i32, at + words.mbtest, 0)
    this.#tally.add('releases')
    // TD(torture.owner) pairs with TC in take: whoever takes it next may write it.
    storeAtomic32(i32, at + words.owner, FREE)
  }

  /** Elements of a thread. */
  orphansOf(owner: number): number[] {
    return this.#select((other) => other === owner)
  }
  /** While all threads rest: elements that are nobody's and yet not free. */
  lost(): number[] {
    const { current } = this
    return this.#select((owner, element) => owner !== FREE && element !== current)
  }
  /** Bodies that are allocated. */
  countBodies(machine: Machine): number {
    return machine.heap.allocations().filter(({ cache }) => cache === BODY_CACHE).length
  }

  #select(matches: (owner: number, element: number) => boolean): number[] {
    const { i32 } = this.#memory
    const all = Array.from({ length: ELEMENTS }, (_, element) => element)
    // atomic: of a dead thread, or of threads that rest.
    return all.filter((element) => matches(loadAtomic32(i32, this.at(element) + words.owner), element))
  }
}
