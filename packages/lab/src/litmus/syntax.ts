/**
 * A parsed litmus test: the result of the parser, and the input of the axioms, the exploration and
 * the conformance runner.
 *
 * Values are 32-bit integers. The address of variable number k is `ADDRESS + k`, so pointers are
 * values like any other.
 */

/** A position in the file; both numbers count from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/**
 * The address of the first variable. It is so large that no number in a test is taken for an
 * address by mistake.
 */
export const ADDRESS = 0x4000_0000

/**
 * The order of an access. 'once' is READ_ONCE or WRITE_ONCE: an atomic or a plain access, by the
 * choice of the caller that runs the test. 'atomic' is sequentially consistent; 'plain' is ordered
 * by nothing but happens-before.
 */
export type AccessOrder = 'once' | 'atomic' | 'plain'

/** The effect of a read-modify-write on its word. */
export type Modification = 'exchange' | 'add' | 'sub' | 'and' | 'or' | 'compareExchange' | 'addUnless'

/** The effect of a primitive of the kernel. Operands are evaluated from left to right before it. */
export type Operation =
  | { readonly does: 'load'; readonly order: AccessOrder }
  | { readonly does: 'store'; readonly order: AccessOrder; readonly fenced: boolean }
  | {
      readonly does: 'modify'
      readonly modification: Modification
      /** The operand, where the primitive has none (atomic_inc). */
      readonly amount: number | undefined
      /**
       * The value of the call: the word before, the word after, whether the word after is 0, or
       * whether the word before was not the one that it was compared with.
       */
      readonly gives: 'old' | 'new' | 'is zero' | 'was other'
    }
  | { readonly does: 'fence' }
  /** A full barrier here, and on each other process at some point meanwhile. */
  | { readonly does: 'membarrier' }
  /** A hint, or a barrier between one thread's own accesses: JavaScript has no use for it. */
  | { readonly does: 'nothing' }
  | { readonly does: 'lock' | 'trylock' | 'unlock' | 'is locked' }
  | { readonly does: 'rcu lock' | 'rcu unlock' }
  /** 'srcu down' is a section that another process may end, by 'srcu up'. */
  | { readonly does: 'srcu lock' | 'srcu unlock' | 'srcu down' | 'srcu up' }
  | { readonly does: 'rcu synchronize' | 'srcu synchronize'; readonly expedited: boolean }

export type UnaryOperator = '!' | '~' | '-' | '+'
export type BinaryOperator =
  | '||'
  | '&&'
  | '|'
  | '^'
  | '&'
  | '=='
  | '!='
  | '<'
  | '>'
  | '<='
  | '>='
  | '<<'
  | '>>'
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'

export type Expression =
  | { readonly kind: 'number'; readonly value: number }
  /** A register, or a parameter: the address of the variable of that name. */
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Expression }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly kind: 'operation'
      readonly name: string
      readonly operation: Operation
      readonly operands: readonly Expression[]
      readonly position: Position
    }

export type Statement =
  | { readonly kind: 'assign'; readonly register: string; readonly value: Expression }
  | { readonly kind: 'evaluate'; readonly expression: Expression }
  | {
      readonly kind: 'if'
      readonly condition: Expression
      readonly then: readonly Statement[]
      readonly otherwise: readonly Statement[]
    }

export interface LitmusProcess {
  /** `P0` has number 0. */
  readonly number: number
  /** Names of the variables whose addresses it is given. */
  readonly parameters: readonly string[]
  readonly registers: readonly string[]
  /** Values of registers at the start, from the init block. Others start at 0. */
  readonly initial: ReadonlyMap<string, number>
  readonly body: readonly Statement[]
}

export interface LitmusVariable {
  readonly name: string
  readonly initial: number
}

/** A register or a variable whose value at the end is part of a condition. */
export type Observable =
  | { readonly kind: 'register'; readonly process: number; readonly register: string }
  | { readonly kind: 'variable'; readonly variable: number }

export type Proposition =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'equals'; readonly observable: number; readonly value: number }
  /** Two observables have the same value. */
  | { readonly kind: 'same'; readonly observable: number; readonly other: number }
  | { readonly kind: 'not'; readonly operand: Proposition }
  | { readonly kind: 'and' | 'or'; readonly left: Proposition; readonly right: Proposition }

/** The answer in the file's `Result:` comment, about the executions that the LKMM allows. */
export type Verdict = 'Never' | 'Sometimes' | 'Always' | 'Deadlock'

export interface LitmusTest {
  readonly name: string
  /** The verdict of the LKMM as the file gives it. */
  readonly expected: Verdict | undefined
  /** Whether the file says that the LKMM finds a data race: `DATARACE` after the verdict. */
  readonly expectsRace: boolean
  /** The whole line after `Result:`, such as `Flag srcu-bad-nesting`. */
  readonly result: string | undefined
  readonly variables: readonly LitmusVariable[]
  readonly processes: readonly LitmusProcess[]
  readonly quantifier: 'exists' | 'not exists' | 'forall'
  /**
   * The registers and variables in `filter`, the condition and `locations`. Propositions name them
   * by their index.
   */
  readonly observables: readonly Observable[]
  /** Only executions for which this holds count. */
  readonly filter: Proposition | undefined
  readonly proposition: Proposition
}

/** `0:r1` or `x`. */
export function observableName(test: LitmusTest, observable: Observable): string {
  if (observable.kind === 'register') return `${observable.process}:${observable.register}`
  return test.variables[observable.variable]?.name ?? `variable ${observable.variable}`
}

/** A value as the condition would write it: `1`, or `x` for the address of x. */
export function valueName(test: LitmusTest, value: number): string {
  return test.variables[value - ADDRESS]?.name ?? String(value)
}

/** Whether `proposition` holds when the observables have `values`. */
export function holds(proposition: Proposition, values: readonly number[]): boolean {
  return holdsSoFar(proposition, values) === true
}

/** As {@link holds}, while some values are unknown. Undefined if it depends on them. */
export function holdsSoFar(
  proposition: Proposition,
  values: readonly (number | undefined)[],
): boolean | undefined {
  switch (proposition.kind) {
    case 'constant':
      return proposition.value
    case 'equals': {
      const value = values[proposition.observable]
      return value === undefined ? undefined : value === proposition.value
    }
    case 'same': {
      const [value, other] = [values[proposition.observable], values[proposition.other]]
      return value === undefined || other === undefined ? undefined : value === other
    }
    case 'not': {
      const operand = holdsSoFar(proposition.operand, values)
      return operand === undefined ? undefined : !operand
    }
    case 'and':
    case 'or': {
      const decisive = proposition.kind === 'or'
      const sides = [holdsSoFar(proposition.left, values), holdsSoFar(proposition.right, values)]
      if (sides.includes(decisive)) return decisive
      return sides.includes(undefined) ? undefined : !decisive
    }
  }
}
