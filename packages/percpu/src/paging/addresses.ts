/** Addresses of spaces, and ranges of them. */
import { PAGE_BYTES } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { checkMultiple } from '../machine/check.js'
import { SPACE_PAGES } from '../pagetable/entry.js'

/** Bytes of a space. */
export const SPACE_BYTES = SPACE_PAGES * PAGE_BYTES
/** Bytes of one copy. */
export const MAX_COPY_BYTES = 2 ** 31

/** A range of addresses that lies in a space. */
export interface Span {
  readonly address: number
  readonly bytes: number
  /** Its first page, and the one behind its last one. */
  readonly page: number
  readonly end: number
}

/**
 * The range of so many bytes from an address on.
 *
 * @throws ArgumentError unless both are multiples of `align`, and it lies in a space.
 */
export function checkSpan(address: number, bytes: number, align = PAGE_BYTES): Span {
  checkMultiple('address', address, align, 0, SPACE_BYTES - align)
  checkMultiple('bytes', bytes, align, 0, SPACE_BYTES)
  if (address + bytes > SPACE_BYTES)
    throw new ArgumentError(
      `bytes: ${bytes} from address ${address} on go beyond the end of a space at ${SPACE_BYTES}`,
      { address, bytes },
    )
  return spanOf(address, bytes)
}

/** No bytes lie in no page, wherever their address is. */
export function spanOf(address: number, bytes: number): Span {
  const page = Math.floor(address / PAGE_BYTES)
  return { address, bytes, page, end: bytes === 0 ? page : Math.ceil((address + bytes) / PAGE_BYTES) }
}

/** The parts of a range in each of its pages. */
export function* pagesOf({ address, bytes, page, end }: Span): Generator<{
  readonly page: number
  /** Where the part begins in the page, and in the range, and how many bytes it has. */
  readonly offset: number
  readonly at: number
  readonly count: number
}> {
  for (let each = page; each < end; each++) {
    const low = Math.max(address, each * PAGE_BYTES)
    const high = Math.min(address + bytes, (each + 1) * PAGE_BYTES)
    yield { page: each, offset: low - each * PAGE_BYTES, at: low - address, count: high - low }
  }
}
