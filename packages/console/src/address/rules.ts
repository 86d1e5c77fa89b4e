/** What is taken for an address beyond what it strictly is. */
import { parseAddress, withoutPort, type Address } from './parse.js'

export interface AddressRules {
  /** `1.0.1.1:443` and `[2001:db8::1]:443` are the addresses without the port. */
  readonly stripPort: boolean
  /** Addresses of `64:ff9b::/96` (RFC 6052) are the IPv4 addresses in their last 32 bits. */
  readonly nat64: boolean
}

export const STRICT: AddressRules = { stripPort: false, nat64: false }

/** The address that `text` is by these rules, or undefined. A few hundred ns. */
export function readAddress(text: string, { stripPort, nat64 }: AddressRules): Address | undefined {
  const address = parseAddress(text) ?? (stripPort ? parseAddress(withoutPort(text)) : undefined)
  if (nat64 && address?.family === 6 && isNat64(address.words)) return { family: 4, word: address.words[3] }
  return address
}

/** Whether the words are of the well-known prefix of NAT64. */
export function isNat64(words: ArrayLike<number>): boolean {
  return words[0] === 0x64_ff9b && words[1] === 0 && words[2] === 0
}
