/** Batches and parts of files that wait for a worker, until they are refused. */
import { AbortedError } from '../errors.js'
import type { Job } from './jobs.js'

export class JobQueue {
  readonly #jobs: Job[] = []
  #isHeld: boolean
  #refusal: Error | undefined

  /** @param isHeld whether jobs wait until {@link JobQueue.release} */
  constructor(isHeld: boolean) {
    this.#isHeld = isHeld
  }

  get length(): number {
    return this.#jobs.length
  }
  /** What jobs are rejected with. */
  get refusal(): Error | undefined {
    return this.#refusal
  }

  release(): void {
    this.#isHeld = false
  }

  add(job: Job): void {
    if (this.#refusal) job.reject(this.#refusal)
    else this.#jobs.push(job)
  }
  /** Puts a job back that was taken, in front of the others. */
  putBack(job: Job): void {
    if (this.#refusal) job.reject(this.#refusal)
    else this.#jobs.unshift(job)
  }

  get hasNext(): boolean {
    return !this.#isHeld && this.#jobs.length > 0
  }
  /** Takes the first job whose signal is not aborted; rejects those before it. */
  take(): Job | undefined {
    while (this.hasNext) {
      const job = this.#jobs.shift() as Job
      if (!('signal' in job) || !job.signal?.aborted) return job
      job.reject(new AbortedError('given up before a worker took it'))
    }
    return undefined
  }

  /** Rejects all that wait, and whatever comes from now on. The first error counts. */
  refuse(error: Error): void {
    this.#refusal ??= error
    for (const job of this.#jobs.splice(0)) job.reject(this.#refusal)
  }
}
