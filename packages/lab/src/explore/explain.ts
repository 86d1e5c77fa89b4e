/** The error for an execution: its message shows the execution, and a page is there to step through it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { diagram } from '../report/diagram.js'
import { page } from '../report/html.js'
import { ExplorationFailure } from './failure.js'
import { settings } from './settings.js'
import type { Trace } from '../trace.js'

/**
 * The error for an execution: in its message what is wrong, in which execution of the search, the diagram, and how to replay it. Writes the
 * page to `folder`.
 */
export function failureOf(
  trace: Trace,
  execution: number,
  folder: string | undefined,
  cause: unknown,
): ExplorationFailure {
  const { failure, test, schedule } = trace
  if (failure === undefined) throw new Error('a failure without a reason')
  const command = settings()?.replayCommand(test, schedule)
  const drawn = diagram(trace, {
    width: process.stderr.isTTY ? process.stderr.columns : 100,
    color: process.stderr.isTTY && process.env['NO_COLOR'] === undefined,
    heading: false,
    ...(command === undefined ? {} : { command }),
  })
  const report = writePage(trace, folder ?? process.env['PERCPU_LAB_REPORT'] ?? defaultFolder())
  const title = `${test}: ${failure.kind} in execution ${execution}: ${failure.message}`
  const message = `${title}\n\n${drawn}\n\nStep by step: ${pathToFileURL(report).href}`
  return new ExplorationFailure(failure.kind, message, trace, execution, report, { cause })
}

/** Where pages go when nobody says: one folder for all, in which a failure replaces the page of the same one before. */
function defaultFolder(): string {
  return path.join(tmpdir(), 'percpu-lab')
}

function writePage(trace: Trace, folder: string): string {
  mkdirSync(folder, { recursive: true })
  const name = trace.test.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 80) // prettier-ignore
  const file = path.resolve(folder, `${name === '' ? 'exploration' : name}-${digest(trace.schedule)}.html`)
  writeFileSync(file, page(trace))
  return file
}

/** Eight hexadecimal digits for a text (FNV-1a). */
function digest(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
