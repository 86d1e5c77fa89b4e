/** `percpu layout`: prints the structs that a module exports. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { layoutCommand, structsOf } from 'percpu'
import { FileError, UsageError } from '../errors.js'

export interface LayoutOptions {
  readonly file: string
  readonly json: boolean
  /** Also the structs nested in the exported ones, and their members in place. */
  readonly nested: boolean
  /** Only the structs of these names; all if there are none. */
  readonly names: readonly string[]
}

/**
 * The text to print.
 *
 * @throws FileError if the module cannot be loaded; UsageError if it has no such struct.
 */
export async function layout({ file, json, nested, names }: LayoutOptions): Promise<string> {
  const module = await load(file)
  const found = structsOf(module, { nested }).map(({ name }) => name)
  if (found.length === 0)
    throw new UsageError(`${file} exports no struct: expected \`export const name = struct(…)\``, { file })
  const missing = names.filter((name) => !found.includes(name))
  if (missing.length > 0) {
    throw new UsageError(`${file} exports no struct ${missing.join(', ')}; it exports ${found.join(', ')}`, {
      file,
      missing,
    })
  }
  return layoutCommand(module, { json, nested, expand: nested, ...(names.length > 0 ? { names } : {}) })
}

async function load(file: string): Promise<object> {
  if (!existsSync(file)) throw new FileError(`cannot load ${file}: there is no such file`, { file })
  try {
    return (await import(pathToFileURL(resolve(file)).href)) as object
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot load ${file}: ${message}`, { file }, { cause: error })
  }
}
