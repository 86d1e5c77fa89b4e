import assert from 'node:assert/strict'
import test from 'node:test'
import { checkOrdering } from '../check-ordering.mjs'
import { makeTree } from './helpers/tree.mjs'

const writer = `
import { loadAtomic32, storeAtomic32 } from '#mem'
export function publish(view: object): void {
  // A(machine.state) publishes the record; pairs with B in Reader.read, rcu/A in cpu.ts: after it
  // the record is everybody's to read. Mutant: machine/plain.
  storeAtomic32(view, 0, 1)
}
`
const reader = `
import { loadAtomic32 } from '#mem'
export class Reader {
  read(view: object): number {
    // B(machine.state) pairs with A in publish: what was written before may be read. Mutants: machine/plain, machine/other.
    return loadAtomic32(view, 0)
  }
}
`
const elsewhere = `
import { addAtomic32 } from '#mem'
// A(rcu.index) pairs with machine/A in publish, A in flip: the flip is over. Mutant: machine/plain.
export const flip = (view: object) => addAtomic32(view, 0, 1)
`
const entry = {
  file: 'packages/percpu/src/machine/writer.ts',
  find: 'storeAtomic32(view, 0, 1)',
  replace: 'storeAtomic32(view, 0, 2)',
  killedBy: 'packages/percpu/test/a.test.ts',
  because: 'it would be two',
}
const good = {
  'packages/percpu/src/machine/writer.ts': writer,
  'packages/percpu/src/machine/reader.ts': reader,
  'packages/percpu/src/rcu/cpu.ts': elsewhere,
  'packages/percpu/src/mem/mem.ts':
    'export function loadAtomic32() { return Atomics.load(x, 0) }\nloadAtomic32()',
  'packages/percpu/test/a.test.ts': '',
  'mutants/machine/plain.json': JSON.stringify(entry),
  'mutants/machine/other.json': JSON.stringify({ ...entry, seconds: 5, testName: 'x' }),
}

function messages(t, changes) {
  const tree = Object.entries({ ...good, ...changes }).filter(([, text]) => text !== undefined)
  return checkOrdering(makeTree(t, Object.fromEntries(tree))).problems.map(
    ({ file, line, message }) => `${file.replace('packages/percpu/src/', '')}:${line}: ${message}`,
  )
}

/** The messages for one more file of the machine layer. */
function messagesFor(t, code) {
  return messages(t, { 'packages/percpu/src/machine/extra.ts': code })
}

test('accepts letters that pair, across files and layers, and counts them', (t) => {
  const { problems, letters, accesses } = checkOrdering(makeTree(t, good))
  assert.deepEqual(problems, [])
  assert.equal(letters, 3)
  assert.equal(accesses, 3)
})

test('reports an access without a comment, however it is written', (t) => {
  const found = messagesFor(
    t,
    `import * as mem from '#mem'
     import { notify32 as wake, wait32 } from '#mem'
     mem.exchangeAtomicU64(v, 0, 1n)
     const f = wait32
     interface AtomicCell { load(): number }
     export const g = (cell: AtomicCell) => cell.load()
     const text = \`// atomic: not a comment \${f}\`
     mem.load32(v, 0)`,
  )
  assert.deepEqual(found, [
    'machine/extra.ts:3: exchangeAtomicU64 has no ordering comment and no "atomic:" comment',
    'machine/extra.ts:4: wait32 has no ordering comment and no "atomic:" comment',
    'machine/extra.ts:6: load has no ordering comment and no "atomic:" comment',
  ])
})

test('the class of an atomic cell needs no comments, its callers do; copies of functions keep their names', (t) => {
  const found = messagesFor(
    t,
    `import * as mem from '#mem'
     const { loadAtomic32, addAtomic32: plus } = mem
     export class AtomicWord {
       load() { return loadAtomic32(v, 0) }
       view() { return 1 }
     }
     export const f = (word: AtomicWord) => word.view() + word.load()`,
  )
  assert.deepEqual(found, [
    'machine/extra.ts:2: addAtomic32 has no ordering comment and no "atomic:" comment',
    'machine/extra.ts:7: load has no ordering comment and no "atomic:" comment',
  ])
})

test('an "atomic:" comment covers its line, three lines below, and a function it stands above', (t) => {
  const found = messagesFor(
    t,
    `import { loadAtomic32 } from '#mem'
loadAtomic32(v, 0) // atomic: a counter


loadAtomic32(v, 1)
loadAtomic32(v, 2)
/**
 * Reads.
 * atomic: a snapshot
 */
export function read() {
  const a = 1
  const b = 2
  const c = 3
  const inner = () => {
    return loadAtomic32(v, 3)
  }
}
class C {
  // atomic: a hint
  field = () => {



    loadAtomic32(v, 4)
  }
  method() {
    loadAtomic32(v, 5)
  }
}`,
  )
  assert.deepEqual(found, [
    'machine/extra.ts:6: loadAtomic32 has no ordering comment and no "atomic:" comment',
    'machine/extra.ts:28: loadAtomic32 has no ordering comment and no "atomic:" comment',
  ])
})

test('reports an "atomic:" comment that says nothing', (t) => {
  assert.match(messagesFor(t, `// atomic:\nloadAtomic32(v, 0)`).join(), /extra\.ts:1: "atomic:" must say why/)
})

const malformed = [
  'C(machine.word) stores; pairs with B in Reader.read: x.',
  'C(machine.word) stores; pairs with B: x. Mutant: machine/plain.',
  'C(machine.word) stores. Mutant: machine/plain.',
  'C(machine.word) pairs with B in Reader.read. Mutant: machine/plain.',
  'C(machine.word) pairs with B in Reader.read: x. Mutant: plain.',
]
for (const text of malformed) {
  test(`reports the malformed comment ${text}`, (t) => {
    assert.match(messagesFor(t, `// ${text}`).join('\n'), /extra\.ts:1: not an ordering comment/)
  })
}

const pairing = [
  [
    'a letter used twice',
    'A(x.y) pairs with A in extra: z. Mutant: machine/plain.',
    /letter A is taken .* by machine\/writer\.ts:4|letter A is taken .* by machine\/extra\.ts:1/,
  ],
  [
    'a missing partner',
    'C(x.y) pairs with D in extra: z. Mutant: machine/plain.',
    /C pairs with machine\/D, which does not exist/,
  ],
  [
    'a partner that does not name it',
    'C(x.y) pairs with B in read: z. Mutant: machine/plain.',
    /B, which does not name it back/,
  ],
  [
    'a wrong place',
    'C(x.y) pairs with C in nowhere: z. Mutant: machine/plain.',
    /looks for machine\/C in nowhere/,
  ],
  [
    'an unknown mutant',
    'C(x.y) pairs with C in extra: z. Mutant: machine/unknown.',
    /mutant machine\/unknown is not in mutants/,
  ],
]
for (const [what, text, expected] of pairing) {
  test(`reports ${what}`, (t) => {
    assert.match(messagesFor(t, `// ${text}`).join('\n'), expected)
  })
}

test('a letter may pair with itself, and several notes may stand in one block', (t) => {
  const code = `export class Lock {
  take() {
    // C(lock.owner) takes it; pairs with C in Lock.take, D in Lock: z. Mutant: machine/plain.
    // D(lock.next) pairs with C in take: more
    // words. Mutant: machine/plain.
    compareExchangeAtomic32(v, 0, 0, 1)
  }
}`
  assert.deepEqual(messagesFor(t, code), [])
})

const entries = [
  ['a patch that no longer applies', { ...entry, find: 'gone' }, /"find" occurs 0 times/],
  ['a patch that applies twice', { ...entry, find: 'view' }, /"find" occurs 2 times/],
  ['a patch that changes nothing', { ...entry, replace: entry.find }, /the same/],
  ['a missing file', { ...entry, file: 'packages/percpu/src/gone.ts' }, /there is no file/],
  ['a missing test', { ...entry, killedBy: 'packages/percpu/test/gone.test.ts' }, /names no test file/],
  ['a missing key', { ...entry, because: undefined }, /"because" must be a string/],
  ['an unknown key', { ...entry, note: '' }, /unknown key "note"/],
]
for (const [what, content, expected] of entries) {
  test(`reports ${what} in the registry`, (t) => {
    assert.match(messages(t, { 'mutants/machine/plain.json': JSON.stringify(content) }).join('\n'), expected)
  })
}

test('takes mutants that comments of other packages name', (t) => {
  const file = 'packages/console/src/store/log.ts'
  const changes = { 'mutants/store/named.json': JSON.stringify(entry) }
  assert.deepEqual(messages(t, { ...changes, [file]: '// In time.\n// Mutant: store/named.\n' }), [])
  assert.deepEqual(messages(t, { ...changes, [file]: '// Mutants: store/named, store/other.\n' }), [
    `${file}:1: mutant store/other is not in mutants/`,
  ])
})

test('reports a mutant that no comment names', (t) => {
  assert.deepEqual(messages(t, { 'mutants/rcu/unnamed.json': JSON.stringify(entry) }), [
    'mutants/rcu/unnamed.json:1: no comment names the mutant rcu/unnamed',
  ])
})
