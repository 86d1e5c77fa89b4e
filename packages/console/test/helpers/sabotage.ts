/**
 * Preloaded into a process (`node --import`): its threads get stuck, or end, at `stick:PATH` or
 * `die:PATH`, if the file at PATH exists. `stick once:PATH` takes the file away first.
 *
 *     workers    inside the work on a batch, when they parse it as a JSON string. Only strings with
 *                an escape in them are parsed; {@link saboteur} writes one.
 *     fronts     when they refuse a request for it: {@link sabotagePath}
 */
import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { relative, resolve } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { awaitUntil } from 'percpu/mem'

const parse = JSON.parse.bind(JSON)
const stringify = JSON.stringify.bind(JSON)

export type Sabotage = 'stick' | 'stick once' | 'die' | 'die once'

function sabotage(text: string): void {
  const [, what, once, given = ''] = /^(stick|die)( once)?:(.*)$/.exec(text) ?? []
  const path = resolve(tmpdir(), given)
  if (!what || !existsSync(path)) return
  if (once) rmSync(path)
  if (what === 'die') process.exit()
  awaitUntil(() => false)
}

if (!isMainThread) {
  JSON.parse = (text: string, reviver?: Parameters<typeof JSON.parse>[1]) => {
    const value: unknown = parse(text, reviver)
    if (typeof value === 'string') sabotage(value)
    return value
  }
  JSON.stringify = (value: unknown, ...more: [never?, never?]) => {
    const error: unknown = typeof value === 'object' && value !== null && 'error' in value && value.error
    const [, text] = (typeof error === 'string' && /'((?:stick|die)[^']*)'/.exec(error)) || []
    if (text !== undefined) sabotage(text)
    return stringify(value, ...more)
  }
}

/** As a part of a URL: no address, and no name of a table. Short, since refusals shorten it. */
export function sabotagePath(what: Sabotage, path: string): string {
  return encodeURIComponent(`${what}:${relative(tmpdir(), path)}`)
}

/** The line of NDJSON that does it. */
export function saboteur(what: Sabotage, path: string): string {
  const code = what.charCodeAt(0).toString(16).padStart(4, '0')
  return `"\\u${code}${JSON.stringify(`${what.slice(1)}:${path}`).slice(1)}\n`
}
