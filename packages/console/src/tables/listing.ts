/** `GET /tables/NAME`: rows in the order of their keys, a page at a time. */
import { shorten } from '../address/parse.js'
import { Refusal } from '../serve/refusal.js'
import { BadKey, MAX_KEY_BYTES, parseNetwork, type Key, type KeyCodec } from './keys.js'
import type { Row, Selection, Table } from './table.js'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 10_000
/** A page ends with the row that exceeds it. */
const PAGE_BYTES = 8 * 2 ** 20
const PARAMETERS = ['prefix', 'from', 'to', 'reverse', 'limit', 'cursor']

/** A row as JSON: `{"key":…,"version":…,"value":…}`, or with `from` and `to`. */
export function rowJson(table: Table, { from, to, version, value }: Row): string {
  return `{${endsJson(table, from, to)},"version":${version},"value":${value.toString()}}`
}
/** What names it, without braces. */
export function endsJson({ spec, codec }: Table, from: Key, to: Key): string {
  const json = (key: Key) => JSON.stringify(codec.toJson(key))
  return spec.isRange ? `"from":${json(from)},"to":${json(to)}` : `"key":${json(from)}`
}

/**
 * A page: `{"entries":[…],"cursor":"…"}`, without a cursor if it is the last one. All its rows are
 * of one version of the table.
 *
 * @throws Refusal
 */
export function pageJson(table: Table, query: URLSearchParams): string {
  const { codec } = table
  checkParameters(query, PARAMETERS)
  const limit = readLimit(query.get('limit'))
  const reverse = readFlag('reverse', query.get('reverse'))
  const selection = { ...selectionOf(codec, query), reverse }
  const cursor = readCursor(codec, query.get('cursor'))
  if (cursor !== undefined) selection[reverse ? 'to' : 'from'] = cursor
  if (isEmpty(codec, selection)) return '{"entries":[]}'
  const rows: string[] = []
  let bytes = 0
  let last: Key | undefined
  for (const row of table.rows(selection)) {
    // The page before ended with it.
    if (cursor !== undefined && codec.compare(row.from, cursor) * (reverse ? -1 : 1) <= 0) continue
    if (rows.length === limit || bytes > PAGE_BYTES) {
      const next = Buffer.from(codec.encode(last as Key)).toString('base64url')
      return `{"entries":[${rows.join(',')}],"cursor":"${next}"}`
    }
    const json = rowJson(table, row)
    rows.push(json)
    bytes += json.length
    last = row.from
  }
  return `{"entries":[${rows.join(',')}]}`
}

/** Each is one that there is, and is there once. @throws Refusal */
export function checkParameters(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) {
    const there = known.length === 0 ? 'there are none here' : `there are ${known.join(', ')}`
    if (!known.includes(name)) throw badQuery(`there is no parameter '${shorten(name)}': ${there}`)
    if (query.getAll(name).length > 1) throw badQuery(`${name} is there twice`)
  }
}

function readLimit(text: string | null): number {
  const limit = text === null ? DEFAULT_LIMIT : /^\d{1,6}$/.test(text) ? Number(text) : NaN
  if (limit >= 1 && limit <= MAX_LIMIT) return limit
  throw badQuery(`limit '${shorten(text ?? '')}' is no whole number from 1 to ${MAX_LIMIT}`)
}

export function readFlag(name: string, text: string | null): boolean {
  if (text === null || text === 'false') return false
  if (text === '' || text === 'true') return true
  throw badQuery(`${name} is either true or false`)
}

function selectionOf(codec: KeyCodec, query: URLSearchParams): Mutable<Selection> {
  const [prefix, from, to] = [query.get('prefix'), query.get('from'), query.get('to')]
  if (prefix === null)
    return {
      ...(from === null ? {} : { from: keyOf(codec, 'from', from) }),
      ...(to === null ? {} : { to: keyOf(codec, 'to', to) }),
    }
  if (from !== null || to !== null)
    throw badQuery('prefix says where to begin and end: leave out from and to')
  if (prefix === '') return {}
  if (codec.kind === 'number') throw badQuery('prefix is for keys of text and for addresses: use from and to')
  if (codec.kind === 'address') return valid('prefix', prefix, parseNetwork(prefix))
  const least = keyOf(codec, 'prefix', prefix) as Uint8Array
  const greatest = Buffer.alloc(MAX_KEY_BYTES, 0xff)
  greatest.set(least)
  return { from: least, to: greatest }
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

function keyOf(codec: KeyCodec, name: string, text: string): Key {
  return valid(name, text, codec.parse(text))
}
function valid<Value>(name: string, text: string, value: Value | BadKey): Value {
  if (value instanceof BadKey) throw badQuery(`${name} '${shorten(text)}' ${value.reason}`)
  return value
}

function readCursor(codec: KeyCodec, text: string | null): Key | undefined {
  if (text === null) return undefined
  const key = /^[\w-]{1,344}$/.test(text) ? codec.decode(Buffer.from(text, 'base64url')) : undefined
  if (key === undefined) throw badQuery('cursor is none that this table has given')
  return key
}

function isEmpty({ compare }: KeyCodec, { from, to }: Selection): boolean {
  return from !== undefined && to !== undefined && compare(from, to) > 0
}

function badQuery(message: string): Refusal {
  return new Refusal(400, 'BAD_QUERY', message)
}
