/**
 * Where `percpu lookup` puts its answers: streams, devices and pipes, and files (written-aside.ts).
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import type { Sink } from './stream.js'

/** A sink that has to be ended, in one of two ways. */
export interface OutputSink extends Sink {
  /** Undefined: answers can only be written one behind the other. */
  readonly file?: OutputFile | undefined
  /**
   * All has been written: from now on it is there for others. @throws FileError; nothing has
   * changed then.
   */
  finish(): Promise<void>
  /**
   * Gives up what has been written, as far as it can be taken back; nothing after `finish`. Never
   * rejects.
   */
  discard(): Promise<void>
}

/** A file in which answers may be written at their places, by whoever has its descriptor. */
export interface OutputFile {
  readonly descriptor: number
  /** Behind what is written. */
  position: number
}

/**
 * Writes to a stream with its backpressure. A reader that has gone away (`| head`) is a {@link
 * ReaderGoneError}.
 */
export function streamSink(stream: Writable, name = 'standard output'): OutputSink {
  let failure: Error | undefined
  // Kept: without a listener, a late EPIPE would end the process with a stack trace.
  stream.on('error', (error) => (failure ??= error))
  return {
    write(bytes) {
      return new Promise((resolve, reject) => {
        if (failure) return reject(outputError(name, failure))
        stream.write(bytes, (error) => (error ? reject(outputError(name, error)) : resolve()))
      })
    },
    finish: () => (failure ? Promise.reject(outputError(name, failure)) : Promise.resolve()),
    discard: () => Promise.resolve(),
  }
}

/** Writes to a device or a named pipe, for whose reader it waits. @throws FileError */
export async function openDeviceSink(file: string): Promise<OutputSink> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_WRONLY)
  } catch (error) {
    throw writeError(file, error)
  }
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    await handle.close()
  }
  return {
    async write(bytes) {
      try {
        await writeAll(handle, bytes)
      } catch (error) {
        throw outputError(file, error)
      }
    },
    async finish() {
      try {
        await close()
      } catch (error) {
        throw outputError(file, error)
      }
    },
    // What led here is the error to be told.
    discard: () => close().catch(() => undefined),
  }
}

/** @param position in the file; null: behind what was written last */
export async function writeAll(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number | null = null,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const place = position === null ? null : position + at
    at += (await handle.write(bytes, at, bytes.length - at, place)).bytesWritten
  }
}

/** Whoever read the output has closed it: no error, but there is nothing left to do. */
export class ReaderGoneError extends Error {
  override readonly name = 'ReaderGoneError'
}

function outputError(name: string, error: unknown): Error {
  return codeOf(error) === 'EPIPE' ? new ReaderGoneError(String(error)) : writeError(name, error)
}

export function writeError(file: string, error: unknown): FileError {
  return new FileError(
    `cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`,
    { file },
    { cause: error },
  )
}
