/** Where compiled code comes from. A compiled file may have a source map beside it. */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import path from 'node:path'

/** Maps that were read, by the files that they tell of. */
const maps = new Map<string, SourceMap | undefined>()

/**
 * Where `place`, a `file:line:column` of compiled code, is in the source. Where no map tells, it is
 * the place itself.
 */
export function sourcePlace(place: string): string {
  const [, file, line, column] = /^(.*):(\d+):(\d+)$/.exec(place) ?? []
  if (file === undefined) return place
  if (!maps.has(file)) maps.set(file, readMap(`${file}.map`))
  const found = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1)
  if (found === undefined || !('originalSource' in found)) return place
  const source = path.resolve(path.dirname(file), found.originalSource)
  return `${source}:${found.originalLine + 1}:${found.originalColumn + 1}`
}

function readMap(file: string): SourceMap | undefined {
  if (!existsSync(file)) return undefined
  try {
    return new SourceMap(JSON.parse(readFileSync(file, 'utf8')) as SourceMapPayload)
  } catch {
    return undefined // what is no map tells nothing
  }
}
