export { PAGE_BYTES } from '../arithmetic.js'
export { AtomicAddress } from './addresses.js'
export { AtomicI32, AtomicU32, AtomicU64, type ReadonlyCell } from './atomic-cells.js'
export type { ArrayView, AtomicArrayView, ReadonlyArrayView, StructArrayView } from './array-views.js'
export type { TypedArray } from './array-copies.js'
export type { ReadonlyTextArray, TextArray } from './text-fields.js'
export type { Contracts, Limit } from './contracts.js'
export { describe, type FieldDescription, type LayoutDescription } from './describe.js'
export { DraftError, LayoutError, type LayoutFault } from './errors.js'
export { aligned, atomic, locked, owner, published, racy } from './kinds.js'
export { dump } from './read.js'
export { isStruct } from './brand.js'
export { struct, type StructOptions } from './struct.js'
export type { Accessor, Draft, Infer, Journalled, ReadonlyAccessor, StructView } from './accessor-types.js'
export type { AnyStruct, Path, Struct } from './struct-type.js'
export {
  address,
  array,
  big,
  bytes,
  CACHE_LINE,
  f32,
  f64,
  flexible,
  i16,
  i32,
  i8,
  pad,
  text,
  u16,
  u32,
  u64,
  u8,
  type AddressType,
  type Alignment,
  type ArrayType,
  type Field,
  type FieldInfo,
  type Fields,
  type FieldSpec,
  type FlexibleType,
  type Kind,
  type Member,
  type Pad,
  type Scalar,
  type ScalarName,
  type StructType,
  type TextType,
  type Type,
} from './types.js'
export {
  diffLock,
  layoutCommand,
  structsOf,
  type CollectOptions,
  type LayoutCommandOptions,
  type LayoutLock,
} from './collect.js'
export { diff, formatDiff, type ChangeKind, type LayoutChange } from './diff.js'
export { report, summarize, type LayoutSummary, type ReportOptions } from './report.js'
