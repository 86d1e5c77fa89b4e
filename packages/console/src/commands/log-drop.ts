/** `percpu log drop`: takes a table out of a data directory. */
import { stat } from 'node:fs/promises'
import { FileError } from '../errors.js'
import { dropTable } from '../tables/drop.js'
import { visible } from '../visible.js'

/** Resolves with what is to be printed. @throws FileError; as {@link dropTable}. */
export async function drop(directory: string, table: string): Promise<string> {
  // To open a store would make it.
  const found = await stat(directory).catch(() => undefined)
  if (!found?.isDirectory())
    throw new FileError(`there is no directory ${visible(directory)}`, { file: directory })
  const tell = (details: unknown, message?: string) => {
    process.stderr.write(`${message ?? visible(String(details))}\n`)
  }
  await dropTable(directory, table, { info: () => undefined, warn: tell, error: tell })
  return `dropped table ${table}: the next start of the service reads its file\n`
}
