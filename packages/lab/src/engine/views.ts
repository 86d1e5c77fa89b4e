/**
 * The views that the lab's `#mem` hands out in place of typed arrays, and the lab's own record of
 * each buffer: the last step that touched each word.
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

/** The arrays of a view. */
export const NUMBERS = 0
export const BIGINTS = 1
export const BYTES = 2

/** Kinds of words, as their layouts say. */
export const UNKNOWN = 0
export const RACY = 1

/**
 * The lab's record of a buffer, for each of its words of 32 bits. All zero while no exploration
 * runs.
 */
export class Shadow {
  /** The last step that accessed the word, plus one; 0 for none. */
  readonly accesses: Int32Array
  /** The last step that changed who waits on the word, plus one. */
  readonly queues: Int32Array
  /** {@link RACY} for words of which any value is tolerated, {@link UNKNOWN} for others. */
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
    /** NUMBERS, BIGINTS or BYTES: the array that the view has. */
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
