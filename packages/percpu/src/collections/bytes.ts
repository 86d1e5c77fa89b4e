/** Bytes as users pass them. */
import { refused } from '../machine/check.js'
import type { Scratch } from './scratch.js'

type Getter = (this: unknown) => unknown
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object
const getters = Object.getOwnPropertyDescriptors(typedArray) as Readonly<
  Record<string | symbol, { readonly get: Getter }>
>
/** Those of the language, which run no code of the value. */
const tagOf = (value: unknown): unknown => getters[Symbol.toStringTag]?.get.call(value)
const lengthOf = (value: unknown): unknown => getters['length']?.get.call(value)

/** Copies bytes; false if they are more than `limit`. No code of the value runs. */
export function encodeBytes(what: string, value: unknown, into: Scratch, limit: number): boolean {
  if (tagOf(value) !== 'Uint8Array') throw refused(what, value, 'not a Uint8Array')
  const length = lengthOf(value) as number
  if (length > limit) return false
  into.reserve(length)
  try {
    into.bytes.set(value as Uint8Array)
  } catch {
    // Its length says 0 then; or it has grown meanwhile.
    throw refused(what, value, 'a Uint8Array whose memory was taken away or is being changed')
  }
  into.end(length)
  return true
}
export function decodeBytes({ bytes, length }: Scratch): Uint8Array {
  return bytes.slice(0, length)
}
