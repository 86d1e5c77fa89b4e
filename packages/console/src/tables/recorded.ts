/** What a data directory holds, as changes of tables. */
import { StoreDamagedError } from '../errors.js'
import type { LogRecord } from '../store/store.js'
import { decodeChange, type Change, type SetChange } from './change.js'
import type { KeyRange } from './keys.js'
import { storedOf, type Stored, type Table, type Write } from './table.js'

type Ends = Pick<SetChange, 'from' | 'to'>

/** @throws StoreDamagedError for what is none. */
export function changeIn(payload: Uint8Array): Change {
  const change = decodeChange(payload)
  if (!change)
    throw new StoreDamagedError('the data directory holds something that is no change of a table', {})
  return change
}

/** @throws StoreDamagedError for what is no key of the table. */
export function rangeIn({ codec, name }: Table, { from, to }: Ends): KeyRange {
  const first = codec.decode(from)
  const last = to === from ? first : codec.decode(to)
  if (first === undefined || last === undefined)
    throw new StoreDamagedError(`the data directory holds a key that table ${name} cannot have`, {
      table: name,
    })
  return { from: first, to: last }
}

/** The change of a record that sets or deletes. @throws StoreDamagedError for another one. */
export function writeIn(table: Table, { sequence, payload }: LogRecord): Write {
  const change = changeIn(payload)
  if (change.op !== 'set' && change.op !== 'delete') throw unexpected(change.op)
  const value = change.op === 'set' ? change.value : undefined
  return { ...rangeIn(table, change), version: sequence, value }
}
/** The row of an entry of a snapshot. @throws StoreDamagedError for something else. */
export function rowIn(table: Table, payload: Uint8Array): Stored {
  const change = changeIn(payload)
  if (change.op !== 'entry') throw unexpected(change.op)
  const { from, to } = rangeIn(table, change)
  return [from, to, storedOf(change.version, change.value)]
}

export function unexpected(op: string, text = ''): StoreDamagedError {
  return new StoreDamagedError(`the data directory holds a change (${op}) where none can be${text}`, { op })
}
