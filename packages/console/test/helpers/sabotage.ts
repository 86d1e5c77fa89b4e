/**
 * Preloaded into a process (`node --import`): its workers get stuck, or end, inside the work on a
 * batch, when they parse the JSON string `stick:PATH` or `die:PATH` and the file at PATH exists.
 * `stick once:PATH` takes the file away first.
 *
 * Only strings with an escape in them are parsed as JSON by the workers; {@link saboteur} writes
 * one.
 */
import { existsSync, rmSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { awaitUntil } from 'percpu/mem'

const parse = JSON.parse.bind(JSON)

function sabotage(text: string): void {
  const [, what, once, path = ''] = /^(stick|die)( once)?:(.*)$/.exec(text) ?? []
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
}

/** The line of NDJSON that does it. */
export function saboteur(what: 'stick' | 'stick once' | 'die once', path: string): string {
  const code = what.charCodeAt(0).toString(16).padStart(4, '0')
  return `"\\u${code}${JSON.stringify(`${what.slice(1)}:${path}`).slice(1)}\n`
}
