/**
 * The views that the lab's `#mem` hands out in place of typed arrays, and what the lab keeps about each buffer: for every word, the
 * last step that touched it.
 */
export type NumberArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array

/** How the accesses of a view are carried out. */
export const NUMBERS = 0
export const BIGINTS = 1
export const BYTES = 2

/** Kinds of words, as their layouts say. */
export const UNKNOWN = 0
export const RACY = 1

/** What the lab knows of a buffer, word by word (32 bits each). All zero while no exploration runs. */
export class Shadow {
  /** The last step that accessed the word, plus one; 0 for none. */
  readonly accesses: Int32Array
  /** The last step that changed who waits on the word, plus one. */
  readonly queues: Int32Array
  /** {@link RACY} for words of which any value is tolerated. */
  readonly kinds: Uint8Array
  constructor(readonly buffer: SharedArrayBuffer) {
    const words = Math.ceil(buffer.byteLength / 4) + 1
    this.accesses = new Int32Array(words)
    this.queues = new Int32Array(words)
    this.kinds = new Uint8Array(words)
  }
}

/** One view of one buffer. */
export class LabView {
  readonly numbers: NumberArray
  readonly bigints: BigUint64Array | BigInt64Array
  readonly bytes: DataView
  constructor(
    /** NUMBERS, BIGINTS or BYTES: which of the three arrays is the real one. */
    readonly form: number,
    array: NumberArray | BigUint64Array | BigInt64Array | DataView,
    readonly shadow: Shadow,
    /** log2 of the bytes of an element; 0 for bytes. */
    readonly shift: number,
    readonly length: number,
  ) {
    this.numbers = (form === NUMBERS ? array : undefined) as NumberArray
    this.bigints = (form === BIGINTS ? array : undefined) as BigUint64Array | BigInt64Array
    this.bytes = (form === BYTES ? array : undefined) as DataView
  }
}

/** The views of one buffer. */
export interface LabMemory {
  readonly buffer: SharedArrayBuffer
  readonly byteLength: number
  readonly bytes: LabView
  readonly i16: LabView
  readonly u16: LabView
  readonly i32: LabView
  readonly u32: LabView
  readonly u64: LabView
  readonly f32: LabView
  readonly f64: LabView
}

const shadows = new WeakMap<SharedArrayBuffer, Shadow>()

export function shadowOf(buffer: SharedArrayBuffer): Shadow {
  let shadow = shadows.get(buffer)
  if (shadow === undefined) {
    shadow = new Shadow(buffer)
    shadows.set(buffer, shadow)
  }
  return shadow
}

export function openViews(buffer: SharedArrayBuffer): LabMemory {
  const shadow = shadowOf(buffer)
  const numbers = (array: NumberArray, shift: number) =>
    new LabView(NUMBERS, array, shadow, shift, array.length)
  const u64 = new BigUint64Array(buffer)
  return {
    buffer,
    byteLength: buffer.byteLength,
    bytes: new LabView(BYTES, new DataView(buffer), shadow, 0, buffer.byteLength),
    i16: numbers(new Int16Array(buffer), 1),
    u16: numbers(new Uint16Array(buffer), 1),
    i32: numbers(new Int32Array(buffer), 2),
    u32: numbers(new Uint32Array(buffer), 2),
    u64: new LabView(BIGINTS, u64, shadow, 3, u64.length),
    f32: numbers(new Float32Array(buffer), 2),
    f64: numbers(new Float64Array(buffer), 3),
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Accesses of the view of bytes: their format is an operand.

export const I8 = 0
export const U8 = 1
export const I16_BIG = 2
export const U16_BIG = 3
export const I32_BIG = 4
export const U32_BIG = 5
export const U64_BIG = 6
export const F32_BIG = 7
export const F64_BIG = 8
export const I64_BIG = 9
/** Added for the other byte order, which only foreign code uses. */
export const LITTLE = 16
const formatBytes = [1, 1, 2, 2, 4, 4, 8, 4, 8, 8]

export function bytesOfFormat(format: number): number {
  return formatBytes[format & ~LITTLE] as number
}

export function loadFormat(view: DataView, address: number, format: number): number | bigint {
  const little = format >= LITTLE
  switch (format & ~LITTLE) {
    case I8:
      return view.getInt8(address)
    case U8:
      return view.getUint8(address)
    case I16_BIG:
      return view.getInt16(address, little)
    case U16_BIG:
      return view.getUint16(address, little)
    case I32_BIG:
      return view.getInt32(address, little)
    case U32_BIG:
      return view.getUint32(address, little)
    case U64_BIG:
      return view.getBigUint64(address, little)
    case I64_BIG:
      return view.getBigInt64(address, little)
    case F32_BIG:
      return view.getFloat32(address, little)
    default:
      return view.getFloat64(address, little)
  }
}

export function storeFormat(view: DataView, address: number, format: number, value: number | bigint): void {
  const little = format >= LITTLE
  switch (format & ~LITTLE) {
    case I8:
    case U8:
      view.setUint8(address, value as number)
      return
    case I16_BIG:
    case U16_BIG:
      view.setUint16(address, value as number, little)
      return
    case I32_BIG:
    case U32_BIG:
      view.setUint32(address, value as number, little)
      return
    case U64_BIG:
    case I64_BIG:
      view.setBigUint64(address, value as bigint, little)
      return
    case F32_BIG:
      view.setFloat32(address, value as number, little)
      return
    default:
      view.setFloat64(address, value as number, little)
  }
}
