/**
 * Runs the body of a process against a processor. The processor of the axioms records events; the
 * ones of the exploration and of the replay access memory. The meaning of a body is written here,
 * once.
 */
import { LitmusRunError } from './errors.js'
import type {
  AccessOrder,
  BinaryOperator,
  Expression,
  LitmusProcess,
  LitmusTest,
  Modification,
  Operation,
  Statement,
  UnaryOperator,
} from './syntax.js'
import { ADDRESS } from './syntax.js'

/**
 * The effects of a process on the world. Addresses are values of the test: {@link ADDRESS} + number
 * of the variable.
 */
export interface Processor {
  load(address: number, order: AccessOrder): number
  store(address: number, value: number, order: AccessOrder): void
  /**
   * Modifies the word atomically; returns its value before. `expected` is used by compareExchange
   * and addUnless alone.
   */
  modify(address: number, modification: Modification, operand: number, expected: number): number
  fence(): void
  /** A full barrier here, and on each other process at some point meanwhile. */
  membarrier(): void
  /** Spin locks: words that are 1 while held. */
  lock(address: number): void
  unlock(address: number): void
  rcuReadLock(): void
  rcuReadUnlock(): void
  /** Waits for a grace period, or gives a promise that is settled after one. */
  synchronizeRcu(expedited: boolean): Wait
  srcuReadLock(domain: number): number
  srcuReadUnlock(domain: number, index: number): void
  /** A section that another process may end. */
  srcuDownRead(domain: number): number
  srcuUpRead(domain: number, index: number): void
  synchronizeSrcu(domain: number, expedited: boolean): Wait
}
/** Nothing, or something to await before the process goes on. */
export type Wait = void | PromiseLike<void>

/**
 * Runs the process; returns its registers at the end, in the order of {@link
 * LitmusProcess.registers}. Only for processors whose grace periods give no promise.
 *
 * @throws LitmusRunError if one gives a promise
 */
export function runProcess(test: LitmusTest, process: LitmusProcess, processor: Processor): number[] {
  const evaluator = new Evaluator(test, process, processor)
  for (const pending of evaluator.run(process.body))
    throw new LitmusRunError(`P${process.number} of ${test.name} would have to await`, { pending })
  return evaluator.registers()
}

/** As {@link runProcess}. Awaits the promises of grace periods; without any it does not await. */
export function runProcessAsync(
  test: LitmusTest,
  process: LitmusProcess,
  processor: Processor,
): number[] | Promise<number[]> {
  const evaluator = new Evaluator(test, process, processor)
  const steps = evaluator.run(process.body)
  const first = steps.next()
  if (first.done === true) return evaluator.registers()
  const goOn = async (pending: PromiseLike<void>): Promise<number[]> => {
    await pending
    for (const next of steps) await next
    return evaluator.registers()
  }
  return goOn(first.value)
}

class Evaluator {
  readonly #names = new Map<string, number>()
  readonly #process: LitmusProcess
  readonly #processor: Processor
  /** The promise that the statement has to wait for. */
  #pending: Wait = undefined

  constructor(test: LitmusTest, process: LitmusProcess, processor: Processor) {
    this.#process = process
    this.#processor = processor
    for (const register of process.registers) this.#names.set(register, process.initial.get(register) ?? 0)
    for (const parameter of process.parameters)
      this.#names.set(parameter, ADDRESS + test.variables.findIndex(({ name }) => name === parameter))
  }

  registers(): number[] {
    return this.#process.registers.map((register) => this.#names.get(register) ?? 0)
  }

  /** Runs the statements; yields each promise that has to be awaited before it goes on. */
  *run(statements: readonly Statement[]): Generator<PromiseLike<void>, void, void> {
    for (const statement of statements) {
      if (statement.kind === 'assign') this.#names.set(statement.register, this.value(statement.value))
      else if (statement.kind === 'evaluate') this.value(statement.expression)
      else yield* this.run(this.value(statement.condition) === 0 ? statement.otherwise : statement.then)
      const pending = this.#pending
      this.#pending = undefined
      if (pending !== undefined) yield pending
    }
  }

  value(expression: Expression): number {
    switch (expression.kind) {
      case 'number':
        return expression.value
      case 'name':
        return this.#names.get(expression.name) ?? 0
      case 'unary':
        return applyUnary(expression.operator, this.value(expression.operand))
      case 'binary': {
        const left = this.value(expression.left)
        if (expression.operator === '&&' && left === 0) return 0
        if (expression.operator === '||' && left !== 0) return 1
        return applyBinary(expression.operator, left, this.value(expression.right))
      }
      case 'operation': {
        const [first = 0, second = 0, third = 0] = expression.operands.map((operand) => this.value(operand))
        return this.#operate(expression.operation, first, second, third)
      }
    }
  }

  #operate(operation: Operation, first: number, second: number, third: number): number {
    const processor = this.#processor
    switch (operation.does) {
      case 'load':
        return processor.load(first, operation.order)
      case 'store':
        processor.store(first, second, operation.order)
        if (operation.fenced) processor.fence()
        return 0
      case 'modify':
        return this.#modify(operation, first, second, third)
      case 'fence':
        processor.fence()
        return 0
      case 'membarrier':
        processor.membarrier()
        return 0
      case 'nothing':
        return 0
      case 'lock':
        processor.lock(first)
        return 0
      case 'trylock':
        return processor.modify(first, 'compareExchange', 1, 0) === 0 ? 1 : 0
      case 'unlock':
        processor.unlock(first)
        return 0
      case 'is locked':
        return processor.load(first, 'atomic')
      default:
        return this.#rcu(operation, first, second)
    }
  }

  #rcu(
    operation: Extract<Operation, { does: `${'rcu' | 'srcu'} ${string}` }>,
    domain: number,
    index: number,
  ): number {
    const processor = this.#processor
    switch (operation.does) {
      case 'rcu lock':
        processor.rcuReadLock()
        return 0
      case 'rcu unlock':
        processor.rcuReadUnlock()
        return 0
      case 'rcu synchronize':
        this.#pending = processor.synchronizeRcu(operation.expedited)
        return 0
      case 'srcu lock':
        return processor.srcuReadLock(domain)
      case 'srcu unlock':
        processor.srcuReadUnlock(domain, index)
        return 0
      case 'srcu down':
        return processor.srcuDownRead(domain)
      case 'srcu up':
        processor.srcuUpRead(domain, index)
        return 0
      case 'srcu synchronize':
        this.#pending = processor.synchronizeSrcu(domain, operation.expedited)
        return 0
    }
  }

  #modify(
    operation: Extract<Operation, { does: 'modify' }>,
    address: number,
    second: number,
    third: number,
  ): number {
    const { modification, amount, gives } = operation
    const compares = modification === 'compareExchange' || modification === 'addUnless'
    const operand = amount ?? (compares ? third : second)
    const old = this.#processor.modify(address, modification, operand, compares ? second : 0)
    if (gives === 'old') return old
    if (gives === 'was other') return Number(old !== second)
    const now = modified(modification, old, operand, second)
    return gives === 'new' ? now : Number(now === 0)
  }
}

/** The word after a read-modify-write. */
export function modified(modification: Modification, old: number, operand: number, expected: number): number {
  switch (modification) {
    case 'exchange':
      return operand
    case 'add':
      return (old + operand) | 0
    case 'sub':
      return (old - operand) | 0
    case 'and':
      return old & operand
    case 'or':
      return old | operand
    case 'compareExchange':
      return old === expected ? operand : old
    case 'addUnless':
      return old === expected ? old : (old + operand) | 0
  }
}

/**
 * The number of the variable at an address.
 *
 * @throws LitmusRunError if there is none
 */
export function variableAt(test: LitmusTest, address: number): number {
  const variable = address - ADDRESS
  if (variable >= 0 && variable < test.variables.length) return variable
  throw new LitmusRunError(`${test.name} follows ${address}, which is not the address of a variable`, {
    test: test.name,
    address,
  })
}

function applyUnary(operator: UnaryOperator, value: number): number {
  switch (operator) {
    case '!':
      return Number(value === 0)
    case '~':
      return ~value
    case '-':
      return -value | 0
    case '+':
      return value
  }
}

const binaryOperators: Readonly<Record<BinaryOperator, (left: number, right: number) => number>> = {
  '||': (left, right) => Number(left !== 0 || right !== 0),
  '&&': (left, right) => Number(left !== 0 && right !== 0),
  '|': (left, right) => left | right,
  '^': (left, right) => left ^ right,
  '&': (left, right) => left & right,
  '==': (left, right) => Number(left === right),
  '!=': (left, right) => Number(left !== right),
  '<': (left, right) => Number(left < right),
  '>': (left, right) => Number(left > right),
  '<=': (left, right) => Number(left <= right),
  '>=': (left, right) => Number(left >= right),
  '<<': (left, right) => left << right,
  '>>': (left, right) => left >> right,
  '+': (left, right) => (left + right) | 0,
  '-': (left, right) => (left - right) | 0,
  '*': (left, right) => Math.imul(left, right),
  '/': (left, right) => Math.trunc(left / right) | 0,
  '%': (left, right) => (left % right) | 0,
}

function applyBinary(operator: BinaryOperator, left: number, right: number): number {
  return binaryOperators[operator](left, right)
}
