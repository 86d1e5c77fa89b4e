/** A worker of the pool: joins the machine, then answers batches until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { AddressTable } from '../table/address-table.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import { BATCH_LABEL, type FromWorker, type ToWorker, type WorkerSetup } from './protocol.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const setup = workerData as WorkerSetup

const began = performance.now()
const machine = join(setup.handle)
const table = new AddressTable(machine, setup.table, setup.fields)
const attachMilliseconds = performance.now() - began
const writer = new AnswerWriter(table, setup.rules)

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'stop') {
    void machine.offline().then(() => port.close())
    return
  }
  void table.hold(() => {
    const result = machine.run(BATCH_LABEL, () =>
      // The doorbell is answered in between, so that a long batch is not taken for a stuck worker.
      answerBatch(writer, new Uint8Array(message.input), message.format, message.spare, () => {
        machine.poll()
      }),
    )
    send({ type: 'done', id: message.id, ...result }, [result.buffer])
  })
})

send({ type: 'ready', cpu: machine.cpu, attachMilliseconds })
