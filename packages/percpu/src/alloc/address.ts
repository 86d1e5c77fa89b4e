/**
 * Addresses in shared words. A byte address of an 8 GiB machine has 33 bits, a shared word 32, of
 * which one is the sign. So a word holds a *reference*: the address in units of 8 bytes. It is
 * below 2^30, positive, a small integer of every engine, and 0 means nothing (the header page is
 * nobody's object). Whatever the heap hands out has such an address.
 */
import { ArgumentError } from '../errors.js'

/** Bytes between two addresses that can be told apart in a reference. */
export const GRAIN = 8
export const PAGE_SHIFT = 12
/** References in a page, as a shift. */
export const PAGE_REF_SHIFT = PAGE_SHIFT - 3

/**
 * The reference of an address.
 *
 * @throws ArgumentError unless it is a multiple of {@link GRAIN} below 8 GiB.
 */
export function toReference(address: number): number {
  const reference = address / GRAIN
  if ((reference | 0) === reference && reference >= 0) return reference
  throw new ArgumentError(`address ${address} is no multiple of ${GRAIN} from 0 to 8 GiB`, { address })
}

/** The address of a reference. */
export function toAddress(reference: number): number {
  return reference * GRAIN
}
