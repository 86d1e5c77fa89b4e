/** UTF-8, for names and for text in structs. */

interface Codecs {
  readonly TextEncoder: new () => {
    encode(text: string): Uint8Array
    encodeInto(text: string, into: Uint8Array): { written: number }
  }
  readonly TextDecoder: new (
    label: string,
    options: { readonly ignoreBOM: boolean; readonly fatal?: boolean },
  ) => { decode(bytes: Uint8Array): string }
}
interface Host extends Codecs {
  readonly process?: { getBuiltinModule?: (name: 'node:util') => Codecs }
}
const host = globalThis as unknown as Host
/** jsdom's globals, as jest has them, lack the engine's functions; Node has them elsewhere, too. */
const isMissing = typeof host.TextEncoder !== 'function'
export const { TextEncoder, TextDecoder }: Codecs =
  (isMissing ? host.process?.getBuiltinModule?.('node:util') : undefined) ?? host
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text)
}
/** Of private bytes only: decoding shared ones can crash the engine. What is no UTF-8 is U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}
/** Whether the text has no half of a surrogate pair. `bytes`: its UTF-8. */
export function isWellFormed(text: string, bytes: Uint8Array): boolean {
  return decodeText(bytes) === text
}
