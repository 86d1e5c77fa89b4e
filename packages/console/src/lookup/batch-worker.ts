/** A worker of the pool: joins the machine, then answers batches until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { openRoot } from '../table/root.js'
import { FlatTable } from '../table/search.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import { BATCH_LABEL, type FromWorker, type ToWorker, type WorkerSetup } from './protocol.js'

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

/**
 * Between two lines: answers the doorbell, so that no batch is long enough to be taken for a worker
 * that is stuck. From there on the table entered before may be gone. Returns whether another one is
 * the current one, from which the whole batch is answered then.
 */
function pause(): boolean {
  const { generation } = table
  machine.poll()
  table.enter()
  return table.generation !== generation
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'stop') {
    void machine.offline().then(() => port.close())
    return
  }
  const result = machine.run(BATCH_LABEL, () => {
    table.enter()
    return answerBatch(writer, new Uint8Array(message.input), message.format, message.spare, pause)
  })
  send({ type: 'done', id: message.id, ...result }, [result.buffer])
})

send({ type: 'ready', cpu: machine.cpu, attachMilliseconds })
