/**
 * The kernel's primitives that a litmus test may use, and their meaning in JavaScript's terms
 * (docs/litmus.md).
 *
 * ECMAScript has no one-sided ordering. So a release store and an acquire load are atomic, as is
 * each read-modify-write whatever its suffix. A full barrier is a read-modify-write of one word
 * that all processes share. A failing compare-and-exchange is an atomic read-modify-write that
 * writes back the value that it read. So is an atomic_add_unless that does not add.
 */
import type { AccessOrder, Modification, Operation } from './syntax.js'

/** 'lvalue': the operand is p, and is written `*p`. 'address': p is written p. */
export type OperandKind = 'lvalue' | 'address' | 'value'

export interface Primitive {
  readonly operands: readonly OperandKind[]
  readonly operation: Operation
  /** Indices of the operands in the order of the operation, where the call's differs. */
  readonly reorder?: readonly number[]
}

const table = new Map<string, Primitive>()

function define(
  names: readonly string[],
  operands: readonly OperandKind[],
  operation: Operation,
  reorder?: readonly number[],
): void {
  for (const name of names)
    table.set(name, { operands, operation, ...(reorder === undefined ? {} : { reorder }) })
}

const load = (order: AccessOrder): Operation => ({ does: 'load', order })
const store = (order: AccessOrder, fenced = false): Operation => ({ does: 'store', order, fenced })
const modify = (
  modification: Modification,
  gives: Extract<Operation, { does: 'modify' }>['gives'] = 'old',
  amount?: number,
): Operation => ({ does: 'modify', modification, gives, amount })
const suffixed = (name: string): string[] => ['', '_relaxed', '_acquire', '_release'].map((end) => name + end)

define(['READ_ONCE', 'ACCESS_ONCE'], ['lvalue'], load('once'))
define(['WRITE_ONCE'], ['lvalue', 'value'], store('once'))
define(['rcu_dereference', 'lockless_dereference'], ['lvalue'], load('atomic'))
define(['rcu_assign_pointer'], ['lvalue', 'value'], store('atomic'))
define(['smp_load_acquire'], ['address'], load('atomic'))
define(['smp_store_release'], ['address', 'value'], store('atomic'))
define(['smp_store_mb'], ['lvalue', 'value'], store('once', true))

define(
  [
    'smp_mb',
    'smp_mb__before_atomic',
    'smp_mb__after_atomic',
    'smp_mb__after_spinlock',
    'smp_mb__after_unlock_lock',
    'smp_mb__after_srcu_read_unlock',
  ],
  [],
  { does: 'fence' },
)
define(['smp_memb'], [], { does: 'membarrier' })
define(['smp_rmb', 'smp_wmb', 'barrier', 'cpu_relax'], [], { does: 'nothing' })

define(suffixed('xchg'), ['address', 'value'], modify('exchange'))
define(suffixed('cmpxchg'), ['address', 'value', 'value'], modify('compareExchange'))
define(suffixed('atomic_xchg'), ['address', 'value'], modify('exchange'))
define(suffixed('atomic_cmpxchg'), ['address', 'value', 'value'], modify('compareExchange'))
define(['atomic_add_unless'], ['address', 'value', 'value'], modify('addUnless', 'was other'), [0, 2, 1])
define(['atomic_read'], ['address'], load('once'))
define(['atomic_read_acquire'], ['address'], load('atomic'))
define(['atomic_set'], ['address', 'value'], store('once'))
define(['atomic_set_release'], ['address', 'value'], store('atomic'))
for (const name of ['add', 'sub', 'and', 'or'] as const) {
  const reorder = [1, 0]
  define([`atomic_${name}`], ['value', 'address'], modify(name), reorder)
  define(suffixed(`atomic_fetch_${name}`), ['value', 'address'], modify(name), reorder)
  if (name === 'and' || name === 'or') continue
  define(suffixed(`atomic_${name}_return`), ['value', 'address'], modify(name, 'new'), reorder)
  define([`atomic_${name}_and_test`], ['value', 'address'], modify(name, 'is zero'), reorder)
}
for (const [name, amount] of [
  ['inc', 1],
  ['dec', -1],
] as const) {
  define([`atomic_${name}`], ['address'], modify('add', 'old', amount))
  define(suffixed(`atomic_fetch_${name}`), ['address'], modify('add', 'old', amount))
  define(suffixed(`atomic_${name}_return`), ['address'], modify('add', 'new', amount))
  define([`atomic_${name}_and_test`], ['address'], modify('add', 'is zero', amount))
}

define(['spin_lock'], ['address'], { does: 'lock' })
define(['spin_unlock'], ['address'], { does: 'unlock' })
define(['spin_trylock'], ['address'], { does: 'trylock' })
define(['spin_is_locked'], ['address'], { does: 'is locked' })

define(['rcu_read_lock'], [], { does: 'rcu lock' })
define(['rcu_read_unlock'], [], { does: 'rcu unlock' })
define(['srcu_read_lock'], ['address'], { does: 'srcu lock' })
define(['srcu_read_unlock'], ['address', 'value'], { does: 'srcu unlock' })
define(['srcu_down_read'], ['address'], { does: 'srcu down' })
define(['srcu_up_read'], ['address', 'value'], { does: 'srcu up' })
for (const expedited of [false, true]) {
  const end = expedited ? '_expedited' : ''
  define([`synchronize_rcu${end}`], [], { does: 'rcu synchronize', expedited })
  define([`synchronize_srcu${end}`], ['address'], { does: 'srcu synchronize', expedited })
}

/** The primitive of that name, or undefined when it is not supported. */
export function primitiveNamed(name: string): Primitive | undefined {
  return table.get(name)
}
/** The names of all primitives that are supported. */
export function primitiveNames(): string[] {
  return [...table.keys()]
}
