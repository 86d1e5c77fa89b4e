/** The structs that a module exports, and their reports, which `percpu layout FILE` prints. */
import type { LayoutDescription } from './describe.js'
import { describe } from './describe.js'
import type { LayoutChange } from './diff.js'
import { diff } from './diff.js'
import type { ReportOptions } from './report.js'
import { report } from './report.js'
import type { Struct } from './struct-type.js'
import { isStruct } from './struct.js'
import { innermostOf } from './types.js'

export interface CollectOptions {
  /** Also the structs nested in the exported ones. Default false. */
  readonly nested?: boolean
}

/** The structs that a module exports, given its namespace object: each once, by their names. */
export function structsOf(module: object, { nested = false }: CollectOptions = {}): Struct[] {
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
  for (const value of Object.values(module)) if (isStruct(value)) add(value)
  return [...found].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

export interface LayoutCommandOptions extends ReportOptions, CollectOptions {
  /** Descriptions as JSON instead of text. */
  readonly json?: boolean
  /** Only the structs of these names. Default all. */
  readonly names?: readonly string[]
}

/**
 * The text that `percpu layout FILE` prints, given the namespace object of FILE: a report of each
 * exported struct, or their descriptions as JSON. Empty when there are none.
 */
export function layoutCommand(module: object, options: LayoutCommandOptions = {}): string {
  const { json = false, names } = options
  const structs = structsOf(module, options).filter(({ name }) => names === undefined || names.includes(name))
  if (json) return JSON.stringify(structs.map(describe), undefined, 2) + '\n'
  return structs.map((struct) => report(struct, options)).join('\n')
}

/** The contents of a lock file: descriptions by the names of their structs. */
export type LayoutLock = Readonly<Record<string, LayoutDescription>>

/** The changes from a lock to `structs`, over all of them, in the order of their names. */
export function diffLock(lock: LayoutLock, structs: readonly Struct[]): LayoutChange[] {
  const now = new Map(structs.map((struct) => [struct.name, describe(struct)]))
  const names = [...new Set([...Object.keys(lock), ...now.keys()])].sort()
  return names.flatMap((name) => diff(lock[name], now.get(name)))
}
