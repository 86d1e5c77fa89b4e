/** A file with the process's number, while it runs: `kill -HUP $(cat FILE)`. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'

export interface PidFile {
  /** Removes it, unless another process has written it meanwhile; the exit does so anyway. */
  remove(): void
  /** This process serves nothing: the file is as before, with the number of one that may serve. */
  putBack(): void
}

/**
 * Writes the file, over one that is there.
 *
 * @throws FileError
 */
export function writePidFile(file: string): PidFile {
  const before = replaceWith(file, `${process.pid}\n`)
  const remove = () => endPidFile(file, () => rmSync(file))
  process.once('exit', remove)
  return {
    remove,
    putBack: () => {
      if (before === undefined) remove()
      else endPidFile(file, () => writeFileSync(file, before))
    },
  }
}

/** Writes the file. Returns what was there before; undefined if there was none. */
function replaceWith(file: string, text: string): Buffer | undefined {
  try {
    const isThere = statSync(file, { throwIfNoEntry: false })?.isFile() === true
    const before = isThere ? readFileSync(file) : undefined
    writeFileSync(file, text)
    return before
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot write ${file}: ${reason}`, { file }, { cause: error })
  }
}

function endPidFile(file: string, end: () => void): void {
  try {
    if (readFileSync(file, 'utf8') === `${process.pid}\n`) end()
  } catch (error) {
    // It is gone already, or may not be removed any more: the process ends all the same.
    if (codeOf(error) === undefined) throw error
  }
}
