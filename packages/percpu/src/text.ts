/** UTF-8, for names and for text in structs. */

interface Codecs {
  readonly TextEncoder: new () => { encode(text: string): Uint8Array }
  readonly TextDecoder: new (
    label: string,
    options: { readonly ignoreBOM: boolean },
  ) => { decode(bytes: Uint8Array): string }
}
const codecs = globalThis as unknown as Codecs
/** Made when they are first needed: jsdom, as jest has it, has neither. */
let encoder: InstanceType<Codecs['TextEncoder']> | undefined
let decoder: InstanceType<Codecs['TextDecoder']> | undefined

export function encodeText(text: string): Uint8Array {
  return (encoder ??= new codecs.TextEncoder()).encode(text)
}
/** Of private bytes only: decoding shared ones can crash the engine. What is no UTF-8 is U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return (decoder ??= new codecs.TextDecoder('utf-8', { ignoreBOM: true })).decode(bytes)
}
/** Whether the text has no half of a surrogate pair. `bytes`: its UTF-8. */
export function isWellFormed(text: string, bytes: Uint8Array): boolean {
  return decodeText(bytes) === text
}
