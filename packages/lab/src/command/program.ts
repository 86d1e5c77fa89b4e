/** Runs the files in this process: the explorations at their top level, or in tests. */
import { pathToFileURL } from 'node:url'
import { isTypeScript } from '../foreign/file-names.js'
import '../mem/register.js'
import type { Outcome } from '../explore/outcome.js'
import { setSettings, type Settings } from '../explore/settings.js'
import type { ShardOptions } from '../search/shard.js'
import { shown } from './error-text.js'
import type { Request } from './request.js'

export interface Surroundings {
  /** The part of each search that is explored here. */
  readonly shard?: ShardOptions
  /** Told of each outcome; resolves with that of all shards. */
  ended(name: string, outcome: Outcome): Promise<Outcome>
  /** Whether another shard has found a failure in the exploration at hand. */
  stopped(): boolean
}

/**
 * Imports the files, one after the other. Resolves with the texts of the errors that they ended
 * with, once there is nothing left to do.
 */
export async function runProgram(request: Request, surroundings: Surroundings): Promise<readonly string[]> {
  const errors: string[] = []
  const note = (error: unknown) => void errors.push(shown(error))
  process.on('unhandledRejection', note)
  try {
    await prepareLoading(request)
  } catch (error) {
    return [shown(error)]
  }
  const place = { file: '' }
  setSettings(settingsFor(request, surroundings, place))
  for (const [i, file] of request.files.entries()) {
    const name = (place.file = request.names[i] ?? file)
    await import(pathToFileURL(file).href).catch((error: unknown) => void errors.push(shown(error, name)))
  }
  // Explorations that a file does not wait for go on until there is nothing left to do.
  await new Promise((resolve) => process.once('beforeExit', resolve))
  process.off('unhandledRejection', note)
  return errors
}

/** What loads TypeScript's parser, which takes a second, is imported for those who need it. */
async function prepareLoading({ files, instrument: foreign }: Request): Promise<void> {
  const compiled = files.filter(needsCompiling)
  if (compiled.length === 0 && foreign.length === 0) return
  const { compileTypes, instrument } = await import('../foreign/register.js')
  if (compiled.length > 0) compileTypes(compiled)
  if (foreign.length > 0) instrument(foreign)
}

/** Whether the file is TypeScript, and Node does not take the types away. */
function needsCompiling(file: string): boolean {
  return isTypeScript(file) && !Reflect.get(process.features, 'typescript')
}

function settingsFor(
  { override, only, names, instrument }: Request,
  surroundings: Surroundings,
  place: { readonly file: string },
): Settings {
  const { shard } = surroundings
  let replayed = false
  return {
    override: shard === undefined ? override : { ...override, shard },
    selects(name) {
      if (only !== undefined && !name.includes(only)) return false
      // A schedule belongs to one exploration: the first that is selected.
      if (override.replay !== undefined && replayed) return false
      return (replayed = true)
    },
    replayCommand: (name, schedule) =>
      [
        'npx percpu-lab',
        quoted(names.length === 1 ? (names[0] ?? '') : place.file),
        ...instrument.map((path) => `--instrument ${quoted(path)}`),
        `--only ${quoted(name)} --replay ${quoted(schedule)}`,
      ].join(' '),
    ended: (name, outcome) => surroundings.ended(name, outcome),
    stopped: () => surroundings.stopped(),
  }
}

/** A word for a shell. */
function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
