/**
 * The words of a table of address ranges in shared memory.
 *
 *     directory 'asn' ──▶ TableRoot.current ──▶ TableHeader │ columns …
 *                                               one memblock region, in units of 64 bytes
 *
 *     index4     first row with a start of at least h × 2^16, for h = 0 … 65536   1 word each
 *     starts4    start of each IPv4 row, ascending                                1 word
 *     tails4     its last address, its entry                                      2 words
 *     index6     first row whose first word is at least (base + b) << shift       1 word each
 *     keys6      first 53 bits of each IPv6 row's start, ascending                1 exact double
 *     tails6     its last address, the start's other words (some bits twice),
 *                its entry                                                        4 + 3 + 1 words
 *     entries    AS number; name's offset in words, and its length in bytes       3 words
 *     nameText   each different organisation name once, from a word on: a JSON
 *                string literal (quotes included) in UTF-8
 *
 * Rules: `current` is atomic, every other word is published. The loader writes it before its
 * address is stored in `current`. It never changes after, and is freed a grace period after
 * `current` has moved on. Words of addresses are stored with their top bit flipped ({@link BIAS}),
 * so that signed comparison orders them. Names are stored as JSON literals because that is the form
 * in which nearly all of them leave again.
 */
import { atomic, i32, published, struct, u32 } from 'percpu'

/** Flips the top bit: the order of unsigned words becomes that of signed ones. */
export const BIAS = 0x8000_0000 | 0

/** `current` counts in units of this many bytes. */
export const UNIT = 64

/** Words of one row of `tails4`, of `tails6`, and of one of `entries`. */
export const TAIL4_WORDS = 2
export const TAIL6_WORDS = 8
export const ENTRY_WORDS = 3

/**
 * The first 53 bits of an IPv6 address, from its first two words: as many as a float holds exactly.
 */
export function keyOf6(w0: number, w1: number): number {
  return (w0 >>> 0) * 2 ** 21 + (w1 >>> 11)
}
/** The first word of an address with this key. */
export function firstWordOf6(key: number): number {
  return (key / 2 ** 21) | 0
}

/** IPv4 addresses are indexed by their upper half. */
export const INDEX4_BUCKETS = 0x1_0000

export const TableRoot = struct('TableRoot', {
  /** Address of the current table in {@link UNIT}s, or 0 before the first one. root.ts */
  current: atomic(i32),
  /** Generation of the newest table. Only the thread that publishes writes it. root.ts */
  generation: atomic(i32),
})

/** Offsets of columns are in words from the start of the header. */
export const TableHeader = struct(
  'TableHeader',
  {
    /**
     * 1 for the first table of this root, then one more each time; written before publication, like
     * all of this.
     */
    generation: published(u32),
    /** Bytes of header and columns. */
    size: published(u32),
    rows4: published(u32),
    rows6: published(u32),
    entries: published(u32),
    names: published(u32),
    nameBytes: published(u32),
    /** Bytes of the longest name. */
    longestName: published(u32),
    index4: published(u32),
    starts4: published(u32),
    tails4: published(u32),
    index6: published(u32),
    /**
     * First words are shifted right by this many bits, and lessened by this base, to give their
     * bucket.
     */
    shift6: published(u32),
    base6: published(u32),
    buckets6: published(u32),
    keys6: published(u32),
    tails6: published(u32),
    entryWords: published(u32),
    nameText: published(u32),
  },
  { align: UNIT },
)
