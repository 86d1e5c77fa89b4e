/** The files that show failures step by step: one page each. */
import { existsSync, lstatSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { page } from '../report/html.js'
import type { Trace } from '../trace.js'
import { makeFolders } from './make-folders.js'

/**
 * Writes the page of an execution, as a whole or not at all. It replaces an earlier page of the
 * same execution.
 *
 * @param folder made if it does not exist. Default: one that this process makes for itself, below
 *   the system's for temporary files.
 * @returns the path of the file
 * @throws the error that prevents it
 */
export function writePage(trace: Trace, folder = ownFolder()): string {
  makeFolders(folder)
  const name = trace.test.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 80) // prettier-ignore
  const file = path.resolve(folder, `${name === '' ? 'exploration' : name}-${digest(trace.schedule)}.html`)
  const aside = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(aside, page(trace))
    renameSync(aside, file)
  } catch (error) {
    rmSync(aside, { force: true })
    throw error
  }
  return file
}

/** Folders of this user's processes that are kept, the newest ones. */
const KEPT = 20
const PREFIX = 'percpu-lab-report-'
let own: string | undefined

/**
 * The folder of this process. It has no fixed name: where everybody may write, a folder of that
 * name could be another user's, or a link of theirs.
 */
function ownFolder(): string {
  if (own === undefined || !existsSync(own)) {
    own = mkdtempSync(path.join(tmpdir(), PREFIX))
    removeOld(tmpdir())
  }
  return own
}

/** Removes the folders of earlier processes but for the newest. Whether it could: they may stay. */
function removeOld(below: string): boolean {
  try {
    for (const folder of foldersIn(below).slice(KEPT)) rmSync(folder, { recursive: true, force: true })
    return true
  } catch {
    return false
  }
}
/** The newest first. */
function foldersIn(below: string): string[] {
  const { uid } = userInfo()
  return readdirSync(below)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => path.join(below, name))
    .flatMap((folder) => {
      // Another process may be removing them, too.
      const stat = lstatSync(folder, { throwIfNoEntry: false })
      return stat?.isDirectory() && stat.uid === uid ? [{ folder, changed: stat.mtimeMs }] : []
    })
    .sort((one, other) => other.changed - one.changed)
    .map(({ folder }) => folder)
}

/** Eight hexadecimal digits for a text (FNV-1a). */
function digest(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
