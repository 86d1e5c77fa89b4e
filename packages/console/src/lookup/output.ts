/**
 * What `percpu lookup -o FILE` writes to: a file, a device, a pipe, or a stream that the process
 * was given.
 */
import { createWriteStream, fstatSync, type Stats } from 'node:fs'
import { lstat, readlink, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { codeOf } from '../error-code.js'
import { UsageError } from '../errors.js'
import { openDeviceSink, streamSink, writeError, type OutputSink } from './sinks.js'
import { writeAside } from './written-aside.js'

/** Symbolic links that lead to each other, at most. */
const MAX_LINKS = 40
const STANDARD_OUTPUT = 1
const STANDARD_ERROR = 2

/**
 * Opens the output, once it is sure that it is none of the files that are read. A file is written
 * aside, so that it keeps what it holds until {@link OutputSink.finish}.
 *
 * @param file undefined: standard output
 * @param inputs what will be read; `-` is standard input
 * @throws UsageError if the output is one of `inputs`, by whatever name; FileError if it cannot be
 * written
 */
export async function openOutput(file: string | undefined, inputs: readonly string[]): Promise<OutputSink> {
  if (file === undefined) {
    await refuseInputs('standard output', fstatSync(STANDARD_OUTPUT), inputs)
    return streamSink(process.stdout)
  }
  const { target, descriptor, found } = await resolveOutput(file).catch((error: unknown) => {
    throw writeError(file, error)
  })
  if (found) await refuseInputs(file, found, inputs)
  if (descriptor !== undefined) return streamSink(streamOf(descriptor), file)
  if (found && !found.isFile()) return openDeviceSink(file)
  return writeAside(file, target, found)
}

interface Output {
  /** The file itself, behind all symbolic links. */
  readonly target: string
  /** The open descriptor that the name stands for, as `/dev/stdout` does. */
  readonly descriptor: number | undefined
  /** What is there. */
  readonly found: Stats | undefined
}

async function resolveOutput(file: string): Promise<Output> {
  let target = file
  for (let links = 0; links < MAX_LINKS; links++) {
    const folder = await realpath(dirname(target))
    target = join(folder, basename(target))
    const descriptor = descriptorOf(folder, basename(target))
    if (descriptor !== undefined) return { target, descriptor, found: fstatSync(descriptor) }
    const link = await lstat(target).catch(absent)
    if (!link?.isSymbolicLink()) break
    target = resolve(folder, await readlink(target))
  }
  // By the name given: links of /proc lead to pipes, which have no path.
  const found = await stat(file).catch(absent)
  if (found?.isDirectory() === true) throw new Error('it is a directory')
  if (file.endsWith('/')) throw new Error('no such directory, and it names no file')
  return { target, descriptor: undefined, found }
}

/**
 * Folders in which the process's open files are listed. Opening them there anew would empty a file,
 * or begin at its start.
 */
function descriptorOf(folder: string, name: string): number | undefined {
  const isOwn = folder === '/dev/fd' || new RegExp(`^/proc/${process.pid}(/task/\\d+)?/fd$`).test(folder)
  return isOwn && /^\d+$/.test(name) ? Number(name) : undefined
}

function streamOf(descriptor: number) {
  if (descriptor === STANDARD_OUTPUT) return process.stdout
  if (descriptor === STANDARD_ERROR) return process.stderr
  return createWriteStream('', { fd: descriptor, autoClose: false })
}

/**
 * Compares device and number: links and other spellings are the same file. Devices and pipes may
 * well be both.
 */
async function refuseInputs(output: string, found: Stats, inputs: readonly string[]): Promise<void> {
  if (!found.isFile()) return
  for (const input of inputs) {
    const read = input === '-' ? fstatSync(0) : await stat(input).catch(absent)
    if (read?.dev !== found.dev || read.ino !== found.ino) continue
    const name = input === '-' ? 'standard input' : input
    throw new UsageError(`${output} is the same file as ${name}, which is read: write to another one`, {
      input,
      output,
    })
  }
}

function absent(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined
  throw error
}
