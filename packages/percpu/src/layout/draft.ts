/** Objects under construction: what `init` callbacks are given. */
import type { Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { isThenable } from '../thenable.js'
import type { Draft } from './accessor-types.js'
import { DraftError } from './errors.js'
import { closedMemory } from './flavours.js'
import type { Struct } from './struct-type.js'
import type { Fields, Kind } from './types.js'

const finished = closedMemory(
  () =>
    new DraftError(
      'the object is finished and others may see it: use an accessor of the struct, and a section for its locked fields',
    ),
)

/**
 * Lets `init` fill the object of `struct` at `address`, which nobody else can see yet, and ends the
 * draft.
 */
export function fillDraft<F extends Fields, K extends Kind>(
  struct: Struct<F, K>,
  memory: Memory,
  address: number,
  init: (draft: Draft<Struct<F, K>>) => void,
): void {
  const scope = { memory }
  try {
    const run: (draft: Draft<Struct<F, K>>) => unknown = init
    if (isThenable(run(struct.draft(scope, address))))
      throw new ArgumentError('init is one synchronous stretch: do what is asynchronous before or after it', {
        init,
      })
  } finally {
    scope.memory = finished
  }
}
