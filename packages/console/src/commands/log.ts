/** `percpu log`: checks and prints what a data directory holds, without taking or changing it. */
import Table from 'cli-table3'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import { bytesText } from '../maps/bytes.js'
import { plural } from '../maps/sums.js'
import { DiskError, folderAt, type StoreFolder } from '../store/folder.js'
import { FORMAT_VERSION } from '../store/format.js'
import { readStore, type StoreContents } from '../store/read-store.js'
import { visible } from '../visible.js'

/**
 * How often it is begun anew if a file goes while it is read: its owner may have written a snapshot
 * in place of it.
 */
const ATTEMPTS = 5
/** Names that say nothing of what a folder is for. */
const NEUTRAL = /^(?:lock-|\.|lost\+found$)/

export interface LogReport {
  /** To print. */
  readonly text: string
  /** Whether all of it checks; a torn end does. */
  readonly isWhole: boolean
}

/**
 * The directory may be in use.
 *
 * @throws FileError if it cannot be read
 */
export async function log({
  directory,
  json,
}: {
  readonly directory: string
  readonly json: boolean
}): Promise<LogReport> {
  const contents = await read(directory)
  const isWhole = contents.damages.length === 0
  return { text: json ? `${JSON.stringify(jsonOf(directory, contents))}\n` : render(contents), isWhole }
}

async function read(directory: string): Promise<StoreContents> {
  const nobody = { snapshot: () => undefined, entry: () => undefined, record: () => undefined }
  for (let attempt = 1; ; attempt++)
    try {
      const folder = folderAt(directory)
      const contents = await readStore(folder, nobody)
      if (isNothing(contents)) await checkIsEmpty(directory, folder)
      return contents
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      const isGone = error.operation === 'open' && codeOf(error.cause) === 'ENOENT'
      if (isGone && attempt < ATTEMPTS) continue
      throw new FileError(error.message, { file: error.file }, { cause: error })
    }
}

function isNothing({ snapshot, segments, leftovers }: StoreContents): boolean {
  return !snapshot && segments.length === 0 && leftovers.length === 0
}
/** A new data directory is empty, but for locks. Of another folder nothing is told that is true. */
async function checkIsEmpty(directory: string, folder: StoreFolder): Promise<void> {
  const [other] = (await folder.list()).filter((name) => !NEUTRAL.test(name))
  if (other === undefined) return
  const message = `${visible(directory)} is no data directory: it has no log and no snapshot, but ${visible(other)}`
  throw new FileError(message, { file: directory })
}

function jsonOf(directory: string, { snapshot, torn, ...rest }: StoreContents) {
  return { directory, format: FORMAT_VERSION, snapshot: snapshot ?? null, torn: torn ?? null, ...rest }
}

function render({ snapshot, segments, torn, damages, leftovers, lastSequence }: StoreContents): string {
  const table = new Table({
    head: ['file', 'sequence', 'holds', 'size'],
    style: { compact: true, head: [], border: [] },
  })
  if (snapshot)
    table.push([
      snapshot.name,
      String(snapshot.sequence),
      snapshot.entries === 1 ? '1 entry' : `${snapshot.entries} entries`,
      bytesText(snapshot.bytes),
    ])
  for (const { name, before, last, records, bytes } of segments)
    table.push([
      name,
      records > 0 ? `${before + 1}–${last}` : `after ${before}`,
      plural(records, 'record'),
      bytesText(bytes),
    ])
  const lines = [
    snapshot || segments.length > 0 ? table.toString() : 'no log and no snapshot',
    `last sequence number: ${lastSequence}`,
    ...leftovers.map((name) => `not needed, and removed at the next start: ${visible(name)}`),
    ...(torn
      ? [
          `${torn.file}, byte ${torn.offset}: ${plural(torn.bytes, 'byte')} of an append that is under way, or never ended`,
        ]
      : []),
    ...damages.map(
      ({ file, offset, what }) =>
        `DAMAGED: ${file}${offset === undefined ? '' : `, byte ${offset}`}: ${what}`,
    ),
  ]
  return `${lines.join('\n')}\n`
}
