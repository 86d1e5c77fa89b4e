/**
 * The numbers of percpu.i32() and its like: a class for each kind and memory, with functions of its
 * own.
 *
 * A class that closes over its memory knows the views as constants. Functions that several kinds
 * share see several views, and are slow wherever they are not inlined. Nanoseconds of `add(1)` on
 * Node 20 (AMD EPYC, November 2026):
 *
 *                                                  as   one class for  functions shared  typed
 *                                                here    all memories      by all kinds  array
 *     an object that the compiler knows           0.6             0.6               0.6    0.6
 *     one of 64 objects                           2.0             4.3               1.9    1.6
 *     a loop that is compiled in its middle       1.6             3.7               1.9    1.5
 *     48 such calls in a function: not inlined    5.7             7.5              35      0.3
 *     one of 8 objects of as many machines       15               5                72
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { racy } from '../layout/kinds.js'
import { struct } from '../layout/struct.js'
import { f32, f64, i16, i32, i8, u16, u32, u64, u8, type ScalarName } from '../layout/types.js'
import { checkBigInt, checkWord } from '../machine/check.js'
import type { Copies } from './copies.js'
import { PercpuScalar, type CopyStruct } from './scalar-object.js'

// Copied out of their module for the compiler, which checks an import at each use.
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
} = mem

export type ScalarValue<Name extends ScalarName> = Name extends 'u64' ? bigint : number

type Classes = {
  readonly [Name in ScalarName]: new (
    copies: Copies,
    struct: CopyStruct<ScalarValue<Name>>,
  ) => PercpuScalar<ScalarValue<Name>>
}

/** Sums of integers are cut to their size as they are stored. */
function classesOf(memory: Memory): Classes {
  const fixed = memory
  return {
    u8: class PercpuU8 extends PercpuScalar<number> {
      get local(): number {
        return loadU8(fixed.bytes, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        storeU8(fixed.bytes, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        storeU8(fixed.bytes, index, (loadU8(fixed.bytes, index) + value) | 0)
      }
    },
    i8: class PercpuI8 extends PercpuScalar<number> {
      get local(): number {
        return load8(fixed.bytes, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        store8(fixed.bytes, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        store8(fixed.bytes, index, (load8(fixed.bytes, index) + value) | 0)
      }
    },
    u16: class PercpuU16 extends PercpuScalar<number> {
      get local(): number {
        return loadU16(fixed.u16, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        storeU16(fixed.u16, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        storeU16(fixed.u16, index, (loadU16(fixed.u16, index) + value) | 0)
      }
    },
    i16: class PercpuI16 extends PercpuScalar<number> {
      get local(): number {
        return load16(fixed.i16, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        store16(fixed.i16, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        store16(fixed.i16, index, (load16(fixed.i16, index) + value) | 0)
      }
    },
    u32: class PercpuU32 extends PercpuScalar<number> {
      get local(): number {
        return loadU32(fixed.u32, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        storeU32(fixed.u32, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        storeU32(fixed.u32, index, (loadU32(fixed.u32, index) + value) | 0)
      }
    },
    i32: class PercpuI32 extends PercpuScalar<number> {
      get local(): number {
        return load32(fixed.i32, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        store32(fixed.i32, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        store32(fixed.i32, index, (load32(fixed.i32, index) + value) | 0)
      }
    },
    u64: class PercpuU64 extends PercpuScalar<bigint> {
      get local(): bigint {
        return loadU64(fixed.u64, this.index)
      }
      set local(value: bigint) {
        if (typeof value !== 'bigint') checkBigInt('value', value)
        storeU64(fixed.u64, this.index, value)
      }
      add(value: bigint): void {
        if (typeof value !== 'bigint') checkBigInt('value', value)
        const { index } = this
        storeU64(fixed.u64, index, loadU64(fixed.u64, index) + value)
      }
    },
    f32: class PercpuF32 extends PercpuScalar<number> {
      get local(): number {
        return loadF32(fixed.f32, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        storeF32(fixed.f32, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        storeF32(fixed.f32, index, loadF32(fixed.f32, index) + value)
      }
    },
    f64: class PercpuF64 extends PercpuScalar<number> {
      get local(): number {
        return loadF64(fixed.f64, this.index)
      }
      set local(value: number) {
        if (typeof value !== 'number') checkWord('value', value)
        storeF64(fixed.f64, this.index, value)
      }
      add(value: number): void {
        if (typeof value !== 'number') checkWord('value', value)
        const { index } = this
        storeF64(fixed.f64, index, loadF64(fixed.f64, index) + value)
      }
    },
  }
}

/** As which struct a copy is seen by other CPUs. */
const structs: { readonly [Name in ScalarName]: CopyStruct<ScalarValue<Name>> } = {
  u8: struct('PercpuU8', { value: racy(u8) }),
  i8: struct('PercpuI8', { value: racy(i8) }),
  u16: struct('PercpuU16', { value: racy(u16) }),
  i16: struct('PercpuI16', { value: racy(i16) }),
  u32: struct('PercpuU32', { value: racy(u32) }),
  i32: struct('PercpuI32', { value: racy(i32) }),
  u64: struct('PercpuU64', { value: racy(u64) }),
  f32: struct('PercpuF32', { value: racy(f32) }),
  f64: struct('PercpuF64', { value: racy(f64) }),
}

const known = new WeakMap<Memory, Classes>()

/** A number of the class of this kind and memory. */
export function makeScalar<Name extends ScalarName>(
  name: Name,
  copies: Copies,
): PercpuScalar<ScalarValue<Name>> {
  const classes = known.get(copies.memory) ?? classesOf(copies.memory)
  known.set(copies.memory, classes)
  return new classes[name](copies, structs[name])
}
