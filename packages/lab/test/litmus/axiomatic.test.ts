import assert from 'node:assert/strict'
import test from 'node:test'
import { allowedStates, LitmusLimitError, parseLitmus, type AxiomaticOptions } from 'percpu-lab/litmus'
import { litmusFiles, litmusTest } from './files.js'

/** The states of a test, as sorted lists of values. */
function states(source: string, options: AxiomaticOptions = {}): string[] {
  return allowedStates(parseLitmus(source), options)
    .states.map(({ values }) => values.join(' '))
    .sort()
}
/**
 * A test of processes that load and store x and y through `store(word, value)` and `load(word)`.
 */
function shape(processes: readonly string[], observed: string): string {
  const bodies = processes.map((body, k) => `P${k}(int *x, int *y) { int a; int b; ${body} }`)
  return `C shape\n{}\n${bodies.join('\n')}\nlocations [${observed}]\nexists (true)\n`
}

const plain = { once: 'plain' } as const

test('store buffering: the fourth state only with plain accesses', () => {
  const source = shape(
    ['WRITE_ONCE(*x, 1); a = READ_ONCE(*y);', 'WRITE_ONCE(*y, 1); a = READ_ONCE(*x);'],
    '0:a; 1:a',
  )
  assert.deepEqual(states(source), ['0 1', '1 0', '1 1'])
  assert.deepEqual(states(source, plain), ['0 0', '0 1', '1 0', '1 1'])
})

test('plain reads of one word may go backwards, atomic ones not', () => {
  const source = shape(['WRITE_ONCE(*x, 1);', 'a = READ_ONCE(*x); b = READ_ONCE(*x);'], '1:a; 1:b')
  assert.deepEqual(states(source), ['0 0', '0 1', '1 1'])
  assert.deepEqual(states(source, plain), ['0 0', '0 1', '1 0', '1 1'])
})

test('release and acquire must be on both sides', () => {
  const passing = (write: string, read: string) =>
    states(shape([`WRITE_ONCE(*x, 1); ${write}`, `a = ${read}; b = READ_ONCE(*x);`], '1:a; 1:b'), plain)
  const [release, acquire] = ['smp_store_release(y, 1);', 'smp_load_acquire(y)']
  assert.deepEqual(passing(release, acquire), ['0 0', '0 1', '1 1'])
  assert.ok(passing(release, 'READ_ONCE(*y)').includes('1 0'))
  assert.ok(passing('WRITE_ONCE(*y, 1);', acquire).includes('1 0'))
})

test('a plain write that races with an atomic one may be found at the end, an overwritten one not', () => {
  const source = shape(['smp_store_release(x, 1);', '*x = 2;', '*y = 1; *y = 2;'], 'x; y')
  assert.deepEqual(states(source), ['1 2', '2 2'])
})

test('the last atomic write is found at the end', () => {
  // Whoever reads the other one's value wrote first.
  const source = shape(
    ['WRITE_ONCE(*x, 1); a = READ_ONCE(*x);', 'WRITE_ONCE(*x, 2); a = READ_ONCE(*x);'],
    '0:a; 1:a; x',
  )
  assert.deepEqual(states(source), ['1 1 1', '1 2 1', '1 2 2', '2 2 2'])
})

test('an atomic read finds the last atomic write, also when only the order of atomics says which', () => {
  const source = `C t
{}
P0(int *x, int *z) { int a; smp_store_release(x, 1); a = smp_load_acquire(z); }
P1(int *x, int *y, int *z) { int b; smp_store_release(z, 1); smp_store_release(x, 2); b = smp_load_acquire(y); }
P2(int *x, int *y) { int c; smp_store_release(y, 1); c = smp_load_acquire(x); }
exists (0:a=0 /\\ 1:b=0 /\\ 2:c=1)`
  assert.equal(allowedStates(parseLitmus(source)).verdict, 'Never')
})

// The two cases that the repair of the memory model added, beside reads that synchronize with what
// they read from.

test('an atomic read does not skip an atomic write for a plain one that happened before both', () => {
  const source = `C t
{}
P0(int *x, int *y) { *x = 1; smp_store_release(y, 1); }
P1(int *x, int *y, int *z) { int a; int b; a = smp_load_acquire(y); smp_store_release(x, 2); b = smp_load_acquire(z); }
P2(int *x, int *y, int *z) { int c; int d; c = smp_load_acquire(y); smp_store_release(z, 1); d = smp_load_acquire(x); }
filter (1:a=1 /\\ 2:c=1)
exists (1:b=0 /\\ 2:d=1)`
  assert.equal(allowedStates(parseLitmus(source)).verdict, 'Never')
})

test('a plain read finds the later one of two atomic writes that happened before it', () => {
  const source = `C t
{}
P0(int *x, int *f) { smp_store_release(x, 1); smp_store_release(f, 1); }
P1(int *x, int *g) { int a; smp_store_release(x, 2); a = smp_load_acquire(x); smp_store_release(g, 1); }
P2(int *x, int *f, int *g) { int b; int c; int d; b = smp_load_acquire(f); c = smp_load_acquire(g); d = *x; }
filter (1:a=1 /\\ 2:b=1 /\\ 2:c=1)
exists (2:d=2)`
  const found = allowedStates(parseLitmus(source))
  assert.equal(found.verdict, 'Never')
  assert.equal(found.states.length, 1)
})

test('read-modify-writes are atomic', () => {
  const source = shape(
    ['a = xchg(x, 1);', 'a = xchg(x, 2);', 'a = atomic_fetch_add(4, x);'],
    '0:a; 1:a; 2:a; x',
  )
  assert.deepEqual(states(source), ['0 1 2 6', '0 5 1 2', '2 0 1 5', '4 1 0 2', '2 4 0 1', '6 0 2 1'].sort())
})

test('values do not come out of thin air', () => {
  const source = shape(
    ['a = READ_ONCE(*x); WRITE_ONCE(*y, a);', 'a = READ_ONCE(*y); WRITE_ONCE(*x, a);'],
    '0:a; 1:a',
  )
  assert.deepEqual(states(source, plain), ['0 0'])
})

test('branches and pointers are followed', () => {
  const source = `C t
{ int z = 7; int *p = &z; }
P0(int *x, int **p) { int a; WRITE_ONCE(*x, 1); rcu_assign_pointer(*p, x); }
P1(int **p, int *y) { int *q; int b; q = rcu_dereference(*p); if (*q == 7) b = 5; else b = *q; }
exists (1:q=x /\\ 1:b=1)`
  const { states: found } = allowedStates(parseLitmus(source))
  assert.deepEqual(found.map(({ values, satisfies }) => [values[1], satisfies]).sort(), [
    [1, true],
    [5, false],
  ])
})

test('races are found where plain accesses are not ordered', () => {
  const racy = shape(['*x = 1; smp_store_release(y, 1);', 'a = smp_load_acquire(y); if (a) b = *x;'], '1:a')
  assert.equal(allowedStates(parseLitmus(racy), { races: true }).races, false)
  const careless = racy.replace('if (a) b', 'b')
  assert.equal(allowedStates(parseLitmus(careless), { races: true }).races, true)
})

test('races in executions that the filter leaves out do not count', () => {
  const races = (name: string) => allowedStates(litmusTest('races', name), { races: true }).races
  assert.equal(races('xchg-lock+filter'), false)
  assert.equal(races('xchg-lock+half-filter'), true)
})

test('atomic_add_unless adds and gives 1, or leaves the word and gives 0', () => {
  const source = shape(
    ['a = atomic_add_unless(x, 5, 0); b = atomic_add_unless(x, -2, 5);', '*x = 0;'],
    '0:a; 0:b; x',
  )
  const one = (initial: number) => states(source.replace('{}', `{ x = ${initial}; }`).replace('*x = 0;', ''))
  assert.deepEqual(one(0), ['0 1 -2'])
  assert.deepEqual(one(1), ['1 1 4'])
  assert.deepEqual(one(5), ['1 1 8'])
  const both = shape(['a = atomic_add_unless(x, 1, 1);', 'a = atomic_add_unless(x, 1, 1);'], '0:a; 1:a; x')
  assert.deepEqual(states(both, plain), ['0 1 1', '1 0 1'])
})

test('atomic_add_unless orders plain accesses, also when it does not add', () => {
  const source = shape(
    [
      'WRITE_ONCE(*x, 1); a = atomic_add_unless(y, 0, 0);',
      'a = atomic_add_unless(y, 1, 0); b = READ_ONCE(*x);',
    ],
    '1:b',
  )
  const ordered = source.replace('exists (true)', 'exists (0:a=0 /\\ 1:b=0)')
  assert.equal(allowedStates(parseLitmus(ordered), plain).verdict, 'Sometimes')
  const flag = shape(
    [
      'WRITE_ONCE(*x, 1); a = atomic_add_unless(y, 1, 7);',
      'a = atomic_add_unless(y, 7, 1); b = READ_ONCE(*x);',
    ],
    '1:b',
  ).replace('exists (true)', 'exists (0:a=1 /\\ 1:a=0 /\\ 1:b=0)')
  assert.equal(allowedStates(parseLitmus(flag), plain).verdict, 'Never')
})

test('smp_memb is a barrier of every process, at one point each', () => {
  for (const once of ['atomic', 'plain'] as const)
    assert.deepEqual(
      verdicts('membarrier', once).map(({ verdict, expected }) =>
        once === 'plain' ? verdict === expected : verdict,
      ),
      once === 'plain' ? [true, true, true, true] : ['Never', 'Never', 'Never', 'Never'],
    )
  const fence = shape(
    ['WRITE_ONCE(*x, 1); smp_mb(); a = READ_ONCE(*y);', 'WRITE_ONCE(*y, 1); a = READ_ONCE(*x);'],
    '0:a; 1:a',
  )
  assert.equal(states(fence, plain).length, 4, 'a barrier of one side alone')
})

test('a test that is too large is refused, not guessed', () => {
  const large = litmusTest('srcu', 'SRCU-82-A')
  assert.throws(
    () => allowedStates(large, { limit: 1000 }),
    (error: unknown) => {
      assert.ok(error instanceof LitmusLimitError)
      assert.equal(error.code, 'LAB_LITMUS_LIMIT')
      return true
    },
  )
})

test('misuse of read sections is flagged', () => {
  assert.deepEqual(allowedStates(litmusTest('srcu', 'srcu-nest-4')).flags, ['srcu-bad-nesting'])
  assert.deepEqual(allowedStates(litmusTest('srcu', 'srcu-nest-2')).flags, [])
  const unbalanced = shape(['rcu_read_unlock();', 'rcu_read_lock();'], 'x')
  assert.deepEqual(allowedStates(parseLitmus(unbalanced)).flags, ['unbalanced-rcu-locking'])
})

/**
 * What the files say of the kernel's model, and the memory model of JavaScript when all accesses
 * are atomic.
 */
const allowedMore: Record<string, string[]> = { classic: [], atomic: [], rcu: [], srcu: [], membarrier: [] }
for (const [folder, exceptions] of Object.entries(allowedMore))
  test(`${folder}: with atomic accesses nothing is allowed that the LKMM forbids`, () => {
    const found = verdicts(folder, 'atomic').filter(
      ({ expected, verdict }) => expected !== undefined && expected !== 'Sometimes' && verdict !== expected,
    )
    assert.deepEqual(
      found.map(({ name }) => name),
      exceptions,
    )
  })

test('families of RCU over plain data: exactly the verdicts of the LKMM, but where only reads see the writes', () => {
  const families = verdicts('rcu', 'plain').filter(({ name }) => /^(RW|WR|WW|RR)-/.test(name))
  assert.equal(families.length, 27)
  const different = families.filter(({ expected, verdict }) => verdict !== expected).map(({ name }) => name)
  assert.deepEqual(different, ['RR-G+RR-R'])
})

test('two SRCU domains do not combine their guarantees', () => {
  assert.equal(allowedStates(litmusTest('srcu', 'SRCU-42')).verdict, 'Sometimes')
  assert.equal(allowedStates(litmusTest('srcu', 'SRCU-42-A')).verdict, 'Never')
})

function verdicts(folder: string, once: 'atomic' | 'plain') {
  return litmusFiles(folder).map((file) => {
    const parsed = litmusTest(folder, file.replace(/.*\//, '').replace('.litmus', ''))
    const { verdict } = allowedStates(parsed, { once, verdictOnly: true })
    return { name: parsed.name, expected: parsed.expected, verdict }
  })
}
