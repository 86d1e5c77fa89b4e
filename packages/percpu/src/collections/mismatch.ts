/** What a collection was made for, beside what it is opened for, in the words of messages. */
import { isStruct } from '../layout/index.js'
import type { MapValueType } from './values.js'

/** In place of a kind: the messages or values are structs. */
export const STRUCTS = 'struct'

/**
 * How those of a collection differ from what was asked for; undefined if they do not. `what`:
 * `keys`, `values` or `messages`.
 */
export function kindDifference(what: string, found: string, wanted: string): string | undefined {
  return found === wanted ? undefined : `${what} of kind '${found}', not '${wanted}'`
}

/** As that, of values that are known to differ, and may be structs. */
export function valueDifference(what: string, found: string, wanted: MapValueType): string {
  if (!isStruct(wanted)) return `${what} of ${kindOf(found)}, not '${wanted}'`
  if (found === STRUCTS)
    return `${what} of another struct than ${wanted.name}: its layout or its name differs`
  return `${what} of kind '${found}', not of struct ${wanted.name}`
}
/** Those that there are, in one sentence. */
export function joined(differences: readonly (string | undefined)[]): string {
  return differences.filter((each) => each !== undefined).join(', and ')
}

function kindOf(found: string): string {
  return found === STRUCTS ? 'a struct' : `kind '${found}'`
}
