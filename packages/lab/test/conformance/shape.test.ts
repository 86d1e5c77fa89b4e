import assert from 'node:assert/strict'
import test from 'node:test'
import { ConformanceFailure, formatShape, runShape, type ShapeReport } from 'percpu-lab/conformance'
import { allowedStates, LitmusRunError, parseLitmus, type LitmusTest } from 'percpu-lab/litmus'
import { litmusTest } from '../litmus/files.js'

const times = 20_000

function checkReport(report: ShapeReport, shape: LitmusTest): void {
  assert.equal(report.name, shape.name)
  assert.ok(report.times >= times && report.times < times + 1024, `${report.times} times`)
  assert.ok(report.outcomes.length > 0)
  assert.ok(report.outcomes.every(({ isAllowed, count }) => isAllowed && count > 0))
}

for (const once of ['plain', 'atomic'] as const)
  for (const name of [
    'SB+poonceonces',
    'SB+fencembonceonces',
    'MP+poonceonces',
    'MP+pooncerelease+poacquireonce',
    'MP+onceassign+derefonce-without-rcu',
    'CoRR+poonceonce+Once',
    'R+poonceonces',
    'LB+fencembonceonce+ctrlonceonce',
  ])
    test(`${once} ${name}: nothing forbidden is seen`, async () => {
      const shape = name.endsWith('without-rcu') ? pointers : litmusTest('classic', name)
      const report = await runShape(shape, { times, once })
      checkReport(report, shape)
      const satisfying = report.outcomes.filter(({ satisfies }) => satisfies)
      if (once === 'atomic')
        assert.deepEqual(satisfying, [], 'the weak outcome, which atomic accesses forbid')
    })

const pointers = parseLitmus(`C pointers
{ int z = 7; int *p = &z; }
P0(int *x, int **p) { WRITE_ONCE(*x, 1); rcu_assign_pointer(*p, x); }
P1(int **p) { int *r0; int r1; r0 = rcu_dereference(*p); if (r0 != 0) r1 = READ_ONCE(*r0); else r1 = -1; }
exists (1:r0=x /\\ 1:r1=0)`)

test('more threads than cores', async () => {
  const shape = litmusTest('classic', 'IRIW+poonceonces+OnceOnce')
  checkReport(await runShape(shape, { times }), shape)
})

test('locks and expressions do on real threads what they do in the model', async () => {
  const shape = parseLitmus(`C t
{ spinlock_t l; }
P0(spinlock_t *l, int *x)
{
  int a; int c;
  spin_lock(l); a = *x; *x = 1; spin_unlock(l);
  c = (a << 2) | !a ^ (a == 2 && a != 3);
}
P1(spinlock_t *l, int *x)
{
  int a;
  spin_lock(l); a = *x; *x = 2; spin_unlock(l);
  if (a) a = -a; else a = ~a % 7 * 3;
}
locations [0:a; 0:c; 1:a]
exists (x=1 \\/ x=2)`)
  const report = await runShape(shape, { times })
  checkReport(report, shape)
  assert.ok(report.outcomes.every(({ satisfies }) => satisfies))
})

test('read-modify-writes do on real threads what they do in the model', async () => {
  const shape = parseLitmus(`C t
{ atomic_t n = ATOMIC_INIT(3); }
P0(atomic_t *n) { int a; int b; a = atomic_sub_return(2, n); b = atomic_dec_and_test(n); }
P1(atomic_t *n) { int a; int b; a = atomic_cmpxchg(n, 1, 9); b = xchg(n, 5); }
locations [0:a; 0:b; 1:a; 1:b; n]
exists (n=5)`)
  checkReport(await runShape(shape, { times }), shape)
})

test('atomic_add_unless adds on real threads what it adds in the model', async () => {
  const shape = parseLitmus(`C t
{ int n = 1; int full = 3; }
P0(int *n, int *full) { int a; int c; a = atomic_add_unless(n, 1, 3); c = atomic_add_unless(full, 1, 3); }
P1(int *n) { int a; int b; a = atomic_add_unless(n, 1, 3); b = atomic_add_unless(n, -1, 2); }
locations [0:a; 0:c; 1:a; 1:b; n; full]
exists (n=1)`)
  checkReport(await runShape(shape, { times }), shape)
})

test('an outcome that the model forbids is a failure that names engine and CPU', async () => {
  const shape = litmusTest('classic', 'CoWW+poonceonce')
  // The threads store 3 where the axioms were told 2.
  const forbidden = { values: [3], satisfies: false }
  await assert.rejects(
    runShape({ ...shape, processes: storing(3) }, { times: 2000, allowed: allowedStates(shape).states }),
    (error: unknown) => {
      assert.ok(error instanceof ConformanceFailure)
      assert.equal(error.code, 'LAB_CONFORMANCE')
      assert.match(error.message, /x=3 was seen 2048 times.*forbids; Node \d+.*V8.* on \d+ × /)
      const { outcomes } = error.details['report'] as ShapeReport
      assert.deepEqual(outcomes[0]?.values, forbidden.values)
      assert.match(formatShape(error.details['report'] as ShapeReport), /2048 {3}x=3 {2}✗ forbidden/)
      return true
    },
  )
})

function storing(value: number): LitmusTest['processes'] {
  return parseLitmus(`C t\n{}\nP0(int *x) { WRITE_ONCE(*x, ${value}); }\nexists (x=1)`).processes
}

test('tests with grace periods do not run as shapes', async () => {
  await assert.rejects(runShape(litmusTest('rcu', 'RCU+sync+read'), { times: 10 }), (error: unknown) => {
    assert.ok(error instanceof LitmusRunError)
    assert.equal(error.details['name'], 'rcu_read_lock')
    return true
  })
})

test('it ends when its time is over', async () => {
  const report = await runShape(litmusTest('classic', 'SB+poonceonces'), { times: 1e12, maxMs: 200 })
  assert.ok(report.times >= 1024 && report.times < 1e10, `${report.times} times`)
})
