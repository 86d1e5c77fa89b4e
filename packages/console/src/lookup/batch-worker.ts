/** A worker of the pool: joins the machine, then answers batches until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { openRoot } from '../table/root.js'
import { FlatTable } from '../table/search.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import type { FromWorker, ToWorker, WorkerSetup } from './protocol.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const setup = workerData as WorkerSetup

const began = performance.now()
const machine = join(setup.handle)
const table = new FlatTable(machine.memory, openRoot(machine, setup.table))
const attachMilliseconds = performance.now() - began
const writer = new AnswerWriter(table)

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'stop') {
    void machine.offline().then(() => port.close())
    return
  }
  // One synchronous stretch: the table entered here stays in place until the answers are complete.
  table.enter()
  const result = answerBatch(writer, new Uint8Array(message.input), message.format, message.spare)
  send({ type: 'done', id: message.id, ...result }, [result.buffer])
})

send({ type: 'ready', cpu: machine.cpu, attachMilliseconds })
