import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import type { TableFiles } from 'percpu-console'
import type { FromVerifier, ToVerifier, VerifySetup } from './verify-worker.js'

/**
 * A {@link file://./verify-worker.ts} and its answers. An answer that is wrong anywhere rejects
 * whatever is waited for next.
 */
export class Verifier {
  readonly #worker: Worker
  readonly #failed: Promise<never>

  private constructor(worker: Worker) {
    this.#worker = worker
    this.#failed = new Promise((_, reject) => {
      worker.once('error', reject)
    })
    // Looked at when the next answer is waited for, and by stop() at the latest.
    this.#failed.catch(() => undefined)
  }

  /** Ended after the test at the latest. */
  static async start(t: Pick<TestContext, 'after'>, machine: Machine, files: TableFiles): Promise<Verifier> {
    const workerData: VerifySetup = { handle: machine.handle, files }
    const worker = new Worker(new URL('./verify-worker.js', import.meta.url), { workerData })
    machine.supervise(worker)
    t.after(() => worker.terminate())
    const verifier = new Verifier(worker)
    await verifier.#message('ready')
    return verifier
  }

  /** Has every row checked, in one stretch. */
  checkAll(): Promise<Extract<FromVerifier, { type: 'checked all' }>> {
    const answer = this.#message('checked all')
    this.#worker.postMessage('check all' satisfies ToVerifier)
    return answer
  }

  /**
   * Begins a stretch that lasts until `flag[0]` is set; `flag[1]` tells that it has begun. Resolves
   * after it.
   */
  hold(flag: Int32Array): Promise<Extract<FromVerifier, { type: 'held' }>> {
    const answer = this.#message('held')
    this.#worker.postMessage({ flag } satisfies ToVerifier)
    return answer
  }

  async stop(): Promise<Extract<FromVerifier, { type: 'stopped' }>> {
    const ended = once(this.#worker, 'exit')
    const answer = this.#message('stopped')
    this.#worker.postMessage('stop' satisfies ToVerifier)
    const result = await answer
    await ended
    return result
  }

  #message<Type extends FromVerifier['type']>(type: Type): Promise<Extract<FromVerifier, { type: Type }>> {
    const received = new Promise<Extract<FromVerifier, { type: Type }>>((resolve) => {
      const listener = (message: FromVerifier) => {
        if (message.type !== type) return
        this.#worker.off('message', listener)
        resolve(message as Extract<FromVerifier, { type: Type }>)
      }
      this.#worker.on('message', listener)
    })
    return Promise.race([received, this.#failed])
  }
}
