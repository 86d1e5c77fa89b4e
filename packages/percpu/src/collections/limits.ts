/** How large the keys and values of collections are. */

/** Bits of an entry's word of lengths that are those of the key. */
export const KEY_BITS = 12
/** Most bytes of a key, and of a value. */
export const MAX_KEY_BYTES = 2 ** KEY_BITS - 1
export const MAX_VALUE_BYTES = 2 ** (32 - KEY_BITS) - 1
