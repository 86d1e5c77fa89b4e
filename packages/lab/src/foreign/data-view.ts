/** The methods of DataView, through the access. */
import { dataTypes, foreignAccess, type DataType } from './access.js'
import { toIndex, toNumber } from './convert.js'

const sizes: Record<DataType, number> = {
  Int8: 1,
  Uint8: 1,
  Int16: 2,
  Uint16: 2,
  Int32: 4,
  Uint32: 4,
  Float32: 4,
  Float64: 8,
  BigInt64: 8,
  BigUint64: 8,
}

type Method = (view: DataView<SharedArrayBuffer>, args: readonly unknown[]) => unknown
const methods = new Map<unknown, Method>()

/** The replacement of a method of DataView's prototype; undefined for other functions. */
export function dataMethod(native: unknown): Method | undefined {
  return methods.get(native)
}

/**
 * Checks an offset against the view. The language does that after it has converted offset and
 * value.
 */
function check(view: DataView, type: DataType, offset: number): void {
  if (offset + sizes[type] > view.byteLength)
    throw new RangeError('Offset is outside the bounds of the DataView')
}

function toDataElement(type: DataType, value: unknown): number | bigint {
  return type.startsWith('Big') ? BigInt.asIntN(64, value as bigint) : toNumber(value)
}

for (const type of dataTypes) {
  methods.set(Reflect.get(DataView.prototype, `get${type}`), (view, [offset, littleEndian]) => {
    const at = toIndex(offset, 'Offset')
    check(view, type, at)
    return foreignAccess().loadData(view, type, at, Boolean(littleEndian))
  })
  methods.set(Reflect.get(DataView.prototype, `set${type}`), (view, [offset, value, littleEndian]) => {
    const at = toIndex(offset, 'Offset')
    const element = toDataElement(type, value)
    check(view, type, at)
    foreignAccess().storeData(view, type, at, element, Boolean(littleEndian))
  })
}
