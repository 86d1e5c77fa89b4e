/** Accesses of any width to real shared memory, with values as bits: signed integers. */

type Words = Int8Array | Int16Array | Int32Array | BigInt64Array

export class WordAccess {
  readonly #buffer: SharedArrayBuffer

  constructor(buffer: SharedArrayBuffer) {
    this.#buffer = buffer
  }

  load(address: number, bytes: number, isAtomic: boolean): bigint {
    const words = this.#words(address, bytes)
    if (isAtomic) return BigInt(Atomics.load(words as Int32Array, 0))
    return BigInt(words[0] ?? 0)
  }

  store(address: number, bytes: number, value: bigint, isAtomic: boolean): void {
    const words = this.#words(address, bytes)
    const given = this.#given(bytes, value)
    if (isAtomic) Atomics.store(words as Int32Array, 0, given)
    else words[0] = given
  }

  /** Gives the bits before. */
  modify(
    name: 'add' | 'sub' | 'and' | 'or' | 'xor' | 'exchange',
    address: number,
    bytes: number,
    value: bigint,
  ): bigint {
    const words = this.#words(address, bytes) as Int32Array
    return BigInt(Atomics[name](words, 0, this.#given(bytes, value)))
  }

  compareExchange(address: number, bytes: number, expected: bigint, value: bigint): bigint {
    const words = this.#words(address, bytes) as Int32Array
    return BigInt(Atomics.compareExchange(words, 0, this.#given(bytes, expected), this.#given(bytes, value)))
  }

  /** Waits until the word is notified, whatever value it has now. */
  wait(address: number, timeout: number): Promise<string> {
    const words = this.#words(address, 4) as Int32Array
    const result = Atomics.waitAsync(words, 0, Atomics.load(words, 0), timeout)
    return Promise.resolve(result.value)
  }

  notify(address: number, count: number): number {
    return Atomics.notify(this.#words(address, 4) as Int32Array, 0, count)
  }

  /**
   * The value as the view of that width takes it. Typed arrays take numbers or bigints by their
   * width; the types here say number.
   */
  #given(bytes: number, value: bigint): number {
    return (bytes === 8 ? value : Number(BigInt.asIntN(bytes * 8, value))) as number
  }

  /** A view whose element 0 is the word. */
  #words(address: number, bytes: number): Words {
    const arrays = { 1: Int8Array, 2: Int16Array, 4: Int32Array, 8: BigInt64Array }
    const View = arrays[bytes as 1 | 2 | 4 | 8] as Int32ArrayConstructor
    return new View(this.#buffer, address, 1)
  }
}
