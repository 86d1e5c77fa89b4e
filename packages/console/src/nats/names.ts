/**
 * What the keys of a bucket are called. A table has these; `=` stands where its name has a dot:
 *
 *     users.spec           {"keys":"text","isRange":false}: what the table is; written once
 *     users.load           {"node":…,"done":true}: who reads its file, and whether it is all here
 *     users.k.KEY          a value, of a table of keys
 *     nets.r.FROM.TO       a value, of a table of ranges; an empty one deletes what lay there
 *
 * KEY, FROM and TO are encoded by keys.ts, and then in base64url.
 */
import type { TableSpec } from '../tables/change.js'
import { keyCodecs, type KeyCodec, type KeyRange } from '../tables/keys.js'

export type EntryName =
  | { readonly kind: 'spec' | 'load'; readonly table: string }
  | { readonly kind: 'key'; readonly table: string; readonly from: string }
  | { readonly kind: 'range'; readonly table: string; readonly from: string; readonly to: string }

const part = (name: string) => name.replaceAll('.', '=')

export function specName(table: string): string {
  return `${part(table)}.spec`
}
export function loadName(table: string): string {
  return `${part(table)}.load`
}
export function rangeName({ name, isRange }: TableSpec, codec: KeyCodec, { from, to }: KeyRange): string {
  const encoded = (key: KeyRange['from']) => Buffer.from(codec.encode(key)).toString('base64url')
  return isRange ? `${part(name)}.r.${encoded(from)}.${encoded(to)}` : `${part(name)}.k.${encoded(from)}`
}

/** Undefined for a name that is not one of these. */
export function readName(name: string): EntryName | undefined {
  const [first = '', kind, from, to, ...more] = name.split('.')
  const table = first.replaceAll('=', '.')
  if (more.length > 0) return undefined
  if ((kind === 'spec' || kind === 'load') && from === undefined) return { kind, table }
  if (kind === 'k' && from !== undefined && to === undefined) return { kind: 'key', table, from }
  return kind === 'r' && from !== undefined && to !== undefined
    ? { kind: 'range', table, from, to }
    : undefined
}

/** The keys that an entry is of; undefined if the table cannot have them. */
export function rangeOfName({ keys, isRange }: TableSpec, name: EntryName): KeyRange | undefined {
  if (name.kind !== (isRange ? 'range' : 'key')) return undefined
  const codec = keyCodecs[keys]
  const decoded = (text: string) => codec.decode(Buffer.from(text, 'base64url'))
  const from = decoded(name.from)
  const to = name.kind === 'range' ? decoded(name.to) : from
  return from === undefined || to === undefined || codec.compare(from, to) > 0 ? undefined : { from, to }
}
