/**
 * What the kill test guards with a condition, a semaphore and a seqlock, with the checks that tell
 * whether it is whole:
 *
 *     made, taken, left   goods under a mutex: made = taken + left; takers wait for the condition
 *                         while nothing is left
 *     permits             two of them
 *     copies              eight words under a seqlock, always equal
 */
import {
  ConditionLayout,
  MutexLayout,
  SemaphoreLayout,
  type Machine,
  type MutexGuard,
  type Section,
} from 'percpu'
import { load32 } from 'percpu/mem'

const COPIES = 8
const [MADE, TAKEN, LEFT, FIRST_COPY] = [0, 1, 2, 4]
export const STATE_BYTES = (FIRST_COPY + COPIES) * 4
export const PERMITS = 2

export class SharedState {
  readonly mutex
  readonly permits
  readonly #machine: Machine
  readonly #word: number
  readonly #condition
  readonly #seqlock

  constructor(machine: Machine, address: number) {
    this.#machine = machine
    this.#word = address / 4
    this.mutex = machine.locks.mutex('goods')
    this.#condition = machine.locks.condition('goods left', this.mutex)
    this.#seqlock = machine.locks.seqlock('copies')
    this.permits = machine.locks.semaphore('permits', PERMITS)
  }

  make(guard: MutexGuard): void {
    guard.run((section) => this.#move(section, MADE, 1))
    this.#condition.notify()
  }
  makeMany(guard: MutexGuard): void {
    guard.run((section) => {
      for (let i = 0; i < 3; i++) this.#move(section, MADE, 1)
    })
    this.#condition.notifyAll()
  }
  /** Asleep while nothing is left. */
  take(): void {
    using guard = this.mutex.lock()
    while (this.#load(LEFT) === 0) this.#condition.wait(guard)
    guard.run((section) => this.#move(section, TAKEN, -1))
  }
  async takeAsync(): Promise<void> {
    const guard = await this.mutex.lockAsync()
    try {
      while (this.#load(LEFT) === 0) await this.#condition.waitAsync(guard)
      guard.run((section) => this.#move(section, TAKEN, -1))
    } finally {
      guard.unlock()
    }
  }

  writeCopies(): void {
    this.#seqlock.write((section) => {
      for (let i = 0; i < COPIES; i++)
        section.write32(this.#word + FIRST_COPY + i, this.#load(FIRST_COPY + i) + 1)
    })
  }
  copyFaults(): string[] {
    return faultsOf(this.#seqlock.read(() => this.#copies()))
  }
  async copyFaultsAsync(timeout: number): Promise<string[]> {
    return faultsOf(await this.#seqlock.readAsync(() => this.#copies(), { timeout }))
  }

  /** What is wrong with the goods, if anything is. The caller holds the mutex. */
  goodsFaults(): string[] {
    const [made, taken, left] = [this.#load(MADE), this.#load(TAKEN), this.#load(LEFT)]
    return made === taken + left ? [] : [`${made} made, but ${taken} taken and ${left} left`]
  }

  /** What the last user of all left behind, when none lives any more. */
  leftovers(): string[] {
    const { i32 } = this.#machine.memory
    const found: string[] = []
    const masks = {
      condition: [this.#condition.address, ConditionLayout],
      semaphore: [this.permits.address, SemaphoreLayout],
    } as const
    for (const [name, [address, layout]] of Object.entries(masks)) {
      for (let i = 0; i < 8; i++)
        if (load32(i32, address / 4 + layout.words.waiters + i) !== 0) found.push(`a waiter of the ${name}`)
    }
    for (const { name, address } of [this.mutex, this.#seqlock.mutex]) {
      for (let i = 0; i < MutexLayout.size / 4; i++) {
        const word = load32(i32, address / 4 + i)
        if ((i === 0 ? word & ~MARKS : word) !== 0) found.push(`${name}: word ${i} is ${word}`)
      }
    }
    if ((load32(i32, this.#seqlock.address / 4) & 1) === 1) found.push('an odd sequence')
    if (this.permits.available !== PERMITS) found.push(`${this.permits.available} permits`)
    return found
  }

  #move(section: Section, counter: number, by: number): void {
    section.write32(this.#word + counter, this.#load(counter) + 1)
    section.write32(this.#word + LEFT, this.#load(LEFT) + by)
  }
  #copies(): number[] {
    return Array.from({ length: COPIES }, (_, i) => this.#load(FIRST_COPY + i))
  }
  #load(at: number): number {
    return load32(this.#machine.memory.i32, this.#word + at)
  }
}

/**
 * Flags of an owner word for the next owner, which nobody has become: the last one died; somebody
 * waited when it was released, and was killed before taking it.
 */
const MARKS = (1 << 30) | (1 << 31)

function faultsOf(copies: readonly number[]): string[] {
  return new Set(copies).size === 1 ? [] : [`copies differ: ${copies.join()}`]
}
