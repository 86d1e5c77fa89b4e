/** What becomes of named things that have lost their names: they are freed after a grace period. */
import type { Memblock } from '../bootmem/memblock.js'
import { reportError } from '../machine/platform.js'
import type { Freeing } from '../names/layer.js'
import type { PercpuLayer } from '../percpu/layer.js'
import { releaseNamed } from '../percpu/named.js'
import type { RcuLayer } from './layer.js'
import { queueCall, queueFree, queueFreeOwned } from './queueing.js'

/** Too much may be pending: nobody waits for less here. */
function ignore(queued: Promise<void>): void {
  // It rejects only when the CPU goes offline: what is queued is for the others then.
  queued.catch(() => undefined)
}

export function freeingOf(rcu: RcuLayer, percpu: PercpuLayer, memblock: Memblock): Freeing {
  return {
    retire: ({ address, isLarge }) => {
      const queueing = rcu.use()
      if (isLarge) {
        // In flight it would end with this thread, whoever reads it. So it stays allocated if the
        // function is lost. Mutant: rcu/region-in-flight.
        memblock.persist(address)
        ignore(queueCall(queueing, () => memblock.free(address)))
      } else ignore(queueFree(queueing, address))
    },
    release: (space, address) => {
      // A domain was cleaned up before; the other kinds have no more than their block.
      if (!['percpu', 'counter', 'ref', 'rwSemaphore'].includes(space)) return
      try {
        // A thread that dies behind it leaves the copies allocated.
        releaseNamed(percpu.use(), address, (pointer) => ignore(queueFreeOwned(rcu.use(), pointer)))
      } catch (error) {
        reportError(error)
      }
    },
  }
}
