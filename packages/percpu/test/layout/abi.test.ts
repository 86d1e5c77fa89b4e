/**
 * Fields lie where a C compiler puts them: against what gcc made of 82 structs, and against a
 * simple model.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  address,
  aligned,
  array,
  struct,
  type AnyStruct,
  type FieldSpec,
  type StructType,
  type Type,
} from 'percpu'
import { defineFrom, scalars } from './support/members.js'

interface Compiled {
  readonly compiler: string
  readonly structs: readonly {
    readonly name: string
    readonly size: number
    readonly align: number
    readonly members: readonly string[]
    readonly offsets: readonly number[]
  }[]
}

/** A struct as the model sees it: what it must find, beside what is given to `struct`. */
interface Modelled {
  readonly type: Type
  readonly size: number
  readonly align: number
}

/** The model walks byte by byte and knows nothing of rounding. */
function modelStruct(
  name: string,
  fields: readonly { readonly made: Modelled; readonly alignment: number | undefined }[],
): { readonly layout: AnyStruct; readonly size: number; readonly align: number; readonly offsets: number[] } {
  const definition: Record<string, FieldSpec> = {}
  const offsets: number[] = []
  let at = 0
  let strictest = 1
  fields.forEach(({ made, alignment }, index) => {
    const align = alignment !== undefined && alignment > made.align ? alignment : made.align
    while (at % align !== 0) at++
    offsets.push(at)
    for (let byte = 0; byte < made.size; byte++) at++
    if (align > strictest) strictest = align
    definition[`m${String(index)}`] = alignment === undefined ? made.type : aligned(made.type, alignment)
  })
  while (at % strictest !== 0) at++
  return { layout: struct(name, definition), size: at, align: strictest, offsets }
}

const scalarModel: fc.Arbitrary<Modelled> = fc
  .constantFrom(...Object.values(scalars), address())
  .map((type) => ({ type, bits: type.form === 'address' ? 32 : Number(type.name.slice(1)) }))
  .map(({ type, bits }) => ({ type, size: bits / 8, align: bits / 8 }))

const { type: anyType } = fc.letrec<{ type: Modelled; struct: Modelled; array: Modelled }>((tie) => ({
  type: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'type' },
    { weight: 4, arbitrary: scalarModel },
    { weight: 1, arbitrary: tie('array') },
    { weight: 2, arbitrary: tie('struct') },
  ),
  array: fc
    .tuple(tie('type'), fc.integer({ min: 1, max: 5 }))
    .map(([of, length]) => ({ type: array(of.type, length), size: of.size * length, align: of.align })),
  struct: fc
    .array(fc.record({ made: tie('type'), alignment: alignment() }), { minLength: 1, maxLength: 5 })
    .map((fields) => {
      const { layout, size, align } = modelStruct('Inner', fields)
      return { type: layout, size, align }
    }),
}))

function alignment(): fc.Arbitrary<number | undefined> {
  return fc.option(
    fc.integer({ min: 0, max: 8 }).map((power) => 2 ** power),
    { nil: undefined, freq: 4 },
  )
}

describe('layout: the C ABI', () => {
  it('agrees with gcc', () => {
    const text = readFileSync(new URL('../../test/layout/abi.lock.json', import.meta.url), 'utf8')
    const { structs } = JSON.parse(text) as Compiled
    const known = new Map<string, AnyStruct>()
    for (const { name, size, align, members, offsets } of structs) {
      const made = defineFrom(name, members, known)
      known.set(name, made)
      assert.deepEqual(
        { name, size: made.size, align: made.align, offsets: made.members.map(({ offset }) => offset) },
        { name, size, align, offsets },
      )
      assert.equal(made.stride, size)
    }
    assert.equal(known.size, 82)
  })

  it('agrees with a model on random nested structs', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ made: anyType, alignment: alignment() }), { minLength: 1, maxLength: 8 }),
        (fields) => {
          const { layout, size, align, offsets } = modelStruct('Outer', fields)
          assert.deepEqual(
            { size: layout.size, align: layout.align, offsets: layout.members.map(({ offset }) => offset) },
            { size, align, offsets },
          )
        },
      ),
      { numRuns: 500 },
    )
  })

  it('names every byte once, by the field that lies there', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ made: anyType, alignment: alignment() }), { minLength: 1, maxLength: 5 }),
        (fields) => {
          const { layout } = modelStruct('Outer', fields)
          if (layout.size > 4096) return
          const first = new Map<string, number>()
          for (let offset = 0; offset < layout.size; offset++) {
            const name = layout.nameAt(offset)
            if (name !== undefined && !first.has(name)) first.set(name, offset)
          }
          const places = placesOf(layout)
          assert.deepEqual([...first.entries()], places)
        },
      ),
      { numRuns: 200 },
    )
  })
})

/** Name and offset of every scalar, by walking the types. */
function placesOf(layout: StructType, prefix = '', base = 0): [string, number][] {
  const walk = (type: Type, name: string, at: number): [string, number][] => {
    if (type.form === 'struct') return placesOf(type, `${name}.`, at)
    if (type.form !== 'array') return [[name, at]]
    const { element, length } = type
    const step = bytesOf(element)
    return Array.from({ length }, (_, index) =>
      walk(element, `${name}[${String(index)}]`, at + index * step),
    ).flat()
  }
  return layout.members.flatMap(({ type, name, offset }) =>
    type === undefined ? [] : walk(type, prefix + name, base + offset),
  )
}

function bytesOf(type: Type): number {
  return type.form === 'array' ? type.length * bytesOf(type.element) : type.size
}
