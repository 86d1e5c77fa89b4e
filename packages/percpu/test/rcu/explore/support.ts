/** The ends of one list of what is to be freed, without a machine around them. */
import { mem, type CpuContext, type Scenario } from 'percpu-lab'
import { name as nameHeap } from '../../alloc/explore/support.js'
import { readHeap } from '../../alloc/support/verify.js'
import { prepare, type World } from '../../support/world.js'
import { mapOf } from '../support/lists.js'

const { FreeQueue } = await import('../../../dist/rcu/free-queue.js')
const { ListRunner } = await import('../../../dist/rcu/list-runner.js')
const { CallbackBlock, CallbackList } = await import('../../../dist/rcu/layouts.js')
const { LayerLock, LAYER_CALLBACKS } = await import('../../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { tokenOf } = await import('../../../dist/machine/token.js')

const { words } = CallbackList

export interface Prepared {
  readonly world: World
  readonly objects: readonly number[]
}

/** CPU 0's list has `count` objects, and there are `more` that outlive their thread. */
export async function withList(count: number, more = 0): Promise<Prepared> {
  const objects: number[] = []
  const world = await prepare({ cpus: 3 }, (machine, world) => {
    const alloc = (): number => machine.heap.alloc(512, { persist: true })
    machine.heap.free(machine.heap.alloc(512))
    const list = mapOf(world).lists[0] ?? 0
    const queue = new FreeQueue(machine.memory, machine.heap, list)
    for (let i = 0; i < count; i++) {
      const address = alloc()
      objects.push(address)
      queue.push(address / 8, (machine.heap as Heap).tags.checkQueueable(address), 64)
    }
    for (let i = 0; i < more; i++) objects.push(alloc())
    // They wait for a grace period already.
    for (const field of ['wait', 'nextReady'] as const)
      mem.store32(world.memory.i32, list + words[field], queue.tail)
  })
  return { world, objects }
}

/** Grace periods that are over at once: `snap` and `isDone` touch nothing. */
export const over = {
  snap: () => 4,
  isDone: () => true,
  request: () => undefined,
  whenDone: () => Promise.resolve(),
  block: () => true,
}

/** The declarations leave out what is the library's own. */
type Heap = ConstructorParameters<typeof FreeQueue>[1] & {
  readonly tags: { checkQueueable(address: number): number }
}

/** What CPU `cpu` frees with. Its reaper knows that it does. */
export function runnerOf(world: World, cpu: CpuContext) {
  return cpu.prepare(() => {
    const { table, memory } = world
    const machine = world.join(cpu.number)
    const number = machine.cpu
    const heap = machine.heap as Heap
    // Opens the cache.
    heap.free(heap.alloc(512))
    mem.store32(memory.i32, mapOf(world).used(number), 1)
    const token = tokenOf(number, table.incarnation(number))
    const record = SyncMap.open(memory, world.objects).layerRecord(number, LAYER_CALLBACKS)
    const lock = new LayerLock(memory, record, token)
    const percpu = (): never => {
      throw new Error('there is no per-CPU memory here')
    }
    const list = mapOf(world).lists[0] ?? 0
    const runner = new ListRunner({ memory, heap, percpu, copies: 3, lock })
    return {
      heap,
      list,
      turn: () => runner.turn(list, over, Infinity),
      queue: new FreeQueue(memory, heap, list),
    }
  })
}

/** Names the words of the heap, and of the list's block. */
export function name(t: Scenario, { world, objects }: Prepared): void {
  const slabs = [...new Set(objects.map((address) => address - (address % 4096)))]
  const [cache] = readHeap(world).caches.all()
  nameHeap(t, { world, slabs, words: (cache?.at ?? 0) * 4 })
  const list = mapOf(world).lists[0] ?? 0
  const block = mem.load32(world.memory.i32, list + words.first) * 8
  if (block !== 0) t.name(world.memory, block, CallbackBlock, 'block')
}
