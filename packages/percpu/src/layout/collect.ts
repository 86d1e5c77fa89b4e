/** The structs that a module exports, and their reports, which `percpu layout FILE` prints. */
import { checkFlag, checkOptions, refused, type OptionNames } from '../check.js'
import type { LayoutDescription } from './describe.js'
import { describe } from './describe.js'
import type { LayoutChange } from './diff.js'
import { diff } from './diff.js'
import type { ReportOptions } from './report.js'
import { report } from './report.js'
import type { Struct } from './struct-type.js'
import { isStruct } from './brand.js'
import { innermostOf } from './types.js'
import { reading } from './values.js'

/** What {@link structsOf} takes. */
export interface CollectOptions {
  /** Also the structs nested in the exported ones. Default false. */
  readonly nested?: boolean
}

/** The structs that a module exports, given its namespace object: each once, by their names. */
export function structsOf(module: object, options: CollectOptions = {}): Struct[] {
  checkOptions('structsOf', options, { nested: true })
  return collect(module, options)
}

function collect(module: object, { nested = false }: CollectOptions): Struct[] {
  checkFlag('nested', nested)
  const found = new Set<Struct>()
  const add = (struct: Struct): void => {
    if (found.has(struct)) return
    found.add(struct)
    if (!nested) return
    for (const { type } of struct.members) {
      const leaf = type === undefined ? undefined : innermostOf(type)
      if (isStruct(leaf)) add(leaf)
    }
  }
  for (const value of valuesOf(module)) if (isStruct(value)) add(value)
  return [...found].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

function valuesOf(module: object): unknown[] {
  if (Object(module) === module)
    return reading('module', module, () => Object.values<unknown>(module as Record<string, unknown>))
  throw refused('module', module, 'not the namespace object of a module')
}

/** What {@link layoutCommand} takes. */
export interface LayoutCommandOptions extends ReportOptions, CollectOptions {
  /** Descriptions as JSON instead of text. */
  readonly json?: boolean
  /** Only the structs of these names. Default all. */
  readonly names?: readonly string[]
}

const commandNames: OptionNames<LayoutCommandOptions> = {
  nested: true,
  expand: true,
  lineSize: true,
  json: true,
  names: true,
}

/**
 * The text that `percpu layout FILE` prints, given the namespace object of FILE: a report of each
 * exported struct, or their descriptions as JSON. Empty when there are none.
 */
export function layoutCommand(module: object, options: LayoutCommandOptions = {}): string {
  checkOptions('layoutCommand', options, commandNames)
  const { json = false, names, expand = false, lineSize, nested = false } = options
  checkFlag('json', json)
  if (names !== undefined && !Array.isArray(names)) throw refused('names', names, 'not a list of names')
  const structs = collect(module, { nested }).filter(
    ({ name }) => names === undefined || names.includes(name),
  )
  if (json) return JSON.stringify(structs.map(describe), undefined, 2) + '\n'
  return structs
    .map((struct) => report(struct, { expand, ...(lineSize !== undefined && { lineSize }) }))
    .join('\n')
}

/** The contents of a lock file: descriptions by the names of their structs. */
export type LayoutLock = Readonly<Record<string, LayoutDescription>>

/** The changes from a lock to `structs`, over all of them, in the order of their names. */
export function diffLock(lock: LayoutLock, structs: readonly Struct[]): LayoutChange[] {
  const now = reading(
    'structs',
    structs,
    () => new Map(structs.map((struct) => [struct.name, describe(struct)])),
  )
  const locked = reading('lock', lock, () => Object.keys(lock))
  const names = [...new Set([...locked, ...now.keys()])].sort()
  return names.flatMap((name) => diff(lock[name], now.get(name)))
}
