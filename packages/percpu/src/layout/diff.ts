/** The changes between two versions of a layout. */
import { refused } from '../check.js'
import type { FieldDescription, LayoutDescription } from './describe.js'
import { columns } from './read.js'
import { reading } from './values.js'

/** What has become of a struct or of a field between two descriptions. */
export type ChangeKind =
  | 'struct-added'
  | 'struct-removed'
  | 'size'
  | 'align'
  | 'added'
  | 'removed'
  | 'moved'
  | 'resized'
  | 'type'
  | 'kind'
  | 'lock'

/** One change. A field that moved and grew is two. */
export interface LayoutChange {
  readonly struct: string
  /** The path of the field; absent when the change is of the struct itself. */
  readonly field?: string
  readonly change: ChangeKind
  readonly from?: number | string
  readonly to?: number | string
}

/**
 * The changes from `before` to `after`, either of which may be absent. Fields are matched by path.
 * When a nested struct moves as a whole, its fields are not listed.
 *
 * @throws ArgumentError for what is no description.
 */
export function diff(
  before: LayoutDescription | undefined,
  after: LayoutDescription | undefined,
): LayoutChange[] {
  checkDescription('before', before)
  checkDescription('after', after)
  return reading('descriptions', [before, after], () => changesBetween(before, after))
}
function checkDescription(what: string, value: LayoutDescription | undefined): void {
  if (value === undefined) return
  const isOne = reading(what, value, () => typeof value.name === 'string' && Array.isArray(value.fields))
  if (!isOne) throw refused(what, value, 'not what describe() returned')
}

function changesBetween(
  before: LayoutDescription | undefined,
  after: LayoutDescription | undefined,
): LayoutChange[] {
  if (before === undefined) {
    return after === undefined ? [] : [{ struct: after.name, change: 'struct-added', to: after.size }]
  }
  const struct = before.name
  if (after === undefined) return [{ struct, change: 'struct-removed', from: before.size }]
  const changes: LayoutChange[] = []
  if (before.size !== after.size) changes.push({ struct, change: 'size', from: before.size, to: after.size })
  if (before.align !== after.align)
    changes.push({ struct, change: 'align', from: before.align, to: after.align })
  const then = new Map(before.fields.map((field) => [field.path, field]))
  const now = new Map(after.fields.map((field) => [field.path, field]))
  for (const field of before.fields) {
    if (!now.has(field.path) && !isInside(field.path, then, now)) {
      changes.push({ struct, field: field.path, change: 'removed', from: field.offset })
    }
  }
  for (const field of after.fields) {
    const old = then.get(field.path)
    if (old !== undefined) changes.push(...changesOf(struct, old, field, shiftOf(field.path, then, now)))
    else if (!isInside(field.path, now, then)) {
      changes.push({ struct, field: field.path, change: 'added', to: field.offset })
    }
  }
  return changes
}

function changesOf(
  struct: string,
  old: FieldDescription,
  field: FieldDescription,
  shift: number,
): LayoutChange[] {
  const changes: LayoutChange[] = []
  const add = (change: ChangeKind, from: number | string, to: number | string): void => {
    changes.push({ struct, field: field.path, change, from, to })
  }
  if (field.offset !== old.offset + shift) add('moved', old.offset, field.offset)
  if (field.type !== old.type) add('type', old.type, field.type)
  if (field.size !== old.size) add('resized', old.size, field.size)
  if (field.kind !== old.kind) add('kind', old.kind ?? 'none', field.kind ?? 'none')
  if (field.lock !== old.lock) add('lock', old.lock ?? 'none', field.lock ?? 'none')
  return changes
}

type Table = ReadonlyMap<string, FieldDescription>

function parentOf(path: string): string | undefined {
  const dot = path.lastIndexOf('.')
  return dot < 0 ? undefined : path.slice(0, dot).replace(/(\[\])+$/, '')
}

/** Whether `path` came or went together with the struct it is nested in. */
function isInside(path: string, present: Table, absent: Table): boolean {
  const parent = parentOf(path)
  return parent !== undefined && present.has(parent) && !absent.has(parent)
}

/** By how many bytes the struct that `path` is nested in has moved. */
function shiftOf(path: string, then: Table, now: Table): number {
  const parent = parentOf(path)
  const from = parent === undefined ? undefined : then.get(parent)
  const to = parent === undefined ? undefined : now.get(parent)
  return from === undefined || to === undefined ? 0 : to.offset - from.offset
}

/** The changes as text, one a line; empty when there are none. @throws ArgumentError. */
export function formatDiff(changes: readonly LayoutChange[]): string {
  const rows = reading('changes', changes, () =>
    changes.map(({ struct, field, change, from, to }) => [
      field === undefined ? `struct ${struct}` : `${struct}.${field}`,
      change,
      `${from === undefined ? '' : String(from)} -> ${to === undefined ? '' : String(to)}`.trim(),
    ]),
  )
  return columns(rows)
}
