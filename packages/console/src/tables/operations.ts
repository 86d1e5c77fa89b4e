/** What requests ask for, read and checked: keys, values, conditions. */
import { shorten } from '../address/parse.js'
import { Refusal } from '../serve/refusal.js'
import { BadKey, parseRange, rangeOf, type KeyRange } from './keys.js'
import { MAX_VALUE_BYTES, type Table } from './table.js'
import type { Condition, Operation, Outcome } from './request.js'

/** A key or a range as it stands in a path. @throws Refusal */
export function rangeInPath(table: Table, text: string): KeyRange {
  const { codec, spec } = table
  const range = spec.isRange ? parseRange(codec, text) : keyAlone(codec.parse(text))
  if (range instanceof BadKey) throw badKey(text, range)
  return range
}

function keyAlone(key: KeyRange['from'] | BadKey): KeyRange | BadKey {
  return key instanceof BadKey ? key : { from: key, to: key }
}
function badKey(shown: string, { reason }: BadKey): Refusal {
  return new Refusal(400, 'BAD_KEY', `key '${shorten(shown)}' ${reason}`)
}

/** JSON as it is kept: without white space, in UTF-8. @throws Refusal */
export function valueOf(text: string): Buffer {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Refusal(
      400,
      'BAD_VALUE',
      `the value is no JSON: ${error instanceof Error ? error.message : ''}`,
    )
  }
  return keptValue(value)
}
function keptValue(value: unknown): Buffer {
  const bytes = Buffer.from(keptText(value))
  if (bytes.length > MAX_VALUE_BYTES)
    throw new Refusal(
      413,
      'VALUE_TOO_LARGE',
      `the value has ${bytes.length} bytes, ${MAX_VALUE_BYTES} at most`,
    )
  return bytes
}

function keptText(value: unknown): string {
  try {
    const text = JSON.stringify(value)
    if (text.includes('null') && hasInfinity(value))
      throw new Refusal(400, 'BAD_VALUE', 'the value has a number that is too large')
    return text
  } catch (error) {
    // JSON.parse takes any depth.
    if (error instanceof RangeError) throw new Refusal(400, 'BAD_VALUE', 'the value is nested too deeply')
    throw error
  }
}

/** JSON.parse makes such of numbers beyond 1.8e308, and JSON.stringify makes null of them. */
function hasInfinity(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value)
  return typeof value === 'object' && value !== null && Object.values(value).some(hasInfinity)
}

/**
 * What `If-Match` and `If-None-Match` say of a change. An ETag is a version in quotes; `*` is any.
 *
 * @throws Refusal for more than one ETag, and for what says nothing of a change.
 */
export function conditionOf(headers: {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
}): Condition | undefined {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (noneMatch !== undefined && (match !== undefined || noneMatch.trim() !== '*'))
    throw new Refusal(
      400,
      'BAD_CONDITION',
      'If-None-Match of a change is *, and there is no If-Match beside it',
    )
  if (noneMatch !== undefined) return 'absent'
  if (match === undefined) return undefined
  if (match.trim() === '*') return 'present'
  const version = versionIn(match)
  if (version !== undefined) return version
  throw new Refusal(400, 'BAD_CONDITION', `If-Match is * or one ETag, such as "12", not ${shorten(match)}`)
}
/** The version of an ETag, or undefined. */
export function versionIn(etag: string): number | undefined {
  const [, digits] = /^\s*"(\d{1,16})"\s*$/.exec(etag) ?? []
  return digits === undefined ? undefined : Number(digits)
}
export function etagOf(version: number): string {
  return `"${version}"`
}

/** A line of a batch: a change, or a question. */
export type Line = { readonly ends: string } & (
  | { readonly kind: 'write'; readonly operation: Operation }
  | { readonly kind: 'read'; readonly range: KeyRange }
  | { readonly kind: 'bad'; readonly refusal: Refusal }
)

const FIELDS = new Set(['key', 'from', 'to', 'value', 'delete', 'ifMatch', 'ifNoneMatch'])

/**
 * Reads a line of a batch:
 *
 *     {"key":"a","value":{…}}                   sets
 *     {"key":"a","delete":true}                 deletes
 *     {"key":"a"}                               reads
 *     "ifMatch":12 or "*", "ifNoneMatch":"*"    beside a change
 */
export function readLine(table: Table, text: string): Line {
  let fields: Record<string, unknown> = {}
  try {
    const line: unknown = JSON.parse(text)
    if (typeof line !== 'object' || line === null || Array.isArray(line))
      throw new Refusal(400, 'BAD_LINE', `the line is no object: '${shorten(text)}'`)
    fields = line as Record<string, unknown>
    const unknown = Object.keys(fields).find((name) => !FIELDS.has(name))
    if (unknown !== undefined) throw new Refusal(400, 'BAD_LINE', `there is no field '${shorten(unknown)}'`)
    const range = rangeOfLine(table, fields)
    const ends = endsOf(fields)
    const condition = conditionOfLine(fields)
    const deletes = fields['delete']
    if (deletes !== undefined && deletes !== true)
      throw new Refusal(400, 'BAD_LINE', 'delete is true, or not there')
    if ('value' in fields) {
      if (deletes) throw new Refusal(400, 'BAD_LINE', 'a line has a value, or deletes')
      return { kind: 'write', ends, operation: { ...range, value: keptValue(fields['value']), condition } }
    }
    if (deletes) return { kind: 'write', ends, operation: { ...range, value: undefined, condition } }
    if (condition !== undefined) throw new Refusal(400, 'BAD_LINE', 'a condition stands beside a change')
    return { kind: 'read', ends, range }
  } catch (error) {
    if (error instanceof Refusal) return { kind: 'bad', ends: endsOf(fields), refusal: error }
    return {
      kind: 'bad',
      ends: '',
      refusal: new Refusal(400, 'BAD_LINE', `the line is no JSON: '${shorten(text)}'`),
    }
  }
}

function rangeOfLine({ codec, spec }: Table, { key, from, to }: Readonly<Record<string, unknown>>): KeyRange {
  if (spec.isRange && key === undefined) {
    const [first, last] = [codec.fromJson(from), codec.fromJson(to)]
    if (first instanceof BadKey) throw badKey(jsonText(from), first)
    if (last instanceof BadKey) throw badKey(jsonText(to), last)
    const range = rangeOf(codec, first, last)
    if (range instanceof BadKey) throw badKey(`${String(from)}-${String(to)}`, range)
    return range
  }
  if (from !== undefined || to !== undefined)
    throw new Refusal(
      400,
      'BAD_KEY',
      spec.isRange ? 'a line has a key, or from and to' : 'keys of this table are single: `key`',
    )
  const range =
    spec.isRange && typeof key === 'string' ? parseRange(codec, key) : keyAlone(codec.fromJson(key))
  if (range instanceof BadKey) throw badKey(jsonText(key), range)
  return range
}

function jsonText(value: unknown): string {
  return value === undefined ? 'undefined' : JSON.stringify(value)
}

function conditionOfLine({ ifMatch, ifNoneMatch }: Readonly<Record<string, unknown>>): Condition | undefined {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch === '*' && ifMatch === undefined) return 'absent'
    throw new Refusal(400, 'BAD_CONDITION', 'ifNoneMatch is "*", and there is no ifMatch beside it')
  }
  if (ifMatch === undefined) return undefined
  if (ifMatch === '*') return 'present'
  if (typeof ifMatch === 'number' && Number.isSafeInteger(ifMatch) && ifMatch >= 0) return ifMatch
  throw new Refusal(400, 'BAD_CONDITION', 'ifMatch is a version, or "*"')
}

/** What names the line in its answer. */
function endsOf({ key, from, to }: Readonly<Record<string, unknown>>): string {
  const shown = (value: unknown) => (typeof value === 'string' ? shorten(value, 255) : value)
  return Object.entries({ key, from, to })
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .map(([name, value]) => `"${name}":${JSON.stringify(shown(value))},`)
    .join('')
}

/** Why a change was not made. */
export function refusalOf(outcome: Extract<Outcome, { readonly made: false }>): Refusal {
  const { why, version } = outcome
  if (why === 'missing') return new Refusal(404, 'NO_SUCH_KEY', 'there is nothing to delete')
  if (why === 'others') return new Refusal(409, 'NOT_APPLIED', 'another line of the batch was refused')
  const found =
    version === undefined ? 'there is no such key, or not just this range' : `its version is ${version}`
  return new Refusal(412, 'VERSION_CHANGED', `the condition does not hold: ${found}`)
}
