/** Changes the structures of the kill test as fast as it can, until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'
import { SharedState } from './shared-state.js'
import { Structures, ZEROS } from './structures.js'

export interface KilledWorkerData {
  readonly handle: MachineHandle
  readonly structures: number
  readonly other: number
  readonly state: number
  readonly turns: number
  readonly faults: number
  readonly seed: number
}
const data = workerData as KilledWorkerData
const random = randomFrom(data.seed)

const machine = await joinWhenFree(data.handle)
const first = machine.locks.mutex('first')
const second = machine.locks.mutex('second')
const shared = new SharedState(machine, data.state)
const { permits } = shared
const NODES_AT_ONCE = 6
/** Eight words each: fewer than the entries of the journal that the test boots with. */
const TRANSFERS = 400
const structures = new Structures(machine.memory, data.structures)
const others = new Structures(machine.memory, data.other)

function report(found: readonly string[]): void {
  if (found.length > 0) addAtomic32(machine.memory.i32, data.faults / 4, 1)
}

const actions: readonly (() => unknown)[] = [
  () =>
    first.run((section) => {
      // Long, so that most kills find their victim, or who it waits for, in the middle of a
      // section.
      for (let i = 0; i < TRANSFERS; i++)
        structures.transfer(random(ZEROS), random(ZEROS), random(1000), (w, v) => section.write32(w, v))
    }),
  () =>
    first.run((section) => {
      for (let i = random(NODES_AT_ONCE); i >= 0; i--) structures.insert((w, v) => section.write32(w, v))
    }),
  () =>
    first.run((section) => {
      for (let i = random(NODES_AT_ONCE); i >= 0; i--) structures.remove((w, v) => section.write32(w, v))
    }),
  // Nested: both change as a whole.
  () =>
    first.run((outer) => {
      structures.transfer(0, 1, 1, (w, v) => outer.write32(w, v))
      second.run(
        (inner) =>
          others.insert((w, v) => inner.write32(w, v)) || others.remove((w, v) => inner.write32(w, v)),
      )
      structures.transfer(1, 2, 1, (w, v) => outer.write32(w, v))
    }),
  () =>
    second.runAsync((section) =>
      others.transfer(random(ZEROS), random(ZEROS), 7, (w, v) => section.write32(w, v)),
    ),
  () => {
    const guard = first.tryLock()
    if (guard) report(structures.faults())
    guard?.unlock()
  },
  () => {
    const count = 1 + random(2)
    const taken = permits.acquire(count)
    for (let i = 0; i < count; i++) taken.release(1)
  },
  async () => {
    const permit = await permits.acquireAsync()
    permits.tryAcquire()?.release()
    permit.release()
  },
  () => {
    // More are made than taken, so that waits are short.
    for (let i = 0; i < 3; i++) {
      using guard = shared.mutex.lock()
      shared.make(guard)
      report(shared.goodsFaults())
    }
  },
  () => shared.take(),
  () => shared.takeAsync(),
  () => {
    for (let i = 0; i < 8; i++) shared.writeCopies()
  },
  () => {
    for (let i = 0; i < 8; i++) report(shared.copyFaults())
  },
]

parentPort?.postMessage('ready')
for (let turn = 0; ; turn++) {
  await actions[random(actions.length)]?.()
  if (turn % 64 === 0) addAtomic32(machine.memory.i32, data.turns / 4, 64)
  if (turn % 256 === 0) await new Promise(setImmediate)
}
