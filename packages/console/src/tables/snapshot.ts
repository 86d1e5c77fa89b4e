/** Snapshots of all tables, each as of one change, while they are changed further. */
import type { RangeView } from 'percpu'
import type { Store } from '../store/store.js'
import { encodeChange } from './change.js'
import type { Key } from './keys.js'
import type { Table } from './table.js'
import type { Writer } from './writer.js'

type Views = ReadonlyMap<Table, RangeView<Key, Uint8Array>>

/**
 * Writes a snapshot of what all tables are between two groups of changes. The next group waits only
 * until the versions are held. What is replaced meanwhile stays in memory until it is written.
 *
 * @param isAnew whether something came that is not in the log
 * @throws as `store.writeSnapshot`
 */
export async function takeSnapshot(
  writer: Writer,
  store: Store,
  tables: Iterable<Table>,
  isAnew = false,
): Promise<void> {
  const all = [...tables]
  const { written } = await writer.exclusively(() => {
    const { lastSequence } = store.report()
    const holding = holdAll(all, new Map(), (views) =>
      store.writeSnapshot(lastSequence, entriesOf(views), isAnew),
    )
    // Not awaited here: the writer goes on.
    return Promise.resolve({ written: { promise: holding } })
  })
  await written.promise
}

/** Holds the versions of all tables of this very stretch, until `use` has ended. */
async function holdAll(
  [first, ...others]: readonly Table[],
  views: Map<Table, RangeView<Key, Uint8Array>>,
  use: (views: Views) => Promise<void>,
): Promise<void> {
  if (!first) return use(views)
  await first.map.hold((view) => holdAll(others, views.set(first, view), use))
}

function* entriesOf(views: Views): Generator<Uint8Array> {
  for (const { spec } of views.keys()) yield encodeChange({ op: 'make', spec })
  for (const [table, view] of views) {
    const { codec, name } = table
    for (const { from, to, version, value } of table.rows({}, view)) {
      const ends = { from: codec.encode(from), to: codec.encode(to) }
      yield encodeChange({ op: 'entry', version, table: name, ...ends, value })
    }
  }
}
