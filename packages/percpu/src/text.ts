/** UTF-8, for names and for text in structs. */

interface Codecs {
  readonly TextEncoder: new () => { encode(text: string): Uint8Array }
  readonly TextDecoder: new (
    label: string,
    options: { readonly ignoreBOM: boolean },
  ) => { decode(bytes: Uint8Array): string }
}
const { TextEncoder, TextDecoder } = globalThis as unknown as Codecs
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
