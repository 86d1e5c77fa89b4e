/** Private memory in which keys and values are encoded and decoded: bytes that are also words. */

export class Scratch {
  /** The same memory. */
  bytes: Uint8Array<ArrayBuffer>
  words: Int32Array<ArrayBuffer>
  reals: Float64Array<ArrayBuffer>
  /** How many bytes of it are what was encoded. */
  length = 0

  /** `capacity`: bytes, a multiple of 8. */
  constructor(capacity: number) {
    const buffer = new ArrayBuffer(capacity)
    this.bytes = new Uint8Array(buffer)
    this.words = new Int32Array(buffer)
    this.reals = new Float64Array(buffer)
  }

  /** Makes room for so many bytes, and a word. What is there may be lost. */
  reserve(bytes: number): void {
    if (this.bytes.length >= bytes + 8) return
    const buffer = new ArrayBuffer(Math.max((bytes + 15) & -8, this.bytes.length * 2))
    this.bytes = new Uint8Array(buffer)
    this.words = new Int32Array(buffer)
    this.reals = new Float64Array(buffer)
  }

  /** Of what was encoded. */
  copy(): Scratch {
    const copy = new Scratch((this.length + 15) & -8)
    copy.bytes.set(this.bytes.subarray(0, this.length))
    copy.length = this.length
    return copy
  }

  /** So many bytes are what was encoded; those behind them in their last word are 0. */
  end(bytes: number): void {
    for (let i = bytes; (i & 3) !== 0; i++) this.bytes[i] = 0
    this.length = bytes
  }
}
