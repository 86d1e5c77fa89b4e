/**
 * Runs litmus tests on memory. Each access of a process becomes one of `#mem`, each RCU call one of
 * an implementation.
 */
import type { AccessOrder, LitmusProcess, LitmusTest, Modification } from './syntax.js'
import { variableAt, type Processor, type Wait } from './evaluate.js'
import type {
  MemFunctions,
  ImplementationContext,
  RcuImplementation,
  RcuUser,
  SrcuImplementation,
  SrcuUser,
} from './implementation.js'
import { standInSrcu } from './stand-in.js'
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
  /** The words of {@link Membarriers}; undefined if a test needs none. */
  readonly membarriers: ImplementationContext | undefined
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

/** The processor of one process in one execution. */
export function processorFor(machine: LitmusMachine, cpu: number, rcu?: RcuUser): Processor {
  return machine.membarriers === undefined
    ? new MemoryProcessor(machine, cpu, rcu)
    : new Membarriers(machine, machine.membarriers, cpu, rcu)
}

class MemoryProcessor implements Processor {
  readonly #machine: LitmusMachine
  readonly #cpu: number
  #rcu: RcuUser | undefined
  readonly #srcu = new Map<number, SrcuUser>()

  constructor(machine: LitmusMachine, cpu: number, rcu?: RcuUser) {
    this.#machine = machine
    this.#cpu = cpu
    this.#rcu = rcu
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
      case 'addUnless':
        return this.#addUnless(word, operand, expected)
    }
  }

  /** Adds unless the word is `unless`; then it writes that back. Returns the word before. */
  #addUnless(word: number, amount: number, unless: number): number {
    const { mem, memory } = this.#machine
    for (;;) {
      const seen = mem.compareExchangeAtomic32(memory.i32, word, unless, unless)
      if (seen === unless) return seen
      if (mem.compareExchangeAtomic32(memory.i32, word, seen, (seen + amount) | 0) === seen) return seen
    }
  }

  fence(): void {
    const { mem, memory, fence } = this.#machine
    mem.addAtomic32(memory.i32, fence, 1)
  }

  /** Right for atomic accesses, which are all in one order. */
  membarrier(): void {
    this.fence()
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

/**
 * Accesses that smp_memb orders: each is a read section of an SRCU domain, and smp_memb is a grace
 * period of it.
 */
class Membarriers extends MemoryProcessor {
  readonly #domain: SrcuUser

  constructor(machine: LitmusMachine, context: ImplementationContext, cpu: number, rcu?: RcuUser) {
    super(machine, cpu, rcu)
    this.#domain = standInSrcu.open(context, cpu)
  }

  override load(address: number, order: AccessOrder): number {
    return this.#inSection(() => super.load(address, order))
  }
  override store(address: number, value: number, order: AccessOrder): void {
    this.#inSection(() => super.store(address, value, order))
  }
  override modify(address: number, modification: Modification, operand: number, expected: number): number {
    return this.#inSection(() => super.modify(address, modification, operand, expected))
  }
  override membarrier(): void {
    this.fence()
    void this.#domain.synchronize()
    this.fence()
  }

  #inSection<T>(access: () => T): T {
    const rank = this.#domain.readLock()
    const result = access()
    this.#domain.readUnlock(rank)
    return result
  }
}

/** The variables whose addresses are used as SRCU domains. */
export function srcuDomains(test: LitmusTest): number[] {
  const domains = operationsOf(test)
    .filter(({ does }) => does.startsWith('srcu'))
    .map(({ first }) => test.variables.findIndex(({ name }) => name === first))
  return [...new Set(domains)].filter((variable) => variable >= 0)
}
export function usesMembarriers(test: LitmusTest): boolean {
  return operationsOf(test).some(({ does }) => does === 'membarrier')
}

export function usesRcu(process: LitmusProcess): boolean {
  return operationsOf({ processes: [process] }).some(({ does }) => does.startsWith('rcu'))
}

/** The operations of processes, with the names that are their first operands. */
function operationsOf(test: Pick<LitmusTest, 'processes'>): { does: string; first: string | undefined }[] {
  const found: { does: string; first: string | undefined }[] = []
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { operation, operands } = node as { operation?: { does: string }; operands?: { name?: string }[] }
    if (operation !== undefined) found.push({ does: operation.does, first: operands?.[0]?.name })
    for (const value of Object.values(node)) visit(value)
  }
  visit(test.processes.map(({ body }) => body))
  return found
}
