/** Where `percpu lookup` puts its answers: a file, or standard output. */
import { open, type FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { FileError } from '../errors.js'
import type { Sink } from './stream.js'

/** A sink that has to be closed. */
export interface OutputSink extends Sink {
  close(): Promise<void>
}

/** Creates `file`, or empties it. @throws FileError */
export async function openFileSink(file: string): Promise<OutputSink> {
  let handle: FileHandle
  try {
    handle = await open(file, 'w')
  } catch (error) {
    throw writeError(file, error)
  }
  return {
    async write(bytes) {
      try {
        for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at)).bytesWritten
      } catch (error) {
        throw writeError(file, error)
      }
    },
    close: () => handle.close(),
  }
}

/** Writes to a stream with its backpressure. A reader that has gone away (`| head`) is a {@link ReaderGoneError}. */
export function streamSink(stream: Writable): OutputSink {
  let failure: Error | undefined
  // Kept: without a listener, a late EPIPE would end the process with a stack trace.
  stream.on('error', (error) => (failure ??= error))
  return {
    write(bytes) {
      return new Promise((resolve, reject) => {
        if (failure) return reject(outputError(failure))
        stream.write(bytes, (error) => (error ? reject(outputError(error)) : resolve()))
      })
    },
    close: () => Promise.resolve(),
  }
}

/** Whoever read standard output has closed it: no error, but there is nothing left to do. */
export class ReaderGoneError extends Error {
  override readonly name = 'ReaderGoneError'
}

function outputError(error: Error): Error {
  return 'code' in error && error.code === 'EPIPE'
    ? new ReaderGoneError(error.message)
    : writeError('standard output', error)
}

function writeError(file: string, error: unknown): FileError {
  return new FileError(
    `cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`,
    { file },
    { cause: error },
  )
}
