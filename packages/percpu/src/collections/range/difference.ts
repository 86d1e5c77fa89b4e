/** In what a sorted list of ranges differs from a version. */
import type { Cursor } from './cursor.js'
import type { Change } from './edit.js'
import type { Shape } from './node.js'
import type { Stored } from './values.js'

interface Step<K> {
  readonly key: K
  readonly value: Stored
}

/** The changes that make the boundaries at a cursor's version those of `list`. */
export function differences<K, V>(
  shape: Shape<K, V>,
  cursor: Cursor<K, V> | undefined,
  list: readonly Step<K>[],
): Change<K>[] {
  const { keys, values, memory } = shape
  const changes: Change<K>[] = []
  const old = stepsOf(cursor)
  let key: K | undefined = keys.least
  let before: Step<K> | undefined
  let following = nextOf(old)
  let index = 0
  let after: Stored
  while (key !== undefined) {
    while (following !== undefined && keys.compare(following.key, key) <= 0) {
      before = following
      following = nextOf(old)
    }
    for (; index < list.length; index++) {
      const step = list[index] as Step<K>
      if (keys.compare(step.key, key) > 0) break
      after = step.value
    }
    const ends: K[] = []
    if (following !== undefined) ends.push(following.key)
    if (index < list.length) ends.push((list[index] as Step<K>).key)
    const next: K | undefined = ends.reduce<K | undefined>(
      (least, end) => (least === undefined || keys.compare(end, least) < 0 ? end : least),
      undefined,
    )
    if (!values.isEqual(memory, before?.value, after))
      changes.push({ from: key, to: next === undefined ? keys.greatest : keys.before(next), value: after })
    key = next
  }
  return changes
}

function* stepsOf<K, V>(cursor: Cursor<K, V> | undefined): Generator<Step<K>, undefined> {
  if (cursor === undefined) return
  do {
    for (let slot = 0; slot < cursor.count; slot++)
      yield { key: cursor.key(slot), value: cursor.stored(slot) }
  } while (cursor.toLeaf(1))
}
function nextOf<T>(iterator: Iterator<T, undefined>): T | undefined {
  return iterator.next().value
}
