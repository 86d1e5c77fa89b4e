/** A worker of the pool: joins the machine, then answers batches until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { MalformedInputError } from '../errors.js'
import { AddressTable } from '../table/address-table.js'
import type { LookupTable } from '../table/lookup-table.js'
import { unpack } from '../table/packed.js'
import { PackedTable } from '../table/packed-table.js'
import { answerBatch } from './answer-batch.js'
import { AnswerWriter } from './answer.js'
import { readPart, Room, writeAt } from './file-part.js'
import {
  BATCH_LABEL,
  type BatchFormat,
  type BatchResult,
  type FromWorker,
  type PartFailure,
  type ToWorker,
  type WorkerSetup,
} from './protocol.js'

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
  const table = new PackedTable(ipv4, ipv6, fields)
  table.index()
  return { table, hold: (work) => work() }
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

function answer(bytes: Uint8Array, format: BatchFormat, spare: ArrayBuffer | undefined): BatchResult {
  return machine.run(BATCH_LABEL, () =>
    // The doorbell is answered in between, so that a long batch is not taken for a stuck worker.
    answerBatch(writer, bytes, format, spare, () => machine.poll()),
  )
}

const room = new Room()
/** Answers to parts that have no place yet. */
const answers = new Map<number, Uint8Array<ArrayBuffer>>()
/** Buffers of answers that are written. */
const spares: ArrayBuffer[] = []

/** Tells what went wrong while a part was read or written, and returns undefined then. */
function attempt<Result>(id: number, doing: PartFailure['while'], work: () => Result): Result | undefined {
  try {
    return work()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const position = error instanceof MalformedInputError ? (error.details['position'] as number) : undefined
    send({ type: 'failed', id, failure: { while: doing, message, position } })
    return undefined
  }
}

function answerPart({ id, part, format }: Extract<ToWorker, { readonly type: 'part' }>): void {
  void hold(() => {
    const bytes = attempt(id, 'reading', () => readPart(part, room))
    if (!bytes) return
    const { buffer, ...counts } = answer(bytes, format, spares.pop())
    answers.set(id, new Uint8Array(buffer, 0, counts.length))
    send({ type: 'answered', id, counts })
  })
}

function writePart({ id, output, position }: Extract<ToWorker, { readonly type: 'write' }>): void {
  const bytes = answers.get(id)
  if (!bytes) return
  answers.delete(id)
  attempt(id, 'writing', () => {
    if (position === undefined) return
    writeAt(output, bytes, position)
    send({ type: 'written', id })
  })
  spares.push(bytes.buffer)
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'stop') void machine.offline().then(() => port.close())
  else if (message.type === 'batch')
    void hold(() => {
      const result = answer(new Uint8Array(message.input), message.format, message.spare)
      send({ type: 'done', id: message.id, ...result }, [result.buffer])
    })
  else if (message.type === 'part') answerPart(message)
  else writePart(message)
})

send({ type: 'ready', cpu: machine.cpu, attachMilliseconds })
