/**
 * A new file of a store. Under its name it is whole and on the disk from the first moment; before,
 * it has a name of its own, which is removed when the store is next recovered.
 */
import { ASIDE } from './format.js'
import { DiskError, type StoreFile, type StoreFolder } from './folder.js'

/**
 * Writes the file aside, then gives it its name. Resolves with the open file when both are on the
 * disk. If `write` rejects, or there is no room, nothing is left.
 */
export async function placeFile(
  folder: StoreFolder,
  name: string,
  write: (file: StoreFile) => Promise<void>,
): Promise<StoreFile> {
  const aside = `${name}${ASIDE}`
  const file = await folder.create(aside)
  try {
    await write(file)
    // Before it has the name: a file of that name is whole. Mutant: store/named-before-whole.
    await file.sync()
    await folder.rename(aside, name)
  } catch (error) {
    await quietly(() => file.close())
    await quietly(() => folder.remove(aside))
    throw error
  }
  try {
    // Before anything is appended to it, or goes for it. Mutant: store/name-unsynced.
    await folder.sync()
  } catch (error) {
    await quietly(() => file.close())
    throw error
  }
  return file
}

/** What ends does not fail: what the disk refuses is left as it is. */
export async function quietly(work: () => Promise<void>): Promise<DiskError | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (error instanceof DiskError) return error
    throw error
  }
}
