/**
 * What a struct promises about its layout is checked when it is defined, and a broken promise names
 * both numbers.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  aligned,
  array,
  f64,
  LayoutError,
  locked,
  pad,
  PercpuError,
  struct,
  u16,
  u32,
  u64,
  u8,
  type FieldSpec,
  type StructOptions,
} from 'percpu'

const fields = { a: u32, b: u64, c: u8 } // at 0, 8 and 16; 24 bytes

interface Broken {
  readonly field?: string
  readonly rule: string
  readonly found: unknown
  readonly allowed: unknown
}

/** Defines a struct that must be refused; returns the message. */
function refused(define: () => unknown, broken: Broken): string {
  let message = ''
  assert.throws(define, (error: unknown) => {
    assert.ok(error instanceof LayoutError && error instanceof PercpuError)
    const { struct: name, field, rule, found, allowed } = error.details
    assert.equal(error.code, 'PERCPU_LAYOUT')
    assert.equal(name, 'S')
    assert.equal(error.struct, 'S')
    assert.deepEqual({ field, rule, found, allowed }, { field: undefined, ...broken })
    for (const part of ['S', broken.field, broken.found, broken.allowed]) {
      if (typeof part === 'string' || typeof part === 'number')
        assert.ok(error.message.includes(String(part)), error.message)
    }
    message = error.message
    return true
  })
  return message
}

describe('layout: contracts', () => {
  it('hold the exact size', () => {
    assert.equal(struct('S', fields, { size: 24 }).size, 24)
    for (const size of [23, 25, 17]) {
      refused(() => struct('S', fields, { size }), { field: 'c', rule: 'size', found: 24, allowed: size })
    }
  })

  it('hold the maximum size', () => {
    struct('S', fields, { maxSize: 24 })
    refused(() => struct('S', fields, { maxSize: 23 }), {
      field: 'c',
      rule: 'maxSize',
      found: 24,
      allowed: 23,
    })
  })

  it('raise the alignment without padding, and never lower it', () => {
    const raised = struct('S', fields, { align: 64 })
    assert.deepEqual([raised.size, raised.align, raised.stride], [24, 64, 64])
    assert.deepEqual({ ...struct('T', { head: u8, rows: array(raised, 2) }).offsets }, { head: 0, rows: 64 })
    assert.equal(struct('T', { head: u8, rows: array(raised, 2) }).size, 192)
    refused(() => struct('S', fields, { align: 4 }), { field: 'b', rule: 'align', found: 8, allowed: 4 })
  })

  it('propose the alignment that keeps objects from crossing a boundary', () => {
    const big = { bytes: array(u64, 80) } // 640 bytes
    const message = refused(() => struct('S', big, { size: 640, align: 128, noCross: 4096 }), {
      rule: 'noCross',
      found: 128,
      allowed: 1024,
    })
    assert.equal(
      message,
      'struct S of 640 bytes, aligned to 128, crosses a boundary of 4096 when it lies at 3584; give it align: 1024',
    )
    struct('S', big, { align: 1024, noCross: 4096 })
    refused(() => struct('S', big, { noCross: 512 }), { rule: 'noCross', found: 640, allowed: 512 })
    assert.throws(() => struct('S', big, { noCross: 640 }), { rule: 'definition' })
  })

  it('judge crossing as trying every place does', () => {
    const powers = (from: number, to: number): fc.Arbitrary<number> =>
      fc.integer({ min: from, max: to }).map((power) => 2 ** power)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), powers(0, 11), powers(0, 10), (size, align, noCross) => {
        let crossing: number | undefined
        for (let at = 0; at <= 4096 && crossing === undefined; at += align) {
          if (Math.floor(at / noCross) !== Math.floor((at + size - 1) / noCross)) crossing = at
        }
        const define = (): unknown => struct('S', { bytes: array(u8, size) }, { align, noCross })
        if (crossing === undefined) define()
        else if (size > noCross) assert.throws(define, /wherever it lies/)
        else assert.throws(define, new RegExp(`when it lies at ${String(crossing)};`))
      }),
      { numRuns: 500 },
    )
  })

  it('keep fields in one cache line', () => {
    // b ends line 0, c begins line 1.
    const layout = { a: u32, rest: array(u32, 14), b: u32, c: u32 }
    struct('S', layout, { align: 64, sameLine: [['a', 'b']] })
    struct('S', layout, { align: 128, lineSize: 128, sameLine: [['a', 'b', 'c']] })
    refused(() => struct('S', layout, { align: 64, sameLine: [['c', 'a']] }), {
      field: 'c',
      rule: 'sameLine',
      found: 1,
      allowed: 0,
    })
    // a field that itself is longer than a line shares none
    refused(() => struct('S', { a: u8, long: array(u8, 64) }, { align: 64, sameLine: [['a', 'long']] }), {
      field: 'long',
      rule: 'sameLine',
      found: 1,
      allowed: 0,
    })
  })

  it('keep fields in separate cache lines', () => {
    const Inner = struct('Inner', { x: u32, y: aligned(u32, 'cacheline') })
    struct('S', { a: u32, inner: Inner }, { separateLines: [['a', 'inner.x', 'inner.y']] })
    refused(() => struct('S', { a: u32, b: u32 }, { align: 64, separateLines: [['b', 'a']] }), {
      field: 'b',
      rule: 'separateLines',
      found: 4,
      allowed: 64,
    })
    // the last byte of a long field counts
    refused(() => struct('S', { a: array(u8, 65), b: u8 }, { align: 64, separateLines: [['a', 'b']] }), {
      field: 'b',
      rule: 'separateLines',
      found: 65,
      allowed: 128,
    })
    struct('S', { a: array(u8, 65), b: aligned(u8, 'cacheline') }, { separateLines: [['a', 'b']] })
    refused(
      () =>
        struct(
          'S',
          { a: u8, b: aligned(u8, 64) },
          { lineSize: 128, align: 128, separateLines: [['a', 'b']] },
        ),
      { field: 'b', rule: 'separateLines', found: 64, allowed: 128 },
    )
  })

  it('speak of cache lines only where objects begin at one', () => {
    for (const rule of ['sameLine', 'separateLines'] as const) {
      const message = refused(() => struct('S', fields, { [rule]: [['a', 'b']] }), {
        field: 'a',
        rule,
        found: 8,
        allowed: 64,
      })
      assert.match(message, /give it align: 64/)
    }
  })

  it('judge cache lines as counting bytes does', () => {
    const groups = fc.uniqueArray(fc.constantFrom('m0', 'm1', 'm2', 'm3'), { minLength: 2, maxLength: 3 })
    fc.assert(
      fc.property(fc.array(fc.nat(120), { minLength: 4, maxLength: 4 }), groups, (sizes, group) => {
        const definition: Record<string, FieldSpec> = {}
        sizes.forEach((size, index) => (definition[`m${String(index)}`] = array(u8, size + 1)))
        const { members } = struct('S', definition)
        const lines = group.map((name) => {
          const member = members.find((each) => each.name === name)
          assert.ok(member)
          const touched = new Set<number>()
          for (let at = member.offset; at < member.offset + member.size; at++)
            touched.add(Math.floor(at / 64))
          return touched
        })
        const all = new Set(lines.flatMap((touched) => [...touched]))
        const total = lines.reduce((sum, { size }) => sum + size, 0)
        const check = (
          options: StructOptions<Record<string, FieldSpec>>,
          holds: boolean,
          rule: string,
        ): void => {
          const define = (): unknown => struct('S', definition, { align: 64, ...options })
          if (holds) define()
          else assert.throws(define, { code: 'PERCPU_LAYOUT', rule })
        }
        check({ sameLine: [group] }, all.size === 1, 'sameLine')
        check({ separateLines: [group] }, all.size === total, 'separateLines')
      }),
      { numRuns: 300 },
    )
  })

  it('limit how far from the start a field may begin', () => {
    const far = { big: pad(32764), inner: struct('Inner', { x: u32, y: u32 }) }
    struct('S', far, { within: { 'inner.x': 'd16' } })
    struct('S', far, { within: { 'inner.y': 32768, 'inner.x': 32764 } })
    const message = refused(() => struct('S', far, { within: { 'inner.x': 'd16', 'inner.y': 'd16' } }), {
      field: 'inner.y',
      rule: 'within',
      found: 32768,
      allowed: 32767,
    })
    assert.match(
      message,
      /field inner\.y is at offset 32768, but may be at most at 32767, as far as a signed 16-bit/,
    )
    refused(() => struct('S', far, { within: 'd16' }), {
      field: 'inner.y',
      rule: 'within',
      found: 32768,
      allowed: 32767,
    })
    struct('S', { a: u8, last: u8 }, { within: 1 })
    refused(() => struct('S', { a: u8, last: u8 }, { within: 0 }), {
      field: 'last',
      rule: 'within',
      found: 1,
      allowed: 0,
    })
  })

  it('limit fields of the elements of arrays as one limit for all does', () => {
    const Row = struct('Row', { x: u32, y: u32 })
    refused(() => struct('S', { head: pad(64), rows: array(Row, 2) }, { within: 64 }), {
      field: 'rows[].y',
      rule: 'within',
      found: 68,
      allowed: 64,
    })
  })
})

describe('layout: definitions that make no sense', () => {
  /** @param define what a caller without types could write */
  const senseless = (what: string, define: () => unknown, message: RegExp): void => {
    it(`refuse ${what}`, () => {
      assert.throws(define, { code: 'PERCPU_LAYOUT', rule: 'definition', message })
    })
  }
  const wrong = (value: unknown): never => value as never

  senseless('no fields', () => struct('S', {}), /struct S has no fields/)
  senseless('no name', () => struct('', fields), /struct\(\) takes a name/)
  senseless('a name with spaces', () => struct('my struct', fields), /my struct/)
  senseless(
    'a field that is no type',
    () => struct('S', { a: wrong(5) }),
    /field a has no type: it is number/,
  )
  senseless(
    'an undefined type',
    () => struct('S', { a: wrong(undefined) }),
    /field a has no type: it is undefined/,
  )
  senseless(
    'a field name of accessors',
    () => struct('S', { address: u32 }),
    /field address has a name that accessors/,
  )
  senseless('a field called toString', () => struct('S', { toString: u32 }), /field toString/)
  senseless('a field name that is no name', () => struct('S', { 'a.b': u32 }), /'a\.b' is not a field name/)
  senseless('a field name that is a number', () => struct('S', { 1: u32 }), /'1' is not a field name/)
  for (const length of [0, -1, 1.5, NaN, 2 ** 31 + 1]) {
    senseless(`an array of ${String(length)}`, () => array(u8, length), /a length between 1 and/)
    senseless(`${String(length)} reserved bytes`, () => pad(length), /a number of bytes between 1 and/)
  }
  senseless(
    'an array of nothing',
    () => array(wrong('u8'), 3),
    /array\(\) takes a scalar, an address, text, an array or a struct, not string/,
  )
  senseless('an array of aligned elements', () => array(aligned(u8, 64), 3), /align the array/)
  senseless(
    'a struct of more than 2^31 bytes',
    () => struct('S', { a: array(f64, 2 ** 28), b: u8 }),
    /field b ends at/,
  )
  for (const alignment of [0, 3, 48, -8, 1.5, NaN, 2 ** 32]) {
    senseless(
      `an alignment of ${String(alignment)}`,
      () => struct('S', fields, { align: alignment }),
      /align must be a power of two/,
    )
    senseless(`a field aligned to ${String(alignment)}`, () => aligned(u8, alignment), /takes a power of two/)
    senseless(
      `a line of ${String(alignment)}`,
      () => struct('S', fields, { lineSize: alignment }),
      /lineSize must be/,
    )
    senseless(
      `noCross ${String(alignment)}`,
      () => struct('S', fields, { noCross: alignment }),
      /noCross must be/,
    )
  }
  senseless(
    'an alignment by another name',
    () => aligned(u8, wrong('line')),
    /'cacheline' or 'page', not 'line'/,
  )
  senseless('an alignment twice', () => aligned(aligned(u8, 8), 16), /already aligned/)
  senseless('alignment of reserved bytes', () => aligned(wrong(pad(4)), 16), /not pad/)
  senseless('a lock without a name', () => locked(u32, ''), /the name of the lock/)
  for (const size of [0, -8, 1.5, NaN]) {
    senseless(
      `a size of ${String(size)}`,
      () => struct('S', fields, { size }),
      /size must be a positive number/,
    )
    senseless(`a maxSize of ${String(size)}`, () => struct('S', fields, { maxSize: size }), /maxSize must be/)
  }
  senseless(
    'a limit that is no number',
    () => struct('S', fields, { within: { a: wrong('d32') } }),
    /within takes a number/,
  )
  for (const rule of ['sameLine', 'separateLines']) {
    const group =
      (...names: string[]) =>
      () =>
        struct('S', fields, { align: 64, [rule]: [names] })
    senseless(`${rule} of one field`, group('a'), /two or more different fields, not \[a\]/)
    senseless(`${rule} of a field twice`, group('a', 'a'), /two or more different fields, not \[a, a\]/)
    senseless(`${rule} of an unknown field`, group('a', 'nothing'), new RegExp(`${rule} names nothing, but`))
  }
  it('refuse a limit of an unknown field, for TypeScript too', () => {
    // @ts-expect-error there is no such field
    const define = (): unknown => struct('S', { a: u16 }, { within: { nothing: 5 } })
    assert.throws(define, {
      rule: 'definition',
      field: 'nothing',
      details: { struct: 'S', field: 'nothing', allowed: ['a'], rule: 'definition' },
    })
  })
})

describe('layout: what is no contract', () => {
  const bad = (options: object, message: RegExp) => {
    const inner = struct('Inner', { x: u32 }, { align: 64 })
    const all = Object.assign({ align: 64 }, options)
    const define = () => struct('S', { pair: array(inner, 17), other: u32 }, all)
    assert.throws(define, (error: unknown) => error instanceof LayoutError && message.test(error.message))
  }
  it('is refused: elements of arrays, which lie at many offsets', () => {
    bad({ separateLines: [['pair[].x', 'other']] }, /name the array/)
    bad({ within: { 'pair[].x': 100 } }, /name the array/)
  })
  it('is refused: options that do not exist, and limits that are none', () => {
    bad({ maxsize: 4 }, /no option maxsize/)
    bad({ within: null }, /not null/)
    bad({ within: '100' }, /not '100'/)
  })
})

describe('layout: a struct inside another one', () => {
  it('takes a multiple of its alignment, as in C', () => {
    const inner = struct('Inner', { x: u32 }, { align: 64 })
    const outer = struct('Outer', { a: inner, b: u32 })
    assert.deepEqual([outer.offsets.b, outer.size, outer.align], [64, 128, 64])
  })
})
