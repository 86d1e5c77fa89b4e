/** Formats of numbers in bytes. An access of the view of bytes has its format as an operand. */

export const I8 = 0
export const U8 = 1
export const I16_BIG = 2
export const U16_BIG = 3
export const I32_BIG = 4
export const U32_BIG = 5
export const U64_BIG = 6
export const F32_BIG = 7
export const F64_BIG = 8
export const I64_BIG = 9
/** Added to a format for the other byte order, which only foreign code uses. */
export const LITTLE = 16
const formatBytes = [1, 1, 2, 2, 4, 4, 8, 4, 8, 8]

export function bytesOfFormat(format: number): number {
  return formatBytes[format & ~LITTLE] as number
}

export function loadFormat(view: DataView, address: number, format: number): number | bigint {
  const little = format >= LITTLE
  switch (format & ~LITTLE) {
    case I8:
      return view.getInt8(address)
    case U8:
      return view.getUint8(address)
    case I16_BIG:
      return view.getInt16(address, little)
    case U16_BIG:
      return view.getUint16(address, little)
    case I32_BIG:
      return view.getInt32(address, little)
    case U32_BIG:
      return view.getUint32(address, little)
    case U64_BIG:
      return view.getBigUint64(address, little)
    case I64_BIG:
      return view.getBigInt64(address, little)
    case F32_BIG:
      return view.getFloat32(address, little)
    default:
      return view.getFloat64(address, little)
  }
}

export function storeFormat(view: DataView, address: number, format: number, value: number | bigint): void {
  const little = format >= LITTLE
  switch (format & ~LITTLE) {
    case I8:
    case U8:
      view.setUint8(address, value as number)
      return
    case I16_BIG:
    case U16_BIG:
      view.setUint16(address, value as number, little)
      return
    case I32_BIG:
    case U32_BIG:
      view.setUint32(address, value as number, little)
      return
    case U64_BIG:
    case I64_BIG:
      view.setBigUint64(address, value as bigint, little)
      return
    case F32_BIG:
      view.setFloat32(address, value as number, little)
      return
    default:
      view.setFloat64(address, value as number, little)
  }
}
