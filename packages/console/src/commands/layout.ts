/** `percpu layout`: prints the structs that a module exports. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, isStruct, type Struct } from 'percpu'
import { FileError, UsageError } from '../errors.js'

export interface LayoutOptions {
  readonly file: string
  readonly json: boolean
}

/** The text to print. @throws FileError if the module cannot be loaded; UsageError if it exports no struct. */
export async function layout({ file, json }: LayoutOptions): Promise<string> {
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot load ${file}: ${message}`, { file }, { cause: error })
  }
  const structs = [...new Set(Object.values(module).flatMap((value) => exportedStructs(value)))]
  if (structs.length === 0) throw new UsageError(`${file} exports no struct: expected \`export const name = struct(…)\``, { file })
  if (json) return JSON.stringify(structs.map((struct) => ({ ...describe(struct), hash: struct.hash })), undefined, 2)
  return structs.map((struct) => struct.report()).join('\n\n')
}

/** The value itself, or the structs in it if it is a list of them. */
function exportedStructs(value: unknown): Struct[] {
  if (isStruct(value)) return [value]
  return Array.isArray(value) ? value.filter((item) => isStruct(item)) : []
}
