// The part of node:worker_threads and node:events that the README's program uses, on web workers.

const isWorker = typeof WorkerGlobalScope === 'function' && self instanceof WorkerGlobalScope

export class Worker {
  #worker
  constructor(url, { workerData, transferList }) {
    this.#worker = new globalThis.Worker(url, { type: 'module' })
    this.#worker.postMessage(workerData, transferList)
  }
  postMessage(message) {
    this.#worker.postMessage(message)
  }
  once(event, listener) {
    this.#worker.addEventListener(event, ({ data }) => listener(data), { once: true })
  }
  terminate() {
    this.#worker.terminate()
  }
}

export function once(worker, event) {
  return new Promise((resolve) => worker.once(event, (data) => resolve([data])))
}

/** Messages that came before anybody listened: as in Node, they wait. */
const early = []
let listener = (data) => early.push(data)
if (isWorker) self.addEventListener('message', ({ data }) => listener(data))

export const workerData = isWorker ? await new Promise((resolve) => (listener = resolve)) : undefined
listener = (data) => early.push(data)
export const parentPort = {
  on(_event, later) {
    listener = later
    for (const data of early.splice(0)) later(data)
  },
  postMessage: (message) => self.postMessage(message),
}
