/** Folders that are made with those above them. */
import { mkdirSync, statSync } from 'node:fs'
import path from 'node:path'

/**
 * Makes the folder, and those above it that are missing. The `recursive` of `mkdirSync` does the
 * same, but never ends where a folder that is there takes none, as in `/proc`.
 *
 * @throws the error of the system that prevents it
 */
export function makeFolders(folder: string): void {
  const absolute = path.resolve(folder)
  const above = path.dirname(absolute)
  try {
    makeOne(absolute)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || above === absolute) throw error
    makeFolders(above)
    makeOne(absolute)
  }
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder)
  } catch (error) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}
