/** Names of the methods of typed arrays and DataViews that touch elements. */
import { dataTypes } from './access.js'

// prettier-ignore
const arrayMethods = [
  'at', 'copyWithin', 'entries', 'every', 'fill', 'filter', 'find', 'findIndex', 'findLast', 'findLastIndex',
  'forEach', 'includes', 'indexOf', 'join', 'lastIndexOf', 'map', 'reduce', 'reduceRight', 'reverse', 'set', 'slice',
  'some', 'sort', 'toLocaleString', 'toReversed', 'toSorted', 'toString', 'values', 'with',
]
const dataMethods = dataTypes.flatMap((type) => [`get${type}`, `set${type}`])

export const accessMethods: ReadonlySet<string> = new Set([...arrayMethods, ...dataMethods])
