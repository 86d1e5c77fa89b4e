/**
 * Random programs do the same transformed as they are: results, errors, order of evaluation,
 * memory.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { compare, runInShadow } from './programs.js'

/**
 * Declared before every program: shared and private views, what is not there, and objects that
 * watch their use.
 */
const prelude = `
  let k = 1
  const none = null
  const o = { w: i32, n: null, own, f(x) { log("f"); return this.w ?? x }, get g() { log("get"); return u8 } }
  const key = { toString() { log("key"); return "2" } }
`

const { expression, statement } = fc.letrec<{
  expression: string
  target: string
  object: string
  statement: string
}>((tie) => {
  const join = (strings: TemplateStringsArray, ...parts: fc.Arbitrary<string>[]) =>
    fc.tuple(...parts).map((values) => String.raw({ raw: strings.raw }, ...values))
  const literal = fc.constantFrom(
    '0',
    '1',
    '3',
    '15',
    '16',
    '-1',
    '"1"',
    '"x"',
    '"length"',
    'null',
    'undefined',
    '7n',
    '1.5',
    'k',
    'key',
  )
  const numeric = fc.constantFrom('0', '1', '2', '3', 'k', 'k++', '"2"', 'key')
  const operator = fc
    .constantFrom('+', '-', '|', '&&', '||', '??', '===', ',', '<')
    .map((text) => ` ${text} `)
  const assignment = fc
    .constantFrom('=', '+=', '-=', '|=', '**=', '&&=', '||=', '??=')
    .map((text) => ` ${text} `)
  const method = fc.constantFrom(
    'fill',
    'at',
    'subarray',
    'indexOf',
    'slice',
    'join',
    'set',
    'nothing',
    'reverse',
  )
  const dot = fc.constantFrom('.', '?.')
  const bracket = fc.constantFrom('', '?.')
  const {
    expression: inner,
    target,
    object,
  } = { expression: tie('expression'), target: tie('target'), object: tie('object') }
  return {
    object: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('i32', 'u8', 'own', 'o', 'none', 'big', 'i32'),
      join`o${dot}${fc.constantFrom('w', 'n', 'own', 'g', 'missing')}`,
      join`o${dot}${fc.constantFrom('f', 'missing')}${bracket}(${inner})`,
      join`${object}${bracket}[${inner}]`,
      join`${object}${dot}${method}(${inner})`,
      join`(${object})`,
      join`log(${object})`,
    ),
    target: fc.oneof(
      join`${fc.constantFrom('i32', 'u8', 'own', 'o.w', 'o.g')}[${fc.oneof(numeric, inner)}]`,
      fc.constant('k'),
    ),
    expression: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      literal,
      join`${fc.constantFrom('i32', 'u8', 'own')}[${numeric}]`,
      join`log(${inner})`,
      join`(${inner}${operator}(${inner}))`,
      join`(${target}${assignment}${inner})`,
      join`(${fc.constantFrom('++', '--')}${target})`,
      join`(${target}${fc.constantFrom('++', '--')})`,
      join`${object}${bracket}[${inner}]`,
      join`${object}${dot}w${bracket}[${inner}]`,
      join`${object}${dot}${method}${bracket}(${inner})`,
      join`Atomics.${fc.constantFrom('add', 'load', 'exchange', 'xor')}(${object}, ${inner}, ${inner})`,
      join`[...${object}]`,
      join`(await ${inner})`,
      join`(delete ${object}${bracket}[${inner}])`,
      join`(typeof ${object}[${inner}])`,
      join`(${inner} ? ${inner} : ${inner})`,
    ),
    statement: fc.oneof(
      join`log(${inner})`,
      join`;[${target}, ${target} = ${inner}] = ${object}`,
      join`;({ 1: ${target}, length: ${target}, ...o.rest } = ${object})`,
      join`for (${target} of ${object}) { log(k); if (k > 40) break }`,
      join`for (const x of ${object}) log(x)`,
      join`const [x = ${inner}, ...rest] = ${object}; log(rest.length)`,
      join`k = ${inner}`,
    ),
  }
})

const program = fc
  .tuple(fc.boolean(), fc.array(statement, { minLength: 1, maxLength: 4 }), expression)
  .map(([strict, statements, last]) => {
    const blocks = statements.map((one) => `try {\n${one}\n} catch (e) { log(e.name) }`)
    return `${strict ? '"use strict";' : ''}${prelude}${blocks.join('\n')}\nreturn ${last}`
  })

// A view that is converted to a string, as a key for example, reads itself unseen: here it does not
// read itself.
const typedArrayPrototype = Object.getPrototypeOf(Int8Array.prototype) as object
before(() =>
  Reflect.defineProperty(typedArrayPrototype, Symbol.toPrimitive, {
    value: () => 'view',
    configurable: true,
  }),
)
after(() => Reflect.deleteProperty(typedArrayPrototype, Symbol.toPrimitive))

describe('a random program', () => {
  it('does what it did', async () => {
    let seen = 0
    await fc.assert(
      fc.asyncProperty(program, async (body) => {
        const { plain, after, accesses } = await compare(body)
        seen += accesses.length
        assert.deepEqual(after, plain)
      }),
      { numRuns: 300 },
    )
    assert.ok(seen > 300, `the programs touched shared memory ${seen} times`)
  })

  it('touches shared memory only through the access', async () => {
    await fc.assert(
      fc.asyncProperty(program, async (body) => {
        const { plain } = await compare(body)
        assert.deepEqual(await runInShadow(body), plain)
      }),
      { numRuns: 200 },
    )
  })
})
