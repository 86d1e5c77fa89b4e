/**
 * Turns an execution that fails into an error, whose message shows it, and a page to step through.
 */
import { pathToFileURL } from 'node:url'
import { diagram } from '../report/diagram.js'
import { messageOf } from '../oracles/judge.js'
import { ExplorationFailure } from './failure.js'
import { writePage } from './page-file.js'
import { settings } from './settings.js'
import type { Trace } from '../trace.js'

/**
 * The error for an execution. Its message has the failure, the number of the execution in the
 * search, the diagram, and the call that replays it. Writes the page to `folder`; if that fails,
 * the message says why.
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
  const { report, place } = tryPage(trace, folder ?? process.env['PERCPU_LAB_REPORT'])
  const title = `${test}: ${failure.kind} in execution ${execution}: ${failure.message}`
  const message = `${title}\n\n${drawn}\n\nStep by step: ${place}`
  return new ExplorationFailure(failure.kind, message, trace, execution, report, { cause })
}

interface Written {
  readonly report: string | undefined
  /** The address of the page, or the reason why there is none. */
  readonly place: string
}

/**
 * Writes the page. The failure must not be lost by an error of that: its reason is told, not
 * thrown.
 */
function tryPage(trace: Trace, folder: string | undefined): Written {
  try {
    const report = writePage(trace, folder)
    return { report, place: pathToFileURL(report).href }
  } catch (error) {
    return { report: undefined, place: `page not written: ${messageOf(error)}` }
  }
}
