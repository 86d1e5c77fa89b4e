import assert from 'node:assert/strict'
import test, { describe, it } from 'node:test'
import {
  ADDRESS,
  holds,
  holdsSoFar,
  LitmusSyntaxError,
  LitmusUnsupportedError,
  parseLitmus,
  valueName,
} from 'percpu-lab/litmus'

const messagePassing = String.raw`C message-passing
(* Result: Never (as everywhere) *)
"a line of text"
Cycle=Rfe PodRR
{
  int x = 0;
  int *p = &x;
  spinlock_t l;
  0:r7 = -3;
  atomic_t count = ATOMIC_INIT(2);
}

P0(int *x, int **p, spinlock_t *l)
{
  // A comment, and /* another */
  int r0 = 1, *r1;
  spin_lock(l);
  WRITE_ONCE(*x, (r0 + 2) * -r7);
  rcu_assign_pointer(*p, x);
  spin_unlock(l);
}

P1(struct srcu_struct *s, int **p, atomic_t *count)
{
  int idx;
  idx = srcu_read_lock(s);
  r1 = rcu_dereference(*p);
  if (*r1 == 0x10 && !idx) { r2 = READ_ONCE(*r1); } else
    r2 = atomic_add_return_acquire(3, count);
  srcu_read_unlock(s, idx);
}

locations [x; 0:nothing; count]
filter (1:r1=x)
exists (1:r2=1 /\ ~(count=5 \/ [x]=&p))
`

test('a file has its name, its expected result, and its parts', () => {
  const parsed = parseLitmus(messagePassing)
  assert.equal(parsed.name, 'message-passing')
  assert.equal(parsed.expected, 'Never')
  assert.equal(parsed.result, 'Never (as everywhere)')
  assert.equal(parsed.quantifier, 'exists')
  const names = parsed.variables.map(({ name, initial }) => `${name}=${valueName(parsed, initial)}`)
  assert.deepEqual(names, ['x=0', 'p=x', 'l=0', 'count=2', 's=0'])
  assert.deepEqual(parsed.processes[0]?.registers, ['r7', 'r0', 'r1'])
  assert.deepEqual([...parsed.processes[0].initial], [['r7', -3]])
  assert.deepEqual(parsed.processes[1]?.registers, ['idx', 'r1', 'r2'])
})

test('conditions bind as usual and see addresses as values', () => {
  const { observables, proposition } = parseLitmus(messagePassing)
  const at = (values: { readonly [name: string]: number | undefined }) =>
    holds(
      proposition,
      observables.map((seen) =>
        seen.kind === 'register' ? (values[seen.register] ?? 0) : (values[`v${seen.variable}`] ?? 0),
      ),
    )
  assert.equal(at({ r2: 1 }), true)
  assert.equal(at({ r2: 2 }), false)
  assert.equal(at({ r2: 1, v3: 5 }), false)
  assert.equal(at({ r2: 1, v0: ADDRESS + 1 }), false)
})

test('results: Deadlock in any case, flags kept as text', () => {
  const withResult = (result: string) =>
    parseLitmus(`C t\n(* Result: ${result} *)\n{}\nP0(int *x) { }\nexists (x=0)`)
  assert.equal(withResult('DEADLOCK').expected, 'Deadlock')
  assert.equal(withResult('Flag srcu-bad-nesting').expected, undefined)
  assert.equal(withResult('Flag srcu-bad-nesting').result, 'Flag srcu-bad-nesting')
})

function inBody(statement: string): () => unknown {
  return () => parseLitmus(`C t\n{}\nP0(int *x)\n{\n  int r0;\n  ${statement}\n}\nexists (x=1)\n`)
}

for (const [what, statement, column] of [
  ['a loop', 'while (r0) { }', 3],
  ['an unknown primitive', 'r0 = atomic_long_read(x);', 8],
  ['a field', 'r0 = x->next;', 8],
  ['an access to a register', 'r0 = READ_ONCE(r0);', 18],
] as const)
  test(`${what} is not supported, and the error says where`, () => {
    assert.throws(inBody(statement), (error: unknown) => {
      assert.ok(error instanceof LitmusUnsupportedError, String(error))
      assert.equal(error.code, 'LAB_LITMUS_UNSUPPORTED')
      assert.deepEqual([error.line, error.column], [6, column])
      return true
    })
  })

for (const [what, statement, column] of [
  ['a name without declaration', 'r0 = r1 + 1;', 8],
  ['too few operands', 'WRITE_ONCE(*x);', 3],
  ['too many operands', 'smp_mb(x);', 3],
  ['a missing semicolon', 'r0 = 1 r0 = 2;', 10],
  ['a number as target', '1 = r0;', 3],
] as const)
  test(`${what} is a syntax error with line and column`, () => {
    assert.throws(inBody(statement), (error: unknown) => {
      assert.ok(error instanceof LitmusSyntaxError, String(error))
      assert.equal(error.code, 'LAB_LITMUS_SYNTAX')
      assert.deepEqual([error.line, error.column], [6, column])
      return true
    })
  })

for (const [what, source] of [
  ['another language', 'PPC name\n{}\n'],
  ['a comment without end', 'C t\n(* Result: Never\n{}\n'],
  ['no process', 'C t\n{}\nexists (x=1)'],
  ['no condition', 'C t\n{}\nP0(int *x) { }\n'],
  ['a register that does not exist', 'C t\n{}\nP0(int *x) { }\nexists (0:r0=1)'],
  ['processes out of order', 'C t\n{}\nP1(int *x) { }\nexists (x=1)'],
  ['something after the condition', 'C t\n{}\nP0(int *x) { }\nexists (x=1) P1'],
] as const)
  test(`${what}: not a litmus test`, () => {
    assert.throws(() => parseLitmus(source), LitmusSyntaxError)
  })

/** A test of one process, which may be given its initial values, statements and condition. */
function sourceWith(parts: { init?: string; head?: string; body?: string; end?: string }): string {
  const { init = '', head = 'int *x', body = '', end = 'exists (x=1)' } = parts
  return `C t\n{ ${init} }\nP0(${head}) { int r0; ${body} }\nP1(int *x) { int r0; }\n${end}\n`
}

describe('what public files write', () => {
  it('a condition and locations may give types, which do not matter', () => {
    const plain = parseLitmus(sourceWith({ end: 'locations [x; 1:r0] exists (0:r0=-1 /\\ x=2)' }))
    for (const end of [
      'locations [x int; 1:r0 int*;] exists (0:r0 int=-1 /\\ x int *=2)',
      'locations [x:int; 1:r0:int *] exists (0:r0:int=-1 /\\ x:unsigned long=2);',
    ]) {
      const typed = parseLitmus(sourceWith({ end }))
      assert.deepEqual(typed.observables, plain.observables)
      assert.deepEqual(typed.proposition, plain.proposition)
    }
  })

  it('a condition may compare two registers, or a register and a variable', () => {
    const { observables, proposition } = parseLitmus(sourceWith({ end: 'exists (0:r0=1:r0 /\\ x != 0:r0)' }))
    const names = observables.map((seen) => (seen.kind === 'register' ? `${seen.process}` : 'x'))
    assert.deepEqual(names, ['0', '1', 'x'])
    assert.equal(holds(proposition, [3, 3, 4]), true)
    assert.equal(holds(proposition, [3, 2, 4]), false)
    assert.equal(holds(proposition, [3, 3, 3]), false)
    assert.equal(holdsSoFar(proposition, [3, 2, undefined]), false)
    assert.equal(holdsSoFar(proposition, [3, undefined, 4]), undefined)
  })

  it('a parameter that is not used needs no name', () => {
    for (const head of ['int *, int *x, spinlock_t *', 'int, int *x', 'struct srcu_struct *,int *x'])
      assert.deepEqual(parseLitmus(sourceWith({ head })).processes[0]?.parameters, ['x'], head)
    assert.throws(
      () => parseLitmus(sourceWith({ head: 'int x' })),
      (error) => error instanceof LitmusUnsupportedError && /x is not a pointer/.test(error.message),
    )
  })

  it('initial values have comments, and the type of a register before its process', () => {
    const init = 'int x = 4; (* first; (x) *) int 0:r0 = 5; (* second } *) int *1:r1; int * 1:r2 = &x;'
    const { variables, processes } = parseLitmus(sourceWith({ init }))
    assert.deepEqual(variables, [{ name: 'x', initial: 4 }])
    assert.deepEqual([...(processes[0]?.initial ?? [])], [['r0', 5]])
    assert.deepEqual(
      [...(processes[1]?.initial ?? [])],
      [
        ['r1', 0],
        ['r2', ADDRESS],
      ],
    )
  })

  it('constants may be negative, in parentheses and with a suffix', () => {
    const { variables, processes, proposition } = parseLitmus(
      sourceWith({
        init: 'int x = -1; int y = (-2); atomic_t z = ATOMIC_INIT(-3); 0:r0 = -4; int w = 5UL;',
        body: 'r0 = -6 + 2u; atomic_add(-7, x); r0 = atomic_cmpxchg(x, -8, -0x9L);',
        end: 'exists (0:r0=-1 /\\ x=(-10) /\\ x != -11)',
      }),
    )
    assert.deepEqual(
      variables.map(({ initial }) => initial),
      [-1, -2, -3, 5],
    )
    const written = JSON.stringify(processes[0]?.body)
    for (const value of [2, 6, 7, 8, 9]) assert.match(written, new RegExp(`"value":${value}\\b`))
    assert.match(JSON.stringify(proposition), /"value":-1\b.*"value":-10\b.*"value":-11\b/)
  })

  it('a result may say DATARACE after the verdict', () => {
    const resultOf = (result: string) => {
      const { expected, expectsRace } = parseLitmus(
        `C t\n(* Result: ${result} *)\n{}\nP0(int *x) { }\nexists (x=0)`,
      )
      return [expected, expectsRace]
    }
    assert.deepEqual(resultOf('Never DATARACE'), ['Never', true])
    assert.deepEqual(resultOf('Sometimes DATARACE'), ['Sometimes', true])
    assert.deepEqual(resultOf('Flag data-race'), [undefined, true])
    assert.deepEqual(resultOf('Never'), ['Never', false])
  })
})
