/** Sends to a ring, or receives from it, in one of the ways that there are. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle, SharedRing } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import { joinWhenFree } from '../../../support/machines.js'

export interface RingWorkerData {
  readonly handle: MachineHandle
  readonly does: 'send' | 'receive' | 'receive blocking' | 'both for ever'
  readonly id: number
  /** Messages to send. */
  readonly count: number
  /** Byte address of two words: what this worker has sent, and received, in the form for ever. */
  readonly words?: number
}
/** `sender` and `number`: its messages have the numbers from 0 on. */
export interface Numbered {
  readonly sender: number
  readonly number: number
  readonly filling: string
}

const { handle, does, id, count, words = 0 } = workerData as RingWorkerData
const machine = await joinWhenFree(handle)
const ring = machine.ring('r', { value: 'json' }) as SharedRing<Numbered | null>

function message(number: number): Numbered {
  return { sender: id, number, filling: 'x'.repeat((number * 7) % 60) }
}

async function send(): Promise<void> {
  for (let number = 0; number < count; number++) {
    if (number % 3 === 0) ring.send(message(number))
    else if (number % 3 === 1) await ring.sendAsync(message(number))
    else while (!ring.trySend(message(number))) await new Promise(setImmediate)
  }
}

/** Of each sender the messages must come in their order; which came are told. */
class Received {
  readonly of = new Map<number, number[]>()
  add({ sender, number, filling }: Numbered): void {
    if (filling.length !== (number * 7) % 60) throw new Error(`message ${number} has ${filling}`)
    const list = this.of.get(sender) ?? []
    this.of.set(sender, list)
    if (number <= (list.at(-1) ?? -1)) throw new Error(`${number} after ${String(list.at(-1))}`)
    list.push(number)
  }
}

async function receive(): Promise<Received> {
  const received = new Received()
  for await (const each of ring) if (each) received.add(each)
  return received
}
function receiveBlocking(): Received {
  const received = new Received()
  for (let each = ring.receive(); each !== undefined; each = ring.receive()) if (each) received.add(each)
  return received
}

async function both(): Promise<never> {
  const { i32 } = machine.memory
  for (let number = 0; ; number++) {
    for (let i = 0; i < 20; i++) {
      if (ring.trySend(message(number))) addAtomic32(i32, words / 4, 1)
      const got = ring.tryReceive()
      if (got === null) throw new Error('null')
      if (got) {
        if (got.filling.length !== (got.number * 7) % 60) throw new Error(`message ${got.number} is torn`)
        addAtomic32(i32, words / 4 + 1, 1)
      }
    }
    await new Promise(setImmediate)
  }
}

parentPort?.postMessage('ready')
if (does === 'send') await send()
else if (does === 'both for ever') await both()
else {
  const { of } = does === 'receive' ? await receive() : receiveBlocking()
  parentPort?.postMessage(of)
}
await machine.offline()
