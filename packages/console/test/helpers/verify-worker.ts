/**
 * A thread that checks tables: once completely when asked, and all the time in between, a stretch
 * per turn of its event loop.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { FlatTable, openRoot, TABLE_NAME, type TableFiles } from 'percpu-console'
import { readRows } from './files.js'
import { Expectation } from './verify.js'

export interface VerifySetup {
  readonly handle: MachineHandle
  readonly files: TableFiles
}
/** With a flag: go on checking, in one stretch, until its first word is not 0. */
export type ToVerifier = 'check all' | 'stop' | { readonly flag: Int32Array }
export type FromVerifier =
  | { readonly type: 'ready' }
  | { readonly type: 'checked all'; readonly generation: number; readonly rows: number }
  | { readonly type: 'held'; readonly generation: number; readonly rows: number }
  | { readonly type: 'stopped'; readonly stretches: number; readonly generations: readonly number[] }

/** Every stretch looks at another sample of the rows. */
const STRIDE = 4001

const { handle, files } = workerData as VerifySetup
const port = parentPort
if (!port) throw new TypeError('this module runs as a worker thread')
const send = (message: FromVerifier) => port.postMessage(message)

const expectation = new Expectation(await readRows(files.ipv4), await readRows(files.ipv6))
const machine = join(handle)
const table = new FlatTable(machine.memory, openRoot(machine, TABLE_NAME))
const generations = new Set<number>()
let stretches = 0
let running = true

function stretch(): void {
  if (!running) return
  table.enter()
  generations.add(table.generation)
  expectation.check(table, stretches * 37, STRIDE)
  stretches++
  setImmediate(stretch)
}

/** One table all the way, whatever is published meanwhile. */
function hold(flag: Int32Array): void {
  table.enter()
  let rows = 0
  Atomics.store(flag, 1, 1)
  do rows += expectation.check(table)
  while (Atomics.load(flag, 0) === 0)
  send({ type: 'held', generation: table.generation, rows })
}

port.on('message', (message: ToVerifier) => {
  if (typeof message === 'object') {
    hold(message.flag)
    return
  }
  if (message === 'check all') {
    table.enter()
    send({ type: 'checked all', generation: table.generation, rows: expectation.check(table) })
    return
  }
  running = false
  send({ type: 'stopped', stretches, generations: [...generations] })
  void machine.offline().then(() => port.close())
})

table.enter()
stretch()
send({ type: 'ready' })
