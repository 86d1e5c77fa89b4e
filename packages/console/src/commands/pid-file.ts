/** A file with the process's number, while it runs: `kill -HUP $(cat FILE)`. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'

/**
 * Writes the file, over one that is there. Returns what removes it, unless another process has
 * written it meanwhile; when the process exits that is done anyway.
 *
 * @throws FileError
 */
export function writePidFile(file: string): () => void {
  try {
    writeFileSync(file, `${process.pid}\n`)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot write ${file}: ${reason}`, { file }, { cause: error })
  }
  const remove = () => removePidFile(file)
  process.once('exit', remove)
  return remove
}

function removePidFile(file: string): void {
  try {
    if (readFileSync(file, 'utf8') === `${process.pid}\n`) rmSync(file)
  } catch (error) {
    // It is gone already, or may not be removed any more: the process ends all the same.
    if (codeOf(error) === undefined) throw error
  }
}
