/** Frees in one synchronous stretch, by the calls that wait for room. */
import { workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import { joinWhenFree } from '../../support/machines.js'

const { handle, tally } = workerData as { readonly handle: MachineHandle; readonly tally: number }
const machine = await joinWhenFree(handle)
const domain = machine.srcu('s', { flavour: 'normal' })
for (let i = 0; i < 100; i++) {
  machine.rcu.freeBlocking(machine.heap.alloc(32), { timeout: 10_000 })
  domain.freeBlocking(machine.heap.alloc(32), { timeout: 10_000 })
  addAtomic32(machine.memory.i32, tally / 4, 2)
}
await machine.offline()
