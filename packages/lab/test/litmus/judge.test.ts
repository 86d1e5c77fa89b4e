import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'node:test'
import {
  allowedStates,
  allowsMore,
  formatJudgement,
  judge,
  parseLitmus,
  runImplementation,
  type Implementation,
} from 'percpu-lab/litmus'
import { SmallSrcu } from '../../dist/litmus/small-srcu.js'
import { litmusFiles, litmusFolders, litmusTest } from './files.js'
import { rcuOf, standIn, standInOf } from './stand-in.js'

for (const folder of litmusFolders)
  test(`${folder}: neither the memory model nor the implementation allows more than the LKMM`, async () => {
    const files = litmusFiles(folder)
    assert.ok(files.length >= 4)
    const judged = await judge(files, { implementation: standIn, executions: 5000, maxMs: 20_000 })
    assert.deepEqual(
      judged.filter(({ problem }) => problem !== undefined),
      [],
    )
  })

/** RCU whose grace periods wait for nobody. */
const noGracePeriod = standInOf((context, cpu) => ({
  ...rcuOf(new SmallSrcu(context, cpu)),
  synchronize: () => undefined,
}))

/** RCU whose grace periods look at the counts by loads alone: right for atomic data. */
const onlyLoads = standInOf((context, cpu) => {
  const { mem } = context
  // An addition of nothing becomes a load.
  const addAtomic32: typeof mem.addAtomic32 = (view, index, value) =>
    value === 0 ? mem.loadAtomic32(view, index) : mem.addAtomic32(view, index, value)
  return rcuOf(new SmallSrcu({ ...context, mem: { ...mem, addAtomic32 } }, cpu))
})

/** RCU whose sections exclude each other: more than it promises. */
const exclusive = standInOf(({ mem, memory, base }) => ({
  readLock: () => {
    while (mem.compareExchangeAtomic32(memory.i32, base, 0, 1) !== 0)
      mem.awaitUntil(() => mem.loadAtomic32(memory.i32, base) === 0)
  },
  readUnlock: () => mem.storeAtomic32(memory.i32, base, 0),
  synchronize: () => undefined,
}))

test('an implementation without grace periods allows more: found', async () => {
  for (const [name, once] of [
    ['RCU+sync+read', 'atomic'],
    ['RCU+sync+free', 'atomic'],
    ['RCU+nested', 'atomic'],
    ['WR-G+WR-R', 'plain'],
  ] as const) {
    const { verdict } = await runImplementation(litmusTest('rcu', name), {
      implementation: noGracePeriod,
      once,
    })
    assert.equal(verdict, 'Sometimes', name)
  }
  const { verdict } = await runImplementation(litmusTest('rcu', 'RCU+deadlock'), {
    implementation: noGracePeriod,
  })
  assert.equal(verdict, 'Never', 'a grace period within a section must not end')
})

test('a file that says DATARACE has a race for the axioms and for the exploration', async () => {
  const judged = await judge(litmusFiles('races'), { implementation: standIn })
  const answers = judged.map(({ name, lkmm, axioms, implementation, problem }) => {
    assert.equal(problem, undefined)
    assert.equal(axioms === 'Data race', lkmm?.endsWith('DATARACE'), name)
    return implementation === 'Data race'
  })
  assert.deepEqual(
    answers,
    judged.map(({ axioms }) => axioms === 'Data race'),
  )
  assert.equal(answers.filter(Boolean).length, 5)
})

test('a race that no file tells of is a problem, and so is one that the exploration does not find', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'litmus-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const source = readFileSync(
    litmusFiles('races').find((name) => name.endsWith('MP+plain.litmus')) ?? '',
    'utf8',
  )
  const untold = path.join(folder, 'untold.litmus')
  writeFileSync(untold, source.replace(' DATARACE', ''))
  const [judged] = await judge([untold])
  assert.equal(judged?.problem, 'the implementation: Data race, the LKMM: Sometimes')
  assert.equal(judged.axioms, 'Data race')
  const poison = litmusFiles('races').filter((name) => name.endsWith('poison+sync.litmus'))
  const [broken] = await judge(poison, { implementation: noGracePeriod })
  assert.equal(broken?.implementation, 'Data race')
  assert.equal(broken.problem, 'the implementation: Data race, the LKMM: Never')
  const unsynchronised = litmusFiles('races').filter((name) => name.endsWith('sections.litmus'))
  const [missed] = await judge(unsynchronised, { implementation: exclusive })
  assert.equal(missed?.problem, 'the implementation: Never, the memory model of JavaScript: Data race')
})

test('an exploration leaves out the races of executions that the filter leaves out, and only those', async () => {
  const filtered = litmusTest('races', 'xchg-lock+filter')
  const { verdict, executions, truncated } = await runImplementation(filtered)
  assert.deepEqual({ verdict, truncated }, { verdict: 'Never', truncated: false })
  assert.ok(executions > 2)
  const { filter: _, ...whole } = filtered
  assert.equal((await runImplementation({ ...whole, filter: undefined })).verdict, 'Data race')
  assert.equal((await runImplementation(litmusTest('races', 'xchg-lock+half-filter'))).verdict, 'Data race')
})

test('smp_memb, explored over plain data, orders the accesses of the others', async () => {
  for (const [name, verdict] of [
    ['SB+memb+po', 'Never'],
    ['SB3+memb+po+mb', 'Never'],
    ['SB3+memb+po+po', 'Sometimes'],
    ['SB+memb+spectator', 'Sometimes'],
  ] as const) {
    const run = await runImplementation(litmusTest('membarrier', name), { once: 'plain' })
    assert.deepEqual([run.verdict, run.truncated], [verdict, false], name)
  }
})

test('an implementation may let its CPU go on with other things while it waits', async () => {
  const awaiting = standInOf((context, cpu) => {
    const user = rcuOf(new SmallSrcu(context, cpu))
    return { ...user, synchronize: () => Promise.resolve().then(() => user.synchronize(false)) }
  })
  for (const [name, verdict] of [
    ['RCU+sync+read', 'Never'],
    ['RCU+two-sections', 'Sometimes'],
    ['RCU+deadlock', 'Deadlock'],
  ] as const) {
    const shape = litmusTest('rcu', name)
    const run = await runImplementation(shape, { implementation: awaiting })
    assert.equal(run.verdict, verdict, name)
    const blocking = await runImplementation(shape, { implementation: standIn })
    assert.deepEqual(new Set(run.states.map(String)), new Set(blocking.states.map(String)))
  }
})

test('processes that use RCU or SRCU, and only those, are CPUs of the implementation', async () => {
  const joined = new Map<number, unknown>()
  let booted: unknown
  const counting: Implementation = {
    ...standIn,
    boot: async (cpus, uses) => {
      booted = [cpus, uses]
      const implementation = await standIn.boot(cpus, uses)
      return {
        ...implementation,
        join: (cpu, own, misused) => {
          joined.set(cpu.number, own)
          return implementation.join(cpu, own, misused)
        },
      }
    },
  }
  const spectator = parseLitmus(`C t
{ int *p = &old; int old = 1; int new = 2; }
P0(int **p) { int *r0; int r1; rcu_read_lock(); r0 = rcu_dereference(*p); r1 = *r0; rcu_read_unlock(); }
P1(int **p, int *new, int *old, struct srcu_struct *s) {
  rcu_assign_pointer(*p, new); synchronize_rcu(); synchronize_srcu(s); *old = -1; }
P2(int *) { }
exists (0:r1=-1)`)
  const { verdict, truncated } = await runImplementation(spectator, { implementation: counting })
  assert.deepEqual([verdict, truncated], ['Never', false])
  assert.deepEqual(booted, [3, { rcu: true, domains: ['s'] }])
  assert.deepEqual(
    [...joined],
    [
      [0, { rcu: true, domains: [] }],
      [1, { rcu: true, domains: ['s'] }],
    ],
  )
})

test('a judgement names the problem, and the table shows it', async () => {
  const files = litmusFiles('rcu').filter((file) => /RCU\+(sync\+read|deadlock|two-sections)/.test(file))
  const judged = await judge(files, { implementation: noGracePeriod })
  const problems = judged.map(({ problem }) => problem)
  assert.deepEqual(problems, [
    'the implementation: Never, the LKMM: Deadlock',
    'the implementation: Sometimes, the LKMM: Never',
    undefined,
  ])
  const table = formatJudgement(judged)
  assert.match(table, /^RCU\+sync\+read +Never +Never +Sometimes +\d+ +✗ the implementation/m)
  assert.match(table, /3 tests; 2 with problems$/)
})

test('plain data: counting by loads leaves later sections unordered, touching the counts orders them', async () => {
  const shape = litmusTest('rcu', 'RCU+sync+read')
  const weak = await runImplementation(shape, { implementation: onlyLoads, once: 'plain' })
  assert.equal(weak.verdict, 'Sometimes')
  const atomic = await runImplementation(shape, { implementation: onlyLoads })
  assert.equal(atomic.verdict, 'Never')
  const touching = await runImplementation(shape, { implementation: standIn, once: 'plain' })
  assert.equal(touching.verdict, 'Never')
  assert.equal(touching.truncated, false)
})

for (const once of ['atomic', 'plain'] as const)
  test(`${once}: exploration finds no state that the axioms forbid`, async () => {
    let compared = 0
    for (const folder of litmusFolders)
      for (const file of litmusFiles(folder)) {
        const shape = litmusTest(folder, path.basename(file, '.litmus'))
        const allowed = new Set(allowedStates(shape, { once }).states.map(({ values }) => values.join()))
        const run = await runImplementation(shape, { implementation: standIn, once, executions: 2000 })
        const found = run.states.map(({ values }) => values.join())
        assert.deepEqual(
          found.filter((state) => !allowed.has(state)),
          [],
          shape.name,
        )
        if (found.length === allowed.size) compared++
      }
    // With atomic accesses and no truncation both find the same; only load buffering and the like
    // differ.
    assert.ok(compared > (once === 'atomic' ? 90 : 40), `${compared} tests with equal states`)
  })

test('a search that was broken off says so', async () => {
  const [file] = litmusFiles('srcu').filter((name) => name.endsWith('SRCU-42-A.litmus'))
  assert.ok(file !== undefined)
  const [complete] = await judge([file], { implementation: standIn })
  assert.deepEqual([complete?.executions, complete?.truncated], [91, false])
  const [broken] = await judge([file], { implementation: standIn, executions: 10 })
  assert.equal(broken?.truncated, true)
  assert.match(formatJudgement([broken]), /\d+ \(broken off\)$/m)
})

test('a file that is not supported is reported with its place', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'litmus-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'loop.litmus')
  writeFileSync(file, 'C loop\n{}\nP0(int *x)\n{\n  while (1) { }\n}\nexists (x=1)\n')
  const [judged] = await judge([file])
  assert.equal(judged?.axioms, 'Not supported')
  assert.match(judged.problem ?? '', /^line 5, column 3: while is not supported$/)
})

test('executions that cannot end are left out where spin locks are, and a problem elsewhere', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'litmus-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const judgeOne = async (body: string, implementation = standIn) => {
    const file = path.join(folder, 'stuck.litmus')
    writeFileSync(file, `C stuck\n(* Result: Never *)\n{}\n${body}\nexists (x=2)\n`)
    const [judged] = await judge([file], { implementation })
    return [judged?.implementation, judged?.stuck, judged?.problem]
  }
  const take = 'spin_lock(l); WRITE_ONCE(*x, 1);'
  const one = `P0(spinlock_t *l, int *x) { ${take} }\nP1(spinlock_t *l, int *x) { ${take} spin_unlock(l); }`
  assert.deepEqual(await judgeOne(one), ['Never', 1, undefined])
  const none = `P0(spinlock_t *l, int *x) { spin_lock(l); ${take} }`
  assert.deepEqual(await judgeOne(none), ['Deadlock', 1, 'the implementation: Deadlock, the LKMM: Never'])
  const leaky = standInOf(({ mem, memory, base }) => ({
    readLock: () => mem.storeAtomic32(memory.i32, base, 1),
    readUnlock: () => undefined,
    synchronize: () => void mem.awaitUntil(() => mem.loadAtomic32(memory.i32, base) === 0),
  }))
  const section = 'P0(int *x) { rcu_read_lock(); WRITE_ONCE(*x, 1); rcu_read_unlock(); }'
  const stuck = await judgeOne(`${section}\nP1(int *x) { synchronize_rcu(); }`, leaky)
  assert.deepEqual(stuck, ['Never', 1, 'the implementation: executions that cannot end: 1'])
  const run = await runImplementation(
    parseLitmus(`C t\n{}\n${section}\nP1(int *x) { synchronize_rcu(); }\nexists (x=2)`),
    { implementation: leaky },
  )
  assert.equal(run.failure?.kind, 'starvation')
})

test('the rule is one-sided', () => {
  assert.equal(allowsMore('Never', 'Sometimes'), true)
  assert.equal(allowsMore('Sometimes', 'Never'), false)
  assert.equal(allowsMore('Sometimes', 'Deadlock'), true)
  assert.equal(allowsMore('Always', 'Sometimes'), true)
  assert.equal(allowsMore('Deadlock', 'Never'), true)
  assert.equal(allowsMore('Never', 'Limit'), false)
})

test('the stand-in SRCU explored on its own: a fixed number of executions', async () => {
  const { executions, truncated } = await runImplementation(litmusTest('srcu', 'srcu-nest-1'), {
    implementation: standIn,
  })
  assert.deepEqual({ executions, truncated }, { executions: 10, truncated: false })
})
