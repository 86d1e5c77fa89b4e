/**
 * Runs litmus tests on memory. Each access of a process becomes one of `#mem`, each RCU call one of
 * an implementation.
 */
import type { Memory } from 'percpu/mem'
import { LitmusRunError } from './errors.js'
import { variableAt, type Processor, type Wait } from './evaluate.js'
import type { ImplementationCpu, MemFunctions, RcuUser, SrcuUser, Uses } from './implementation.js'
import { SmallSrcu, type SmallSrcuContext } from './small-srcu.js'
import type { AccessOrder, LitmusProcess, LitmusTest, Modification } from './syntax.js'

/** The memory of a test's variables. */
export interface TestMemory {
  readonly test: LitmusTest
  readonly mem: MemFunctions
  readonly memory: Memory
  /** Index of the word of the first variable; the others follow. */
  readonly variables: number
  /** Index of the word on which full barriers meet. */
  readonly fence: number
  /** The words of {@link Membarriers}; undefined if a test needs none. */
  readonly membarriers: SmallSrcuContext | undefined
  readonly once: 'atomic' | 'plain'
}

/** The processor of one process in one execution. `own`: if it uses RCU or SRCU. */
export function processorFor(machine: TestMemory, cpu: number, own?: ImplementationCpu): Processor {
  return machine.membarriers === undefined
    ? new MemoryProcessor(machine, own)
    : new Membarriers(machine, machine.membarriers, cpu, own)
}

class MemoryProcessor implements Processor {
  readonly #machine: TestMemory
  readonly #own: ImplementationCpu | undefined

  constructor(machine: TestMemory, own?: ImplementationCpu) {
    this.#machine = machine
    this.#own = own
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
    this.#rcu().readLock()
  }
  rcuReadUnlock(): void {
    this.#rcu().readUnlock()
  }
  synchronizeRcu(expedited: boolean): Wait {
    return this.#rcu().synchronize(expedited)
  }
  srcuReadLock(domain: number): number {
    return this.#srcu(domain).readLock()
  }
  srcuReadUnlock(domain: number, index: number): void {
    this.#srcu(domain).readUnlock(index)
  }
  srcuDownRead(domain: number): number {
    return this.#srcu(domain).downRead()
  }
  srcuUpRead(domain: number, index: number): void {
    this.#srcu(domain).upRead(index)
  }
  synchronizeSrcu(domain: number, expedited: boolean): Wait {
    return this.#srcu(domain).synchronize(expedited)
  }

  #rcu(): RcuUser {
    return this.#cpu().rcu
  }
  #srcu(address: number): SrcuUser {
    const { test } = this.#machine
    const { name = '' } = test.variables[variableAt(test, address)] ?? {}
    return this.#cpu().srcu(name)
  }
  #cpu(): ImplementationCpu {
    if (this.#own === undefined) throw new LitmusRunError(`${this.#machine.test.name} has joined nothing`)
    return this.#own
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
  readonly #domain: SmallSrcu

  constructor(machine: TestMemory, context: SmallSrcuContext, cpu: number, own?: ImplementationCpu) {
    super(machine, own)
    this.#domain = new SmallSrcu(context, cpu)
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
    this.#domain.synchronize()
    this.fence()
  }

  #inSection<T>(access: () => T): T {
    const rank = this.#domain.readLock()
    const result = access()
    this.#domain.readUnlock(rank)
    return result
  }
}

/** What processes use of RCU and SRCU; undefined for none of them. */
export function usesOf(test: LitmusTest, processes: readonly LitmusProcess[]): Uses | undefined {
  const operations = operationsOf(processes)
  const rcu = operations.some(({ does }) => does.startsWith('rcu'))
  const named = new Set(operations.filter(({ does }) => does.startsWith('srcu')).map(({ first }) => first))
  const domains = test.variables.map(({ name }) => name).filter((name) => named.has(name))
  return rcu || domains.length > 0 ? { rcu, domains } : undefined
}
export function usesMembarriers({ processes }: LitmusTest): boolean {
  return operationsOf(processes).some(({ does }) => does === 'membarrier')
}
export function usesSpinLocks({ processes }: LitmusTest): boolean {
  return operationsOf(processes).some(({ does }) => does === 'lock')
}

/** The operations of processes, with the names that are their first operands. */
function operationsOf(processes: readonly LitmusProcess[]): { does: string; first: string | undefined }[] {
  const found: { does: string; first: string | undefined }[] = []
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { operation, operands } = node as { operation?: { does: string }; operands?: { name?: string }[] }
    if (operation !== undefined) found.push({ does: operation.does, first: operands?.[0]?.name })
    for (const value of Object.values(node)) visit(value)
  }
  visit(processes.map(({ body }) => body))
  return found
}
