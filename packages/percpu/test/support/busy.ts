/** Does random things to a machine until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Machine, MachineHandle } from 'percpu'
import { Cell } from './cell.js'
import { joinWhenFree } from './machines.js'
import { randomFrom } from './random.js'

const { handle, names, seed } = workerData as { handle: MachineHandle; names: number; seed: number }
const random = randomFrom(seed)

function prepare(machine: Machine): void {
  machine.cpus.registerFunction('touch', () => {
    machine.heap.memblock.free(machine.heap.memblock.alloc({ size: 64 }))
  })
}

let machine = await joinWhenFree(handle)
prepare(machine)
parentPort?.postMessage('ready')

const actions: readonly (() => unknown)[] = [
  () => machine.heap.memblock.alloc({ size: 1 + random(2000), zero: random(2) === 0 }),
  () => machine.heap.memblock.free(machine.heap.memblock.alloc({ size: 1 + random(2000) })),
  () => machine.objects.openOrCreate(`object ${random(names)}`, Cell).address,
  () => machine.rcu.synchronize(),
  () => machine.cpus.call(machine.online, 'touch'),
  () => machine.cpus.call(machine.online, 'touch', { wait: false }),
  () => machine.cpus.ring(machine.online, random(16)),
  () => machine.cpus.park(machine.heap.memblock.alloc({ size: 4 }), 0, random(2)),
  () => machine.cpus.deaf(() => machine.heap.memblock.report()),
  () => machine.poll(),
  async () => {
    await machine.offline()
    machine = await joinWhenFree(handle)
    prepare(machine)
  },
]

for (let turn = 0; ; turn++) {
  try {
    await actions[random(actions.length)]?.()
  } catch (error) {
    // Three threads that keep what they allocate run out of regions: give all of one's own back.
    if ((error as { code?: string }).code !== 'PERCPU_OUT_OF_MEMORY') throw error
    await actions.at(-1)?.()
  }
  if (turn % 64 === 0) await new Promise(setImmediate)
}
