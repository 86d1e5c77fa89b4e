/** Folders that are made with those above them. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { codeOf } from './error-code.js'

/**
 * Makes the folder, and those above it that are missing. The `recursive` of `mkdir` does the same,
 * but never ends where a folder that is there takes none, as in `/proc`.
 *
 * @returns the first folder that was made, if one was
 * @throws the error of the system that prevents it
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  const absolute = resolve(path)
  try {
    return await makeOne(absolute)
  } catch (error) {
    const above = dirname(absolute)
    if (codeOf(error) !== 'ENOENT' || above === absolute) throw error
    const first = await makeFolders(above)
    const own = await makeOne(absolute)
    return first ?? own
  }
}

/** @returns the folder if it was made, or undefined if it was there */
async function makeOne(path: string): Promise<string | undefined> {
  try {
    await mkdir(path)
    return path
  } catch (error) {
    if (await isFolder(path)) return undefined
    throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false // the error of mkdir says more
  }
}
