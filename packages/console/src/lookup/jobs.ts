/** What the pool has its workers do: batches, and parts of files. */
import { MalformedInputError } from '../errors.js'
import type { FilePart } from './file-part.js'
import type { BatchCounts, BatchFormat, BatchResult, PartFailure } from './protocol.js'

interface JobBase<Result> {
  readonly id: number
  readonly format: BatchFormat
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
  /** Workers that ended while they answered it. */
  losses: number
  /** Whether its answers only have to be written. */
  isAnswered: boolean
}
export interface BatchJob extends JobBase<BatchResult> {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly signal: AbortSignal | undefined
}
export interface PartJob extends JobBase<undefined> {
  readonly part: FilePart
  readonly output: number
  readonly place: PlaceOf
}
export type Job = BatchJob | PartJob

/**
 * Says where in the output the answers to a part go. It is asked again if a worker is lost, and
 * must say the same.
 */
export type PlaceOf = (counts: BatchCounts) => Promise<number>

/** A part of a file could not be read, or its answers not be written. */
export class PartError extends Error {
  override readonly name = 'PartError'
  readonly failure: PartFailure

  constructor(failure: PartFailure) {
    super(failure.message)
    this.failure = failure
  }
}

/** What a worker has told, as an error. */
export function errorOf(failure: PartFailure): MalformedInputError | PartError {
  const { message, position } = failure
  return position === undefined ? new PartError(failure) : new MalformedInputError(message, { position })
}

/** How many of a worker's jobs it has to answer. */
export function unanswered(jobs: ReadonlyMap<number, Job>): number {
  let count = 0
  for (const { isAnswered } of jobs.values()) if (!isAnswered) count++
  return count
}

/** Bytes of addresses. */
export function bytesOf(job: Job): number {
  return 'part' in job ? job.part.to - job.part.from : job.bytes.length
}
