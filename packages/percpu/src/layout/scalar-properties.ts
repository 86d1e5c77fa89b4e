/**
 * The properties of plain scalars in the accessors of structs: a getter and a setter of a word
 * each.
 *
 * `of` finds the memory of an accessor. An accessor has `baseWord`, its address / 4, or for a
 * struct aligned to less than 4 bytes `baseByte`, its address: see locate.ts.
 *
 * Why it is fast: V8 inlines a getter into its caller as a constant, together with the `const`s
 * that the getter closes over. So the leaf functions are copied out of their module here, as an
 * import is looked up at each use. Offsets are constants. Each scalar has functions of its own: one
 * that is fed with several kinds of typed arrays becomes megamorphic. Measured: "layout" in
 * docs/benchmarks.md.
 */
import * as mem from '#mem'
import type { Held, MemoryOf } from './flavours.js'
import type { Scalar } from './types.js'

export interface WordBased extends Held {
  /** Address / 4. */
  readonly baseWord: number
}
export interface ByteBased extends Held {
  /** Address. */
  readonly baseByte: number
}

/**
 * A getter and a setter. The setter does not look at the value: checked-properties.ts does, once
 * for all.
 */
export interface Property<Self, Value> {
  get: (this: Self) => Value
  set: (this: Self, value: Value) => void
}
type Maker<Self, Value> = (of: MemoryOf, offset: number) => Property<Self, Value>

const {
  loadU8,
  storeU8,
  load8,
  store8,
  loadU16,
  storeU16,
  load16,
  store16,
  loadU32,
  storeU32,
  load32,
  store32,
  loadU64,
  storeU64,
  loadF32,
  storeF32,
  loadF64,
  storeF64,
  loadBigU16,
  storeBigU16,
  loadBig16,
  storeBig16,
  loadBigU32,
  storeBigU32,
  loadBig32,
  storeBig32,
  loadBigU64,
  storeBigU64,
  loadBigF32,
  storeBigF32,
  loadBigF64,
  storeBigF64,
} = mem

/** In structs aligned to 4 bytes or more. */
const little: {
  readonly u8: Maker<WordBased, number>
  readonly i8: Maker<WordBased, number>
  readonly u16: Maker<WordBased, number>
  readonly i16: Maker<WordBased, number>
  readonly u32: Maker<WordBased, number>
  readonly i32: Maker<WordBased, number>
  readonly u64: Maker<WordBased, bigint>
  readonly f32: Maker<WordBased, number>
  readonly f64: Maker<WordBased, number>
} = {
  u8(of, offset) {
    const at = offset
    return {
      get() {
        return loadU8(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeU8(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  i8(of, offset) {
    const at = offset
    return {
      get() {
        return load8(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        store8(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  u16(of, offset) {
    const at = offset / 2
    return {
      get() {
        return loadU16(of(this).u16, this.baseWord * 2 + at)
      },
      set(value) {
        storeU16(of(this).u16, this.baseWord * 2 + at, value)
      },
    }
  },
  i16(of, offset) {
    const at = offset / 2
    return {
      get() {
        return load16(of(this).i16, this.baseWord * 2 + at)
      },
      set(value) {
        store16(of(this).i16, this.baseWord * 2 + at, value)
      },
    }
  },
  u32(of, offset) {
    const at = offset / 4
    return {
      get() {
        return loadU32(of(this).u32, this.baseWord + at)
      },
      set(value) {
        storeU32(of(this).u32, this.baseWord + at, value)
      },
    }
  },
  i32(of, offset) {
    const at = offset / 4
    return {
      get() {
        return load32(of(this).i32, this.baseWord + at)
      },
      set(value) {
        store32(of(this).i32, this.baseWord + at, value)
      },
    }
  },
  u64(of, offset) {
    const at = offset / 8
    return {
      get() {
        return loadU64(of(this).u64, (this.baseWord >> 1) + at)
      },
      set(value) {
        storeU64(of(this).u64, (this.baseWord >> 1) + at, value)
      },
    }
  },
  f32(of, offset) {
    const at = offset / 4
    return {
      get() {
        return loadF32(of(this).f32, this.baseWord + at)
      },
      set(value) {
        storeF32(of(this).f32, this.baseWord + at, value)
      },
    }
  },
  f64(of, offset) {
    const at = offset / 8
    return {
      get() {
        return loadF64(of(this).f64, (this.baseWord >> 1) + at)
      },
      set(value) {
        storeF64(of(this).f64, (this.baseWord >> 1) + at, value)
      },
    }
  },
}

const bigEndian: {
  readonly u16: Maker<WordBased, number>
  readonly i16: Maker<WordBased, number>
  readonly u32: Maker<WordBased, number>
  readonly i32: Maker<WordBased, number>
  readonly u64: Maker<WordBased, bigint>
  readonly f32: Maker<WordBased, number>
  readonly f64: Maker<WordBased, number>
} = {
  u16(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigU16(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBigU16(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  i16(of, offset) {
    const at = offset
    return {
      get() {
        return loadBig16(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBig16(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  u32(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigU32(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBigU32(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  i32(of, offset) {
    const at = offset
    return {
      get() {
        return loadBig32(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBig32(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  u64(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigU64(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBigU64(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  f32(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigF32(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBigF32(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
  f64(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigF64(of(this).bytes, this.baseWord * 4 + at)
      },
      set(value) {
        storeBigF64(of(this).bytes, this.baseWord * 4 + at, value)
      },
    }
  },
}

/** In structs aligned to 1 or 2 bytes, which hold nothing wider. */
const smallLittle: {
  readonly u8: Maker<ByteBased, number>
  readonly i8: Maker<ByteBased, number>
  readonly u16: Maker<ByteBased, number>
  readonly i16: Maker<ByteBased, number>
} = {
  u8(of, offset) {
    const at = offset
    return {
      get() {
        return loadU8(of(this).bytes, this.baseByte + at)
      },
      set(value) {
        storeU8(of(this).bytes, this.baseByte + at, value)
      },
    }
  },
  i8(of, offset) {
    const at = offset
    return {
      get() {
        return load8(of(this).bytes, this.baseByte + at)
      },
      set(value) {
        store8(of(this).bytes, this.baseByte + at, value)
      },
    }
  },
  u16(of, offset) {
    const at = offset
    return {
      get() {
        return loadU16(of(this).u16, (this.baseByte + at) / 2)
      },
      set(value) {
        storeU16(of(this).u16, (this.baseByte + at) / 2, value)
      },
    }
  },
  i16(of, offset) {
    const at = offset
    return {
      get() {
        return load16(of(this).i16, (this.baseByte + at) / 2)
      },
      set(value) {
        store16(of(this).i16, (this.baseByte + at) / 2, value)
      },
    }
  },
}

const smallBig: {
  readonly u16: Maker<ByteBased, number>
  readonly i16: Maker<ByteBased, number>
} = {
  u16(of, offset) {
    const at = offset
    return {
      get() {
        return loadBigU16(of(this).bytes, this.baseByte + at)
      },
      set(value) {
        storeBigU16(of(this).bytes, this.baseByte + at, value)
      },
    }
  },
  i16(of, offset) {
    const at = offset
    return {
      get() {
        return loadBig16(of(this).bytes, this.baseByte + at)
      },
      set(value) {
        storeBig16(of(this).bytes, this.baseByte + at, value)
      },
    }
  },
}

export type AnyProperty<Self> = Property<Self, number> | Property<Self, bigint>

/** The property of `scalar` at byte `offset` of a struct aligned to at least 4 bytes. */
export function wordProperty(scalar: Scalar, of: MemoryOf, offset: number): AnyProperty<WordBased> {
  const { name } = scalar
  if (scalar.big && name !== 'u8' && name !== 'i8') return bigEndian[name](of, offset)
  return little[name](of, offset)
}

/**
 * The property of `scalar`, of 1 or 2 bytes, at byte `offset` of a struct aligned to less than 4.
 */
export function byteProperty(
  scalar: Scalar<'u8' | 'i8' | 'u16' | 'i16'>,
  of: MemoryOf,
  offset: number,
): AnyProperty<ByteBased> {
  const { name } = scalar
  if (scalar.big && (name === 'u16' || name === 'i16')) return smallBig[name](of, offset)
  return smallLittle[name](of, offset)
}

export function isNarrow(scalar: Scalar): scalar is Scalar<'u8' | 'i8' | 'u16' | 'i16'> {
  return scalar.size < 4
}
