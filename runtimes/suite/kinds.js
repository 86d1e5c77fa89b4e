// The collections that all threads of the suite open.

export const mapOf = { key: 'string', value: 'json' }
export const rangesOf = { key: 'u32', value: 'string' }
export const ringOf = { value: 'json', bytes: '4 KiB' }
export const sparseOf = { value: 'u32' }
