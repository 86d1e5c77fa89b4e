import assert from 'node:assert/strict'
import test from 'node:test'
import {
  ADDRESS,
  holds,
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
