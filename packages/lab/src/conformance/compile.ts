/**
 * Compiles the processes of a litmus test to JavaScript, to run them many times on real threads.
 *
 * The variables of one run lie a cache line apart, from `m[v]` on. Registers lie from `m[o]` on.
 */
import { LitmusRunError } from '../litmus/errors.js'
import {
  ADDRESS,
  type Expression,
  type LitmusProcess,
  type LitmusTest,
  type Operation,
  type Statement,
} from '../litmus/syntax.js'

/** 32-bit words between two variables: one cache line. */
export const VARIABLE_STRIDE = 16

/**
 * The parameters of the compiled functions: memory, first variable, word of full barriers, first
 * register. All but the memory are indices of 32-bit words.
 */
export const compiledParameters = ['m', 'v', 'f', 'o'] as const

/** The body of a function of {@link compiledParameters} that runs `process` once. */
export function compileProcess(test: LitmusTest, process: LitmusProcess, once: 'atomic' | 'plain'): string {
  return new Compiler(test, process, once).function()
}

/** As atomic_add_unless in the exploration (litmus/processor.ts): 1 if it has added, else 0. */
const addUnless = `((m, w, unless, amount) => {
  for (;;) {
    const seen = Atomics.compareExchange(m, w, unless, unless)
    if (seen === unless) return 0
    if (Atomics.compareExchange(m, w, seen, (seen + amount) | 0) === seen) return 1
  }
})`

class Compiler {
  readonly #test: LitmusTest
  readonly #process: LitmusProcess
  readonly #once: 'atomic' | 'plain'

  constructor(test: LitmusTest, process: LitmusProcess, once: 'atomic' | 'plain') {
    this.#test = test
    this.#process = process
    this.#once = once
  }

  function(): string {
    const { registers, initial, body } = this.#process
    const declarations = registers.map((name) => `let $${name} = ${initial.get(name) ?? 0};`)
    const results = registers.map((name, index) => `m[o + ${index}] = $${name};`)
    return [...declarations, ...this.#statements(body), ...results].join('\n')
  }

  #statements(statements: readonly Statement[]): string[] {
    return statements.map((statement) => {
      if (statement.kind === 'assign') return `$${statement.register} = ${this.#value(statement.value)};`
      if (statement.kind === 'evaluate') return `${this.#value(statement.expression)};`
      const [then, otherwise] = [statement.then, statement.otherwise].map((part) =>
        this.#statements(part).join(' '),
      )
      return `if (${this.#value(statement.condition)}) { ${then} } else { ${otherwise} }`
    })
  }

  #value(expression: Expression): string {
    switch (expression.kind) {
      case 'number':
        return String(expression.value)
      case 'name':
        return this.#process.parameters.includes(expression.name)
          ? String(ADDRESS + this.#test.variables.findIndex(({ name }) => name === expression.name))
          : `$${expression.name}`
      case 'unary':
        return expression.operator === '!'
          ? `(${this.#value(expression.operand)} ? 0 : 1)`
          : `(${expression.operator}${this.#value(expression.operand)} | 0)`
      case 'binary':
        return this.#binary(expression)
      case 'operation':
        return this.#operation(expression)
    }
  }

  #binary({ operator, left, right }: Extract<Expression, { kind: 'binary' }>): string {
    const [a, b] = [this.#value(left), this.#value(right)]
    if (operator === '*') return `Math.imul(${a}, ${b})`
    if (operator === '&&' || operator === '||') return `(${a} ${operator} ${b} ? 1 : 0)`
    const sign = operator === '==' || operator === '!=' ? `${operator}=` : operator
    return `(${a} ${sign} ${b} | 0)`
  }

  #operation({ operation, operands, name }: Extract<Expression, { kind: 'operation' }>): string {
    const [first = '0', second = '0', third = '0'] = operands.map((operand) => this.#value(operand))
    const word = `v + (${first} - ${ADDRESS}) * ${VARIABLE_STRIDE}`
    const fence = 'Atomics.add(m, f, 1)'
    switch (operation.does) {
      case 'load':
        return this.#isAtomic(operation.order) ? `Atomics.load(m, ${word})` : `m[${word}]`
      case 'store': {
        const store = this.#isAtomic(operation.order)
          ? `Atomics.store(m, ${word}, ${second})`
          : `(m[${word}] = ${second})`
        return operation.fenced ? `(${store}, ${fence})` : store
      }
      case 'modify':
        return this.#modify(operation, word, second, third)
      case 'fence':
        return fence
      case 'nothing':
        return '0'
      case 'lock':
        return `(() => { while (Atomics.compareExchange(m, ${word}, 0, 1) !== 0); })()`
      case 'trylock':
        return `(Atomics.compareExchange(m, ${word}, 0, 1) === 0 ? 1 : 0)`
      case 'unlock':
        return `Atomics.store(m, ${word}, 0)`
      case 'is locked':
        return `Atomics.load(m, ${word})`
      default:
        throw new LitmusRunError(
          `${this.#test.name} cannot run as a shape on real threads: it uses ${name}`,
          {
            test: this.#test.name,
            name,
          },
        )
    }
  }

  #modify(
    { modification, amount, gives }: Extract<Operation, { does: 'modify' }>,
    word: string,
    second: string,
    third: string,
  ): string {
    if (modification === 'compareExchange') return `Atomics.compareExchange(m, ${word}, ${second}, ${third})`
    if (modification === 'addUnless') return `${addUnless}(m, ${word}, ${second}, ${third})`
    const operand = amount === undefined ? second : String(amount)
    const old = `Atomics.${modification}(m, ${word}, ${operand})`
    if (gives === 'old') return old
    const sign = { add: '+', sub: '-', and: '&', or: '|', exchange: '' }[modification]
    const now = sign === '' ? `(${old}, ${operand})` : `(${old} ${sign} ${operand} | 0)`
    return gives === 'new' ? now : `(${now} === 0 ? 1 : 0)`
  }

  #isAtomic(order: 'once' | 'atomic' | 'plain'): boolean {
    return (order === 'once' ? this.#once : order) === 'atomic'
  }
}
