/**
 * One thread of a shape. It runs its process once in each slot of a batch, again and again. After
 * each batch the first thread counts the outcomes and resets the slots.
 *
 * Threads meet at a barrier before and after each batch. In every second batch they also wait for
 * each other before each run, with bounded patience, so that runs overlap closely. In the other
 * batches they start after a random delay and run freely. With more threads than cores no thread
 * spins for long: it would keep the one that it waits for from running.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { compileFunction } from 'node:vm'
import { compiledParameters, VARIABLE_STRIDE } from './compile.js'
import { ARRIVED, FENCE, LINE, PHASE, PROGRESS, STOP, type ShapeLayout } from './shape-memory.js'

export interface ShapeJob {
  readonly memory: SharedArrayBuffer
  readonly layout: ShapeLayout
  readonly thread: number
  /** Source of the function that runs the process once. */
  readonly source: string
  readonly batches: number
  /** Milliseconds after which the first thread ends it. */
  readonly maxMs: number
  /**
   * The number of looks before a thread sleeps at a barrier, and the number of looks for the
   * others, for each run of a batch.
   */
  readonly barrierSpins: number
  readonly runSpins: number
  readonly seed: number
  readonly initial: readonly number[]
  /** Offsets in the slot of the observed words. */
  readonly observed: readonly number[]
}

/** The number of times that each outcome was seen, by its values joined with commas. */
export interface ShapeCounts {
  readonly outcomes: ReadonlyMap<string, number>
  readonly batches: number
}

type Run = (m: Int32Array, v: number, f: number, o: number) => void

class ShapeThread {
  readonly #job: ShapeJob
  readonly #words: Int32Array
  readonly #run: Run
  readonly #outcomes = new Map<string, number>()
  #random: number
  #sink = 0
  /** The number of looks for the others that this thread has left in this batch. */
  #patience = 0

  constructor(job: ShapeJob) {
    this.#job = job
    this.#words = new Int32Array(job.memory)
    this.#run = compileFunction(job.source, [...compiledParameters]) as Run
    this.#random = job.seed * 2654435761 + job.thread + 1
  }

  work(): ShapeCounts {
    const { thread, batches, maxMs } = this.#job
    const start = performance.now()
    if (thread === 0) this.#reset()
    let batch = 0
    while (batch < batches) {
      this.#barrier()
      if (Atomics.load(this.#words, STOP) === 1) break
      this.#runBatch(batch % 2 === 0)
      this.#barrier()
      batch++
      if (thread !== 0) continue
      this.#count()
      this.#reset()
      if (performance.now() - start > maxMs) Atomics.store(this.#words, STOP, 1)
    }
    return { outcomes: this.#outcomes, batches: batch }
  }

  #runBatch(aligned: boolean): void {
    const { layout, thread, runSpins } = this.#job
    const words = this.#words
    const run = this.#run
    const offset = layout.registers[thread] ?? 0
    const together = aligned && runSpins > 0
    this.#patience = runSpins * layout.slots
    if (!together) this.#delay(4096)
    let slot = layout.base
    for (let k = 1; k <= layout.slots; k++) {
      if (together) this.#meet(k)
      run(words, slot, FENCE, slot + offset)
      slot += layout.stride
    }
  }

  /**
   * Waits for the others to reach run `k`, while there is patience left in this batch: they may not
   * be running.
   */
  #meet(k: number): void {
    const { layout, thread } = this.#job
    const words = this.#words
    Atomics.store(words, PROGRESS + thread * LINE, k)
    for (let other = 0; other < layout.threads; other++)
      while (this.#patience > 0 && Atomics.load(words, PROGRESS + other * LINE) < k) this.#patience--
    // The last thread to come knows it before the others do. Only with delays do runs begin at
    // about the same time, in either order.
    this.#delay(512)
  }

  #delay(bound: number): void {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) | 0
    for (let left = (this.#random >>> 8) % bound; left > 0; left--) this.#sink = (this.#sink + left) | 0
  }

  #barrier(): void {
    const { layout, thread, barrierSpins } = this.#job
    const words = this.#words
    const phase = Atomics.load(words, PHASE)
    Atomics.store(words, PROGRESS + thread * LINE, 0)
    if (Atomics.add(words, ARRIVED, 1) === layout.threads - 1) {
      Atomics.store(words, ARRIVED, 0)
      Atomics.add(words, PHASE, 1)
      Atomics.notify(words, PHASE)
      return
    }
    for (let tries = barrierSpins; tries > 0; tries--) if (Atomics.load(words, PHASE) !== phase) return
    while (Atomics.load(words, PHASE) === phase) Atomics.wait(words, PHASE, phase)
  }

  #count(): void {
    const { layout, observed } = this.#job
    for (let k = 0; k < layout.slots; k++) {
      const slot = layout.base + k * layout.stride
      let key = ''
      for (const offset of observed) key += `${Atomics.load(this.#words, slot + offset)},`
      this.#outcomes.set(key, (this.#outcomes.get(key) ?? 0) + 1)
    }
  }

  #reset(): void {
    const { layout, initial } = this.#job
    for (let k = 0; k < layout.slots; k++)
      initial.forEach((value, variable) =>
        Atomics.store(this.#words, layout.base + k * layout.stride + variable * VARIABLE_STRIDE, value),
      )
  }
}

if (parentPort !== null) parentPort.postMessage(new ShapeThread(workerData as ShapeJob).work())
