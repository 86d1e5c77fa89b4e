import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import type { TableFiles } from 'percpu-console'
import type { FromVerifier, ToVerifier, VerifySetup } from './verify-worker.js'

/** A {@link file://./verify-worker.ts} and its answers. An answer that is wrong anywhere rejects whatever is waited for next. */
export class Verifier {
  readonly #worker: Worker
  readonly #failed: Promise<never>

  private constructor(worker: Worker) {
    this.#worker = worker
    this.#failed = new Promise((_, reject) => {
      worker.once('error', reject)
      worker.once('exit', (code) => {
        if (code !== 0) reject(new Error(`the verifier ended with ${code}`))
      })
    })
    this.#failed.catch((error: unknown) => {
      process.exitCode = 1
      console.error(error)
    })
  }

  static async start(machine: Machine, files: TableFiles): Promise<Verifier> {
    const workerData: VerifySetup = { handle: machine.handle, files }
    const worker = new Worker(new URL('./verify-worker.js', import.meta.url), { workerData })
    machine.supervise(worker)
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
