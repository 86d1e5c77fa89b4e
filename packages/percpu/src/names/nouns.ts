/** How errors name what has names. */
import type { NameSpace } from '../bootmem/names.js'
import { shown } from '../machine/check.js'
import { ObjectMissingError } from '../machine/errors.js'

const nouns: Partial<Record<NameSpace, string>> = {
  percpu: 'per-CPU object',
  ref: 'reference count',
  rwSemaphore: 'reader-writer lock',
  srcu: 'SRCU domain',
  rangeMap: 'map of ranges',
  space: 'address space',
  sparseArray: 'sparse array',
}
/** As users call what is in the space. */
export function nounOf(space: NameSpace): string {
  return nouns[space] ?? space
}
export function missing(space: NameSpace, name: string): ObjectMissingError {
  return new ObjectMissingError(`there is no ${nounOf(space)} named ${shown(name)}`, { name, space })
}
