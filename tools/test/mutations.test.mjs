import assert from 'node:assert/strict'
import test from 'node:test'
import ts from 'typescript'
import { markedText } from '../lib/coverage-marks.mjs'
import { applyMutation, mutationsOf } from '../lib/mutations/index.mjs'

/** What is offered for `text`, as `kind: before → after`, or for one kind as `before → after`. */
function offers(text, kind) {
  return mutationsOf('a.ts', text)
    .filter((mutation) => kind === undefined || mutation.kind === kind)
    .map(({ kind: found, before, after }) => `${kind === undefined ? `${found}: ` : ''}${before} → ${after}`)
}

/** The texts that the mutations of one kind make of `text`. */
function mutants(text, kind) {
  return mutationsOf('a.ts', text)
    .filter((mutation) => mutation.kind === kind)
    .map((mutation) => applyMutation(text, mutation))
}

test('negates and fixes conditions', () => {
  const text =
    'if (a === b) f()\nwhile (a && b) f()\nfor (; a < b; ) f()\ndo f()\nwhile (!a)\nconst c = d() ? e : f'
  assert.deepEqual(offers(text, 'negated condition'), [
    'a === b → a !== b',
    'a && b → !(a && b)',
    'a < b → a >= b',
    '!a → a',
    'd() → !d()',
  ])
  assert.deepEqual(offers(text, 'fixed condition'), [
    'a === b → true',
    'a === b → false',
    'd() → true',
    'd() → false',
  ])
  assert.deepEqual(offers('while (true) f()', 'negated condition'), [])
})

test('moves bounds by one', () => {
  assert.deepEqual(offers('const c = [a < b, a <= b, a > b, a >= b]', 'moved bound'), [
    'a < b → a <= b',
    'a <= b → a < b',
    'a > b → a >= b',
    'a >= b → a > b',
  ])
})

test('exchanges logical operators, equalities and arithmetic', () => {
  assert.deepEqual(offers('const c = a && b || d', 'swapped logic'), [
    'a && b || d → (a && b) && d',
    'a && b → (a || b)',
  ])
  assert.deepEqual(offers('const c = a === b ? a !== d : e', 'swapped equality'), ['a !== d → a === d'])
  assert.deepEqual(
    offers('c = a + b - a * b / a % b; c <<= a >> b >>> c; c = a & b ^ c | a ** b', 'swapped arithmetic'),
    [
      'a + b - a * b / a % b → a + b + a * b / a % b',
      'a + b → a - b',
      'a * b / a % b → a * b / a * b',
      'a * b / a → a * b * a',
      'a * b → a / b',
      'c <<= a >> b >>> c → c >>= a >> b >>> c',
      'a >> b >>> c → a >> b << c',
      'a >> b → a << b',
      'a & b ^ c | a ** b → (a & b ^ c) & (a ** b)',
      'a & b ^ c → ((a & b) | c)',
      'a & b → (a | b)',
      'a ** b → (a * b)',
    ],
  )
  assert.deepEqual(offers('a++; --a', 'swapped arithmetic'), ['a++ → a--', '--a → ++a'])
  assert.deepEqual(offers('f(-a, ~a, !a)', 'dropped operator'), ['-a → a', '~a → a', '!a → a'])
  assert.deepEqual(offers('f(Math.min(a, b))', 'swapped extreme'), ['Math.min → Math.max'])
})

test('changes constants', () => {
  assert.deepEqual(offers('const c = [0, 0xff, 1_000, 2n]', 'changed number'), [
    '0 → 1',
    '0 → (-1)',
    '0xff → 0x100',
    '0xff → 0xfe',
    '1_000 → 1001',
    '1_000 → 999',
    '2n → 3n',
    '2n → 1n',
  ])
  assert.deepEqual(offers('f(true, false)', 'flipped boolean'), ['true → false', 'false → true'])
})

test('drops calls, stores, throws and jumps', () => {
  const text = `function f(): string {
    for (const a of b) {
      if (a) continue
      await g(a)
      c.d = a
      c.n++
      if (a) throw new Error('no')
      if (a) break
    }
    const h = g()
    return h
  }`
  const dropped = offers(text).filter((offer) => offer.startsWith('dropped'))
  assert.deepEqual(dropped, [
    'dropped jump: continue → (nothing)',
    'dropped call: await g(a) → (nothing)',
    'dropped store: c.d = a → (nothing)',
    'dropped store: c.n++ → (nothing)',
    "dropped throw: throw new Error('no') → (nothing)",
    'dropped jump: break → (nothing)',
  ])
  assert.deepEqual(offers('class A extends B { constructor() { super() } }', 'dropped call'), [])
})

test('exchanges neighbours that do not need each other', () => {
  const inside = (text) => `function f() {\n${text}\n}`
  assert.deepEqual(mutants(inside('a.b = 1\ng()'), 'swapped statements'), [inside('g();\na.b = 1;')])
  assert.deepEqual(mutants(inside('const a = g()\nawait h()'), 'swapped statements'), [
    inside('await h();\nconst a = g();'),
  ])
  assert.deepEqual(mutants(inside('g()\n;[a] = h()'), 'swapped statements'), [inside(';[a] = h();g()\n;')])
  for (const dependent of [
    'const a = g()\nh(a)',
    'g(a)\na = h()',
    'g(this.a)\nthis.a = h()',
    'g(this.#a)\nthis.#a = h()',
    'this.a = 1\nthis.b = 2',
    'this.a = g()\nthis.b = h()',
    'const a = g()\nconst b = h()',
    'g()\nreturn h()',
    'const a = new A()\nconst b = new B()',
  ])
    assert.deepEqual(mutants(inside(dependent), 'swapped statements'), [], dependent)
  assert.deepEqual(mutants('export const a = g()\nexport const b = h()', 'swapped statements'), [])
})

test('returns early, with a result that the type allows', () => {
  const early = (head) => offers(`${head} { const a = b; return a }`, 'early return')
  const returns = (text) => [`const a = b → ${text}; …`]
  assert.deepEqual(early('function f(): number'), returns('return 0'))
  assert.deepEqual(early('async function f(): Promise<A | undefined>'), returns('return undefined'))
  assert.deepEqual(early('function f(): boolean'), [...returns('return true'), ...returns('return false')])
  assert.deepEqual(early('function f(): A'), [])
  assert.deepEqual(early('function f()'), [])
  assert.deepEqual(mutants('function f(): void { g(); if (a) h() }', 'early return'), [
    'function f(): void { return;g(); if (a) h() }',
  ])
  assert.deepEqual(mutants('b.forEach(() => { if (a) { g() } h() })', 'early return'), [
    'b.forEach(() => { return;if (a) { g() } h() })',
    'b.forEach(() => { if (a) { return;g() } h() })',
  ])
})

test('changes results by the declared type', () => {
  const changed = (type) =>
    offers(`function f(): ${type} { return a }\nconst g = (): ${type} => b`, 'changed result')
  assert.deepEqual(changed('boolean'), ['a → !a', 'b → !b'])
  assert.deepEqual(changed('number'), ['a → (a) + 1', 'b → (b) + 1'])
  assert.deepEqual(changed('A | undefined'), ['a → undefined', 'b → undefined'])
  assert.deepEqual(changed('A'), [])
  assert.deepEqual(offers('function f(): void { if (a) return; g() }', 'dropped return'), [
    'return → (nothing)',
  ])
})

test('leaves types, declarations, imports, strings and errors alone', () => {
  const text = `import { a } from './a.js'
export { a } from './a.js'
type T = 1 | true
interface I { b: 2 }
let c: 3 | undefined
declare module 'm' { const d = 4 }
class E<P = 5> { f!: 6 }
const g = { 7: 'text' } as { 7: string }
function h(i: 8): never {
  throw new RangeError(\`\${i + 9}\`)
}
const j = () => new TypeError(\`\${k + 10}\`)`
  assert.deepEqual(offers(text), ['dropped throw: throw new RangeError(`${i + 9}`) → (nothing)'])
})

test('says where a mutation is', () => {
  const [found] = mutationsOf('a.ts', 'f(\n  a,\n  1,\n)').filter(({ before }) => before === '1')
  assert.deepEqual([found.line, found.column], [3, 3])
})

/** Runs a program with a mark at each number literal, which is its id; gives those reached. */
function run(text) {
  const numbers = mutationsOf('a.ts', text).filter(({ kind }) => kind === 'changed number')
  const marks = numbers.map(({ before, place }) => ({ id: Number(before), place }))
  const marked = markedText(text, marks, 'log').replace(/appendFileSync\(.*\)/, 'reached.push(id)')
  const { outputText } = ts.transpileModule(marked, { compilerOptions: { target: ts.ScriptTarget.ES2022 } })
  const reached = []
  new Function('reached', outputText)(reached)
  return [...new Set(reached)].sort((one, other) => one - other)
}

test('a mark is written where its place runs, and only there', () => {
  assert.deepEqual(run('const a = 1\nif (a === 1) a + 2\nelse a + 3'), [1, 2])
  assert.deepEqual(run('const f = (a: any) => (b: any) => a + b + 2\nf(1)'), [1])
  assert.deepEqual(run('const f = (a: any) => () => ({ b: a + 2 })\nf(1)().b'), [1, 2])
  assert.deepEqual(
    run('function f() { return 1 }\nfunction g() { if (f() === 2) return 3; return 4 }\ng()'),
    [1, 2, 4],
  )
  assert.deepEqual(run('out: for (;;) { for (;;) { if (true) break out; 2 } }\nwhile (false) 3'), [])
  assert.deepEqual(run('class A { b = 1; static { 2 } constructor(c = 3) { 4 } }'), [1, 2, 3])
  assert.deepEqual(run('switch (1 as number) { case 2: 3; break; case 1: 4 }'), [1, 2, 4])
  assert.deepEqual(run('try { throw 1 } catch { 2 } finally { if (false) () => 3 }'), [2])
  assert.deepEqual(run('f(1)\nfunction f(a: any, b = 2) { if (a) [3].forEach((c) => c + 4) }'), [1, 2, 3, 4])
})
