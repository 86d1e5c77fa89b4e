/**
 * The numbers of percpu.i32() and its like: a class for each kind. Each has code of its own: functions that were shared by several
 * kinds would see several views, and cost up to fifty times the access itself.
 *
 * Sums of integers are cut to their size as they are stored.
 */
import * as mem from '#mem'
import type { ScalarName } from '../layout/types.js'
import type { Place } from './place.js'
import { PercpuScalar } from './scalar-handle.js'

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

class PercpuU8 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 1)
  }
  get local(): number {
    return loadU8(this.memory.bytes, this.index)
  }
  set local(value: number) {
    storeU8(this.memory.bytes, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.bytes
    const { index } = this
    storeU8(view, index, (loadU8(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return loadU8(this.memory.bytes, address)
  }
  protected write(address: number, value: number): void {
    storeU8(this.memory.bytes, address, value)
  }
}

class PercpuI8 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 1)
  }
  get local(): number {
    return load8(this.memory.bytes, this.index)
  }
  set local(value: number) {
    store8(this.memory.bytes, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.bytes
    const { index } = this
    store8(view, index, (load8(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return load8(this.memory.bytes, address)
  }
  protected write(address: number, value: number): void {
    store8(this.memory.bytes, address, value)
  }
}

class PercpuU16 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 2)
  }
  get local(): number {
    return loadU16(this.memory.u16, this.index)
  }
  set local(value: number) {
    storeU16(this.memory.u16, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.u16
    const { index } = this
    storeU16(view, index, (loadU16(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return loadU16(this.memory.u16, address / 2)
  }
  protected write(address: number, value: number): void {
    storeU16(this.memory.u16, address / 2, value)
  }
}

class PercpuI16 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 2)
  }
  get local(): number {
    return load16(this.memory.i16, this.index)
  }
  set local(value: number) {
    store16(this.memory.i16, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.i16
    const { index } = this
    store16(view, index, (load16(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return load16(this.memory.i16, address / 2)
  }
  protected write(address: number, value: number): void {
    store16(this.memory.i16, address / 2, value)
  }
}

class PercpuU32 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 4)
  }
  get local(): number {
    return loadU32(this.memory.u32, this.index)
  }
  set local(value: number) {
    storeU32(this.memory.u32, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.u32
    const { index } = this
    storeU32(view, index, (loadU32(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return loadU32(this.memory.u32, address / 4)
  }
  protected write(address: number, value: number): void {
    storeU32(this.memory.u32, address / 4, value)
  }
}

class PercpuI32 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 4)
  }
  get local(): number {
    return load32(this.memory.i32, this.index)
  }
  set local(value: number) {
    store32(this.memory.i32, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.i32
    const { index } = this
    store32(view, index, (load32(view, index) + value) | 0)
  }
  protected read(address: number): number {
    return load32(this.memory.i32, address / 4)
  }
  protected write(address: number, value: number): void {
    store32(this.memory.i32, address / 4, value)
  }
}

class PercpuU64 extends PercpuScalar<bigint> {
  constructor(place: Place) {
    super(place, 8)
  }
  get local(): bigint {
    return loadU64(this.memory.u64, this.index)
  }
  set local(value: bigint) {
    storeU64(this.memory.u64, this.index, value)
  }
  add(value: bigint): void {
    const view = this.memory.u64
    const { index } = this
    storeU64(view, index, loadU64(view, index) + value)
  }
  protected read(address: number): bigint {
    return loadU64(this.memory.u64, address / 8)
  }
  protected write(address: number, value: bigint): void {
    storeU64(this.memory.u64, address / 8, value)
  }
}

class PercpuF32 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 4)
  }
  get local(): number {
    return loadF32(this.memory.f32, this.index)
  }
  set local(value: number) {
    storeF32(this.memory.f32, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.f32
    const { index } = this
    storeF32(view, index, loadF32(view, index) + value)
  }
  protected read(address: number): number {
    return loadF32(this.memory.f32, address / 4)
  }
  protected write(address: number, value: number): void {
    storeF32(this.memory.f32, address / 4, value)
  }
}

class PercpuF64 extends PercpuScalar<number> {
  constructor(place: Place) {
    super(place, 8)
  }
  get local(): number {
    return loadF64(this.memory.f64, this.index)
  }
  set local(value: number) {
    storeF64(this.memory.f64, this.index, value)
  }
  add(value: number): void {
    const view = this.memory.f64
    const { index } = this
    storeF64(view, index, loadF64(view, index) + value)
  }
  protected read(address: number): number {
    return loadF64(this.memory.f64, address / 8)
  }
  protected write(address: number, value: number): void {
    storeF64(this.memory.f64, address / 8, value)
  }
}

export type ScalarValue<Name extends ScalarName> = Name extends 'u64' ? bigint : number

const classes: { readonly [Name in ScalarName]: new (place: Place) => PercpuScalar<ScalarValue<Name>> } = {
  u8: PercpuU8,
  i8: PercpuI8,
  u16: PercpuU16,
  i16: PercpuI16,
  u32: PercpuU32,
  i32: PercpuI32,
  u64: PercpuU64,
  f32: PercpuF32,
  f64: PercpuF64,
}

/** A handle of the right class. */
export function makeScalar<Name extends ScalarName>(
  name: Name,
  place: Place,
): PercpuScalar<ScalarValue<Name>> {
  return new classes[name](place)
}
