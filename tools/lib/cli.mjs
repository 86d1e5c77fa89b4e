// What the command-line tools of this folder share.

import { readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of this repository. */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url))

/** Whether the module with this `import.meta.url` is the program that Node was started with. */
export function isMain(moduleUrl) {
  return process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(moduleUrl)
}

/**
 * What `read` makes of the command line. If it throws, the message is printed, the program will end
 * with 2, and undefined comes back.
 */
export function readCommandLine(read) {
  try {
    return read(process.argv.slice(2))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 2
    return undefined
  }
}

/**
 * Lists the files below `directory` whose names end with one of `extensions`: paths relative to
 * `directory`, with `/`, sorted. A directory that does not exist has no files. Directories named in
 * `skip` are not entered.
 */
export function listFiles(directory, extensions, skip = ['node_modules']) {
  const found = []
  const visit = (relative) => {
    for (const entry of readDirectory(path.join(directory, relative))) {
      const name = relative === '' ? entry.name : `${relative}/${entry.name}`
      if (entry.isDirectory() && !skip.includes(entry.name)) visit(name)
      else if (entry.isFile() && extensions.some((extension) => entry.name.endsWith(extension)))
        found.push(name)
    }
  }
  visit('')
  return found.sort()
}

function readDirectory(directory) {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}

/** The parts of a path given with `/`. */
export function segments(relativePath) {
  return relativePath.split('/')
}

/**
 * Ends a check: prints each problem as `file:line: message` and sets the exit code 1, or prints
 * `success` when there is none.
 */
export function reportProblems(title, problems, success) {
  if (problems.length === 0) {
    console.log(`${title}: ${success}`)
    return
  }
  for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`)
  console.error(`${title}: ${problems.length} problem${problems.length === 1 ? '' : 's'}`)
  process.exitCode = 1
}
