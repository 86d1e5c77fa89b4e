/** The error for an execution: its message shows the execution, and a page is there to step through it. */
import { pathToFileURL } from 'node:url'
import { diagram } from '../report/diagram.js'
import { messageOf } from '../oracles/judge.js'
import { ExplorationFailure } from './failure.js'
import { writePage } from './page-file.js'
import { settings } from './settings.js'
import type { Trace } from '../trace.js'

/**
 * The error for an execution: in its message what is wrong, in which execution of the search, the
 * diagram, and how to replay it. Writes the page to `folder`; if that fails, the message says why.
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
  /** Where the page is, or why it is nowhere. */
  readonly place: string
}

/**
 * Whatever prevents the page, what it would have shown has been found: the reason is told, not
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
