// A list in shared memory whose nodes come from the heap. Its writer is terminated again and again.
// No node is lost, none is half-linked.
//
//     node examples/alloc-linked-list.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { address, boot, join, locked, struct, u32 } from 'percpu'

const Node = struct('Node', { next: locked(address('self'), 'list'), value: locked(u32, 'list') })
const List = struct('List', { head: locked(address(Node), 'list') })

if (isMainThread) {
  const machine = boot({ cpus: 2 })
  const list = machine.objects.create('list', List)
  const nodes = () => {
    const found = []
    for (let node = list.follow.head; node; node = node.follow.next) found.push(node.address)
    return found
  }
  for (let round = 1; round <= 3; round++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: machine.handle })
    const { reaped } = machine.supervise(worker)
    await once(worker, 'message')
    await worker.terminate() // in the middle of its loop
    await reaped
    console.log(`round ${round}: a list of ${nodes().length} whole nodes`)
  }
  const allocated = machine.heap.allocations().map(({ address }) => address)
  const isSame = allocated.sort().join() === nodes().sort().join()
  console.log('in use:', isSame ? 'only what is linked' : allocated)
  for (const node of nodes()) machine.heap.free(node)
  console.log('at the end:', machine.heap.allocations())
} else {
  const machine = join(workerData)
  const list = machine.objects.open('list', List)
  const cache = machine.heap.cache('node', Node)
  const mutex = machine.locks.mutex('list lock')
  /** @param {number} value */
  const push = (value) =>
    mutex.run((section) => {
      const node = section.at(Node, cache.alloc()) // in flight: freed with this thread
      node.next = list.head
      node.value = value
      section.at(list).head = node.address
      cache.persist(node.address, section) // linked and kept, or neither
    })
  const pop = () => {
    const node = list.follow.head
    if (node === undefined) return
    mutex.run((section) => {
      section.at(list).head = node.next
      cache.adopt(node.address, section) // unlinked and in flight again, or neither
    })
    cache.free(node.address)
  }
  for (let turn = 0; ; turn++) {
    push(turn)
    push(turn)
    if (turn % 100 > 50) pop()
    if (turn % 100 > 50) pop()
    if (turn === 1000) parentPort?.postMessage('ready')
    if (turn > 1000) pop()
  }
}
