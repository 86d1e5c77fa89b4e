/**
 * The pool: one worker a core, each a CPU of the machine, that answer batches.
 *
 *     run(batch) ──▶ waiting ──▶ worker ──▶ answers    one batch in work, one ready: DEPTH
 *                       ▲           │ its thread ended
 *                       └───────────┘ at the head of the queue; another worker tries
 *
 * Guarantees: each batch is answered once, completely and by one table. A worker that dies is
 * reaped and replaced, and its batches go to others. The batch that it was answering has ATTEMPTS.
 * A worker that is said to be stuck gets no batches meanwhile. A batch's bytes stay here until it
 * is answered; the worker gets a copy.
 *
 * A part of a file is read and written by its worker. What is said here of a batch is so of a part,
 * too. Its answers wait in the worker until they are told their place.
 */
import { EventEmitter } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import { STRICT, type AddressRules } from '../address/rules.js'
import { AbortedError, WorkerLostError } from '../errors.js'
import type { Crew } from '../serve/thread-watch.js'
import { USUAL_FIELDS } from '../table/format.js'
import type { FilePart } from './file-part.js'
import { JobQueue } from './job-queue.js'
import { bytesOf, errorOf, unanswered, type BatchJob, type Job, type PartJob, type PlaceOf } from './jobs.js'
import type {
  BatchCounts,
  BatchFormat,
  BatchResult,
  FromWorker,
  TablePlace,
  ToWorker,
  WorkerSetup,
} from './protocol.js'

/** Batches that a worker holds at once, beside those that it has answered. */
const DEPTH = 2
/** Workers that may end while they answer a batch before it is given up. */
const ATTEMPTS = 3
/** Workers in a row, in one place, that may end before they are ready. */
const STARTS = 3
/** Buffers kept for reuse, per worker. */
const SPARES = 2

export interface PoolOptions {
  readonly workers: number
  /** The name of one of maps.ts, or the rows of packed.ts. */
  readonly table: TablePlace
  /** Its columns of data. Default: the usual ones. */
  readonly fields?: readonly string[] | undefined
  /** What addresses are. Default: nothing beyond {@link STRICT}. */
  readonly rules?: AddressRules | undefined
  /** Whether batches wait until {@link LookupPool.release}. Default: false. */
  readonly isHeld?: boolean
}

export interface WorkerStatus {
  readonly cpu: number | undefined
  readonly threadId: number
  /** Addresses answered by the workers in this place. */
  readonly lookups: number
  /** Times that a worker in this place has been replaced. */
  readonly replaced: number
  /** Whether it gets no batches, because it is stuck. */
  readonly isSuspended: boolean
  /** From the beginning of `join` to the first possible lookup, in ms. */
  readonly attachMilliseconds: number | undefined
}

interface PoolEvents {
  /** A worker's thread ended although nobody had told it to. */
  lost: [{ place: number; cpu: number | undefined; error: Error | undefined; retried: number }]
  /** A worker is ready; `replaced` counts its predecessors. */
  ready: [{ place: number; cpu: number; replaced: number }]
  /** No worker can be started any more. */
  failed: [WorkerLostError]
}

interface Place {
  readonly number: number
  worker: Worker | undefined
  cpu: number | undefined
  threadId: number
  error: Error | undefined
  isSuspended: boolean
  /** In the order in which the worker answers them. */
  readonly jobs: Map<number, Job>
  lookups: number
  replaced: number
  attachMilliseconds: number | undefined
  /** Starts in a row that did not get as far as ready. */
  failedStarts: number
}

export class LookupPool extends EventEmitter<PoolEvents> implements Crew {
  readonly kind = 'worker'
  readonly #machine: Machine
  readonly #setup: WorkerSetup
  readonly #places: Place[]
  readonly #waiting: JobQueue
  readonly #spares: ArrayBuffer[] = []
  #nextId = 1
  /** Of {@link ready}: called when a worker is ready, and when there will be none. */
  readonly #callers: (() => void)[] = []
  #closing = false

  /** Workers start at once; {@link LookupPool.ready} tells when. */
  constructor(
    machine: Machine,
    { workers, table, fields = USUAL_FIELDS, rules = STRICT, isHeld = false }: PoolOptions,
  ) {
    super()
    this.#waiting = new JobQueue(isHeld)
    this.#machine = machine
    this.#setup = { handle: machine.handle, table, fields, rules }
    this.#places = Array.from({ length: workers }, (_, number) => ({
      number,
      worker: undefined,
      cpu: undefined,
      threadId: -1,
      error: undefined,
      isSuspended: false,
      jobs: new Map<number, Job>(),
      lookups: 0,
      replaced: 0,
      attachMilliseconds: undefined,
      failedStarts: 0,
    }))
    for (const place of this.#places) this.#start(place)
  }

  /** When every worker is ready. @throws WorkerLostError if none can be started; AbortedError. */
  async ready(): Promise<void> {
    while (this.#places.some(({ cpu }) => cpu === undefined)) {
      if (this.#waiting.refusal) throw this.#waiting.refusal
      await new Promise<void>((resolve) => this.#callers.push(resolve))
    }
  }

  /** Gives out the batches that have waited, and from now on each as it comes. */
  release(): void {
    this.#waiting.release()
    this.#dispatch()
  }

  /** Rejects the batches that wait for a worker, and all from now on, with AbortedError. */
  refuse(): void {
    this.#refuse(new AbortedError('the pool of workers is being closed'))
  }
  #refuse(error: Error): void {
    this.#waiting.refuse(error)
    this.#tellCallers()
  }
  #tellCallers(): void {
    for (const tell of this.#callers.splice(0)) tell()
  }

  get workers(): readonly WorkerStatus[] {
    return this.#places.map(({ cpu, threadId, lookups, replaced, isSuspended, attachMilliseconds }) => ({
      cpu,
      threadId,
      lookups,
      replaced,
      isSuspended,
      attachMilliseconds,
    }))
  }
  /** Batches that wait for a worker. */
  get queued(): number {
    return this.#waiting.length
  }

  /**
   * Has the lines of `bytes` answered. Do not change `bytes` before that.
   *
   * @throws AbortedError if `signal` is aborted before a worker takes it, or the pool is closed;
   *   WorkerLostError.
   */
  run(bytes: Uint8Array<ArrayBuffer>, format: BatchFormat, signal?: AbortSignal): Promise<BatchResult> {
    return new Promise((resolve, reject) => {
      const state = { id: this.#nextId++, losses: 0, isAnswered: false }
      this.#add({ ...state, bytes, format, signal, resolve, reject })
    })
  }

  /**
   * Has the lines that begin in a part of a file answered, and the answers written to a place of
   * the file `output`. Both files must stay open until then.
   *
   * @throws PartError; what `place` throws, AbortedError, WorkerLostError
   */
  runPart(part: FilePart, format: BatchFormat, output: number, place: PlaceOf): Promise<undefined> {
    return new Promise((resolve, reject) => {
      const state = { id: this.#nextId++, losses: 0, isAnswered: false }
      this.#add({ ...state, part, format, output, place, resolve, reject })
    })
  }

  /** Gives a result's buffer back for reuse, once its bytes have been written. */
  recycle(buffer: ArrayBuffer): void {
    if (this.#spares.length < this.#places.length * SPARES) this.#spares.push(buffer)
  }

  /**
   * Gives the worker that is this CPU no batches for the time being. Returns its place; undefined
   * if it is none of the pool's.
   */
  suspend(cpu: number): number | undefined {
    return this.#setSuspended(cpu, true)
  }
  /** Takes {@link suspend} back. */
  resume(cpu: number): number | undefined {
    return this.#setSuspended(cpu, false)
  }

  /** Ends the worker in this place, wherever it is; another one takes its place and its batches. */
  async replace(place: number): Promise<void> {
    await this.#places[place]?.worker?.terminate()
  }
  onLost(tell: (place: number) => void): void {
    this.on('lost', ({ place }) => tell(place))
  }

  /**
   * Takes the workers offline, after the batches they hold; those still waiting are rejected.
   * Workers that take longer than `milliseconds` are terminated.
   */
  async close(milliseconds = 5000): Promise<void> {
    this.#closing = true
    this.refuse()
    const workers = this.#places.flatMap(({ worker }) => (worker ? [worker] : []))
    const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
    for (const worker of workers) worker.postMessage({ type: 'stop' } satisfies ToWorker)
    const deadline = setTimeout(() => {
      for (const worker of workers) void worker.terminate()
    }, milliseconds)
    await Promise.all(ended)
    clearTimeout(deadline)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Batches

  #add(job: Job): void {
    this.#waiting.add(job)
    this.#dispatch()
  }
  #dispatch(): void {
    while (this.#waiting.hasNext) {
      const place = this.#leastBusy()
      const job = place?.worker && this.#waiting.take()
      if (!place?.worker || !job) return
      place.jobs.set(job.id, job)
      this.#send(place.worker, job)
    }
  }
  #send(worker: Worker, job: Job): void {
    const { id, format } = job
    if ('part' in job) {
      worker.postMessage({ type: 'part', id, format, part: job.part } satisfies ToWorker)
      return
    }
    // A copy: should the worker die, another one gets the batch.
    const input = job.bytes.slice().buffer
    const spare = this.#spares.pop()
    const message: ToWorker = { type: 'batch', id, format, input, spare }
    worker.postMessage(message, spare ? [input, spare] : [input])
  }

  #leastBusy(): Place | undefined {
    let best: Place | undefined
    for (const place of this.#places) {
      if (place.cpu === undefined || place.isSuspended) continue
      if (unanswered(place.jobs) < (best ? unanswered(best.jobs) : DEPTH)) best = place
    }
    return best
  }

  #setSuspended(cpu: number, isSuspended: boolean): number | undefined {
    const place = this.#places.find((candidate) => candidate.cpu === cpu)
    if (!place) return undefined
    place.isSuspended = isSuspended
    this.#dispatch()
    return place.number
  }

  #hear(place: Place, message: Exclude<FromWorker, { readonly type: 'ready' }>): void {
    const job = place.jobs.get(message.id)
    if (!job) return
    if (message.type === 'answered') {
      place.lookups += message.counts.answered
      job.isAnswered = true
      void this.#write(place, job as PartJob, message.counts)
    } else {
      place.jobs.delete(message.id)
      if (message.type === 'done') {
        place.lookups += message.answered
        ;(job as BatchJob).resolve(message)
      } else if (message.type === 'written') (job as PartJob).resolve(undefined)
      else job.reject(errorOf(message.failure))
    }
    this.#dispatch()
  }
  /**
   * Tells the worker where the answers go. If it was lost meanwhile, another one has the job, and
   * asks again.
   */
  async #write(place: Place, job: PartJob, counts: BatchCounts): Promise<void> {
    const { id, output } = job
    const { worker } = place
    let position: number | undefined
    let failure: Error | undefined
    try {
      position = await job.place(counts)
    } catch (error) {
      failure = error as Error
    }
    if (place.worker !== worker || place.jobs.get(id) !== job) return
    worker?.postMessage({ type: 'write', id, output, position } satisfies ToWorker)
    if (failure === undefined) return
    place.jobs.delete(id)
    job.reject(failure)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Workers

  #start(place: Place): void {
    const worker = new Worker(new URL('./batch-worker.js', import.meta.url), { workerData: this.#setup })
    const { reaped } = this.#machine.supervise(worker)
    place.worker = worker
    place.threadId = worker.threadId
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') this.#isReady(place, message)
      else this.#hear(place, message)
    })
    worker.on('error', (error: Error) => (place.error = error))
    worker.once('exit', () => void this.#ended(place, reaped))
  }

  #isReady(place: Place, { cpu, attachMilliseconds }: { cpu: number; attachMilliseconds: number }): void {
    place.cpu = cpu
    place.attachMilliseconds = attachMilliseconds
    place.failedStarts = 0
    this.emit('ready', { place: place.number, cpu, replaced: place.replaced })
    this.#tellCallers()
    this.#dispatch()
  }

  async #ended(place: Place, reaped: Promise<unknown>): Promise<void> {
    const { cpu, error } = place
    place.worker = undefined
    place.cpu = undefined
    place.error = undefined
    place.isSuspended = false
    const jobs = [...place.jobs.values()]
    place.jobs.clear()
    if (this.#closing) {
      for (const job of jobs) job.reject(new AbortedError('the pool of workers was closed'))
      return
    }
    if (cpu === undefined) place.failedStarts++
    this.#retry(jobs)
    this.emit('lost', { place: place.number, cpu, error, retried: jobs.length })
    this.#dispatch()
    await reaped
    this.#startAnother(place, error)
  }

  #startAnother(place: Place, error: Error | undefined): void {
    if (this.#closing) return
    if (place.failedStarts >= STARTS) {
      this.#giveUp(error)
      return
    }
    place.replaced++
    this.#start(place)
  }

  /**
   * Puts a dead worker's batches back, in front of the others. Only the oldest that is not answered
   * can have been what the worker died of.
   */
  #retry(jobs: readonly Job[]): void {
    const suspect = jobs.find(({ isAnswered }) => !isAnswered) ?? jobs[0]
    if (suspect) suspect.losses++
    for (const job of jobs.toReversed()) {
      job.isAnswered = false
      if (job.losses < ATTEMPTS) {
        this.#waiting.putBack(job)
      } else {
        job.reject(
          new WorkerLostError(
            `${ATTEMPTS} workers ended while they answered this batch of ${bytesOf(job)} bytes`,
            {
              bytes: bytesOf(job),
            },
          ),
        )
      }
    }
  }

  /** A place stays empty; without any worker left, nothing can be answered. */
  #giveUp(cause: Error | undefined): void {
    if (this.#places.some(({ worker }) => worker)) return
    const error = new WorkerLostError(
      `no worker could be started in ${STARTS} attempts${cause ? `: ${cause.message}` : ''}`,
      {},
      cause ? { cause } : {},
    )
    this.#refuse(error)
    this.emit('failed', error)
  }
}
