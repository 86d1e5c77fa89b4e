/** A worker of the pool: joins the machine, then answers batches until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { AddressTable } from '../table/address-table.js'
import type { LookupTable } from '../table/lookup-table.js'
import { unpack } from '../table/packed.js'
import { PackedTable } from '../table/packed-table.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import { BATCH_LABEL, type FromWorker, type ToWorker, type WorkerSetup } from './protocol.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const setup = workerData as WorkerSetup

const began = performance.now()
const machine = join(setup.handle)
const { table, hold } = openPlace(setup)
const attachMilliseconds = performance.now() - began
const writer = new AnswerWriter(table, setup.rules)

/** The table, and what runs work on one version of it. */
function openPlace({ table: place, fields }: WorkerSetup): {
  readonly table: LookupTable
  readonly hold: (work: () => void) => void | Promise<void>
} {
  if (typeof place === 'string') {
    const table = new AddressTable(machine, place, fields)
    return { table, hold: (work) => table.hold(work) }
  }
  const [ipv4, ipv6] = [unpack(place.ipv4), unpack(place.ipv6)]
  if (!ipv4 || !ipv6) throw new TypeError('no packed rows')
  return { table: new PackedTable(ipv4, ipv6, fields), hold: (work) => work() }
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'stop') {
    void machine.offline().then(() => port.close())
    return
  }
  void hold(() => {
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
