/**
 * A thread that checks tables: once completely when asked, and all the time in between, a stretch
 * per turn of its event loop.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { AddressTable, TABLE_NAME, type TableFiles } from 'percpu-console'
import { readRows } from './files.js'
import { cutRows, Expectation } from './verify.js'

export interface VerifySetup {
  readonly handle: MachineHandle
  readonly files: TableFiles
}
/** With a flag: go on checking, in one hold, until its first word is not 0. */
export type ToVerifier = 'check all' | 'stop' | { readonly flag: Int32Array }
export type FromVerifier =
  | { readonly type: 'ready' }
  | { readonly type: 'checked all'; readonly version: number; readonly rows: number }
  | { readonly type: 'held'; readonly version: number; readonly rows: number }
  | { readonly type: 'stopped'; readonly stretches: number; readonly versions: readonly number[] }

/** Every stretch looks at another sample of the rows. */
const STRIDE = 4001

const { handle, files } = workerData as VerifySetup
const port = parentPort
if (!port) throw new TypeError('this module runs as a worker thread')
const send = (message: FromVerifier) => port.postMessage(message)

const expectation = new Expectation(cutRows(await readRows(files.ipv4)), await readRows(files.ipv6))
const machine = join(handle)
const table = new AddressTable(machine, TABLE_NAME)
const versions = new Set<number>()
let stretches = 0
let running = true

async function stretch(): Promise<void> {
  if (!running) return
  await table.hold(() => {
    versions.add(table.versions.ipv4)
    expectation.check(table, stretches * 37, STRIDE)
  })
  stretches++
  setImmediate(() => void stretch())
}

/** One version all the way, whatever is published meanwhile, also while the thread polls. */
async function hold(flag: Int32Array): Promise<void> {
  await table.hold(() => {
    let rows = 0
    Atomics.store(flag, 1, 1)
    do {
      rows += expectation.check(table)
      machine.poll()
    } while (Atomics.load(flag, 0) === 0)
    send({ type: 'held', version: table.versions.ipv4, rows })
  })
}

port.on('message', (message: ToVerifier) => {
  if (typeof message === 'object') {
    void hold(message.flag)
    return
  }
  if (message === 'check all') {
    void table.hold(() => {
      send({ type: 'checked all', version: table.versions.ipv4, rows: expectation.check(table) })
    })
    return
  }
  running = false
  send({ type: 'stopped', stretches, versions: [...versions] })
  void machine.offline().then(() => port.close())
})

void stretch()
send({ type: 'ready' })
