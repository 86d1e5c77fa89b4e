/**
 * Runs litmus tests on memory. Each access of a process becomes one of `#mem`, each RCU call one of
 * an implementation.
 */
import type { AccessOrder, LitmusTest, Modification } from './syntax.js'
import { variableAt, type Processor, type Wait } from './evaluate.js'
import type {
  MemFunctions,
  ImplementationContext,
  RcuImplementation,
  RcuUser,
  SrcuImplementation,
  SrcuUser,
} from './implementation.js'
import type { Memory } from 'percpu/mem'

/** The memory of a test's variables, and the implementations of its RCU calls. */
export interface LitmusMachine {
  readonly test: LitmusTest
  readonly mem: MemFunctions
  readonly memory: Memory
  /** Index of the word of the first variable; the others follow. */
  readonly variables: number
  /** Index of the word on which full barriers meet. */
  readonly fence: number
  /** Index of a word that is 1 once it is known that the execution does not count. */
  readonly abandoned: number
  readonly once: 'atomic' | 'plain'
  readonly rcu: { readonly implementation: RcuImplementation; readonly context: ImplementationContext }
  /** The words of each variable that is an SRCU domain. */
  readonly srcu: {
    readonly implementation: SrcuImplementation
    readonly contexts: ReadonlyMap<number, ImplementationContext>
  }
}

export class MemoryProcessor implements Processor {
  readonly #machine: LitmusMachine
  readonly #cpu: number
  #rcu: RcuUser | undefined
  readonly #srcu = new Map<number, SrcuUser>()

  constructor(machine: LitmusMachine, cpu: number) {
    this.#machine = machine
    this.#cpu = cpu
  }

  load(address: number, order: AccessOrder): number {
    const { mem, memory } = this.#machine
    const word = this.#word(address)
    return this.#isAtomic(order) ? mem.loadAtomic32(memory.i32, word) : mem.load32(memory.i32, word)
  }

  store(address: number, value: number, order: AccessOrder): void {
    const { mem, memory } = this.#machine
    const word = this.#word(address)
    if (this.#isAtomic(order)) mem.storeAtomic32(memory.i32, word, value)
    else mem.store32(memory.i32, word, value)
  }

  modify(address: number, modification: Modification, operand: number, expected: number): number {
    const { mem, memory } = this.#machine
    const word = this.#word(address)
    switch (modification) {
      case 'exchange':
        return mem.exchangeAtomic32(memory.i32, word, operand)
      case 'add':
        return mem.addAtomic32(memory.i32, word, operand)
      case 'sub':
        return mem.subAtomic32(memory.i32, word, operand)
      case 'and':
        return mem.andAtomic32(memory.i32, word, operand)
      case 'or':
        return mem.orAtomic32(memory.i32, word, operand)
      case 'compareExchange':
        return mem.compareExchangeAtomic32(memory.i32, word, expected, operand)
    }
  }

  fence(): void {
    const { mem, memory, fence } = this.#machine
    mem.addAtomic32(memory.i32, fence, 1)
  }

  lock(address: number): void {
    const { mem, memory } = this.#machine
    const word = this.#word(address)
    while (mem.compareExchangeAtomic32(memory.i32, word, 0, 1) !== 0)
      mem.awaitUntil(() => mem.loadAtomic32(memory.i32, word) === 0)
  }

  unlock(address: number): void {
    const { mem, memory } = this.#machine
    mem.storeAtomic32(memory.i32, this.#word(address), 0)
  }

  rcuReadLock(): void {
    this.#openRcu().readLock()
  }
  rcuReadUnlock(): void {
    this.#openRcu().readUnlock()
  }
  synchronizeRcu(): Wait {
    return this.#openRcu().synchronize()
  }
  srcuReadLock(domain: number): number {
    return this.#openSrcu(domain).readLock()
  }
  srcuReadUnlock(domain: number, index: number): void {
    this.#openSrcu(domain).readUnlock(index)
  }
  synchronizeSrcu(domain: number): Wait {
    return this.#openSrcu(domain).synchronize()
  }

  #openRcu(): RcuUser {
    const { implementation, context } = this.#machine.rcu
    return (this.#rcu ??= implementation.open(context, this.#cpu))
  }
  #openSrcu(address: number): SrcuUser {
    const variable = variableAt(this.#machine.test, address)
    const open = this.#srcu.get(variable)
    if (open !== undefined) return open
    const { implementation, contexts } = this.#machine.srcu
    const context = contexts.get(variable)
    if (context === undefined) throw new RangeError(`no memory for SRCU domain ${variable}`)
    const user = implementation.open(context, this.#cpu)
    this.#srcu.set(variable, user)
    return user
  }

  #isAtomic(order: AccessOrder): boolean {
    return (order === 'once' ? this.#machine.once : order) === 'atomic'
  }
  #word(address: number): number {
    return this.#machine.variables + variableAt(this.#machine.test, address)
  }
}

/** The variables whose addresses are used as SRCU domains. */
export function srcuDomains(test: LitmusTest): number[] {
  const domains = new Set<number>()
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { operation, operands } = node as { operation?: { does: string }; operands?: { name?: string }[] }
    if (operation?.does.startsWith('srcu') === true) {
      const variable = test.variables.findIndex(({ name }) => name === operands?.[0]?.name)
      if (variable >= 0) domains.add(variable)
    }
    for (const value of Object.values(node)) visit(value)
  }
  visit(test.processes.map(({ body }) => body))
  return [...domains]
}
