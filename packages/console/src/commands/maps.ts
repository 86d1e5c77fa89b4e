/** `percpu maps`: what the address spaces of a machine have whose process serves inspections. */
import type { SpaceReport } from 'percpu'
import { UsageError } from '../errors.js'
import { inspectSpaces } from '../inspect/client.js'
import type { SpacesReport } from '../inspect/protocol.js'
import { openOutput } from '../lookup/output.js'
import { ReaderGoneError } from '../lookup/sinks.js'
import { drawMaps } from '../maps/picture.js'
import { renderMaps } from '../maps/text.js'
import { visible } from '../visible.js'

export type MapsFormat = 'text' | 'json' | 'svg'
export interface MapsOptions {
  /** The socket that the machine's process serves. */
  readonly socket: string
  /** Spaces of these names only; all if there are none. */
  readonly names: readonly string[]
  readonly format: MapsFormat
  /** The file to write; undefined: standard output. */
  readonly output: string | undefined
}

/**
 * Writes it. A file stays as it is until all is known.
 *
 * @throws FileError if nobody serves there, or the output cannot be written; UsageError for a name
 *   that no space has.
 */
export async function maps({ socket, names, format, output }: MapsOptions): Promise<void> {
  const report = await inspectSpaces(socket)
  const text = formats[format]({ ...report, spaces: select(report.spaces, names) }, output === undefined)
  const sink = await openOutput(output, [])
  try {
    await sink.write(Buffer.from(text))
    await sink.finish()
  } catch (error) {
    if (!(error instanceof ReaderGoneError)) throw error
  } finally {
    await sink.discard()
  }
}

const formats: Readonly<Record<MapsFormat, (report: SpacesReport, isPrinted: boolean) => string>> = {
  text: (report, isPrinted) => renderMaps(report, { color: isPrinted && process.stdout.isTTY }),
  json: (report) => `${JSON.stringify(report)}\n`,
  svg: drawMaps,
}

function select(spaces: readonly SpaceReport[], names: readonly string[]): readonly SpaceReport[] {
  if (names.length === 0) return spaces
  const missing = names.filter((name) => !spaces.some((space) => space.name === name))
  if (missing.length > 0)
    throw new UsageError(
      `the machine has no space ${missing.map(visible).join(', ')}; it has ${spaces.map(({ name }) => visible(name)).join(', ') || 'none'}`,
      { missing },
    )
  return spaces.filter(({ name }) => names.includes(name))
}
