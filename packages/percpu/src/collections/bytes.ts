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
const bufferOf = (value: unknown): unknown => getters['buffer']?.get.call(value)
const offsetOf = (value: unknown): unknown => getters['byteOffset']?.get.call(value)

const takenAway = 'a Uint8Array whose memory was taken away or is being changed'
/** A view of the same bytes, of no class of the user's. No code of the value runs. */
export function viewOf(what: string, value: unknown): Uint8Array {
  checkBytes(what, value)
  try {
    return new Uint8Array(
      bufferOf(value) as ArrayBuffer,
      offsetOf(value) as number,
      lengthOf(value) as number,
    )
  } catch {
    throw refused(what, value, takenAway)
  }
}
function checkBytes(what: string, value: unknown): void {
  if (tagOf(value) !== 'Uint8Array') throw refused(what, value, 'not a Uint8Array')
}

/** Copies bytes; false if they are more than `limit`. No code of the value runs. */
export function encodeBytes(what: string, value: unknown, into: Scratch, limit: number): boolean {
  checkBytes(what, value)
  const length = lengthOf(value) as number
  if (length > limit) return false
  into.reserve(length)
  try {
    into.bytes.set(value as Uint8Array)
  } catch {
    // Its length says 0 then; or it has grown meanwhile.
    throw refused(what, value, takenAway)
  }
  into.end(length)
  return true
}
export function decodeBytes({ bytes, length }: Scratch): Uint8Array {
  return bytes.slice(0, length)
}
