/**
 * Fixed bounds of the shared format. Changing one changes the layout hash, and with it the handle
 * version.
 */

/** Version of the shared format; `join` refuses a handle of another one. */
export const FORMAT_VERSION = 1
/** First word of every machine's memory: "PRCU" in ASCII, little-endian. */
export const MAGIC = 0x55435250
/** Most possible CPUs: one bit each in a mask of {@link MASK_WORDS} words. */
export const MAX_CPUS = 256
export const MASK_WORDS = MAX_CPUS / 32
/** Most NUMA nodes. */
export const MAX_NODES = 8
/**
 * The granule of boot memory, one cache line: two regions never share a line. Stored addresses
 * count these units.
 */
export const UNIT = 64
/**
 * Most memblock regions at one time beside those of VPAs and dispatch logs, and bytes of a region's
 * label.
 */
export const MAX_REGIONS = 256
/** Most memblock regions at one time on a machine of that many possible CPUs. */
export function maxRegions(cpus: number): number {
  return MAX_REGIONS + 2 * cpus
}
export const LABEL_BYTES = 16
/** Most bytes (UTF-8) of a named object's name and type. */
export const NAME_BYTES = 56
export const TYPE_BYTES = 40
/** Largest memory: 2^31 32-bit words, so that a word index fits a machine integer. */
export const MAX_MEMORY = 8 * 2 ** 30
