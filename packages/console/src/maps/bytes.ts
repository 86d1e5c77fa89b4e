import prettyBytes from 'pretty-bytes'

/** A number of bytes as people read it: `4 KiB`, `1.5 GiB`. */
export function bytesText(bytes: number): string {
  return prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 })
}
/** An address of a space, which is below 2^42. */
export function addressText(address: number): string {
  return address.toString(16).padStart(11, '0')
}
