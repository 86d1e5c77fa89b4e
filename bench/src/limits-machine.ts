/** The largest machines: 256 CPUs, 8 nodes, 8 GiB; and nodes that are full. */
import { boot, type Machine } from 'percpu'
import { fillNodes, joinAs, LARGEST, once } from './limits-support.js'
import type { Suite } from './harness/suite.js'

let largest: Machine | undefined
const crowd: Machine[] = []
function use(): Machine {
  if (!largest) throw new Error('there is no machine')
  return largest
}
/** Threads have a number each, for all machines. */
let threads = 1000

const machineSuite: Suite = {
  title: 'the largest machine',
  unit: 'ms',
  note: '256 CPUs, 8 nodes, 8 GiB. All CPUs are of one thread, so what they do at once is done one after the other.',
  setUp: () => {
    largest = boot(LARGEST)
    for (let cpu = 1; cpu < 255; cpu++) crowd.push(joinAs(largest, threads++))
    for (const machine of [largest, ...crowd]) machine.cpus.registerFunction('nothing', () => undefined)
  },
  rows: [
    {
      name: 'boot',
      role: 'ours',
      goal: { below: 500 },
      measure: once(
        () => undefined,
        () => boot(LARGEST),
      ),
    },
    {
      name: 'join',
      role: 'ours',
      goal: { below: 20 },
      measure: once(
        () => undefined,
        () => crowd.push(joinAs(use(), threads++)),
        () => crowd.pop()?.offline(),
      ),
    },
    {
      name: 'rcu.synchronize',
      role: 'ours',
      goal: { below: 50 },
      measure: once(
        () => undefined,
        () => use().rcu.synchronize(),
      ),
    },
    {
      name: 'cpus.call, on all',
      role: 'ours',
      goal: { below: 100 },
      measure: once(
        () => undefined,
        () => use().cpus.call(use().online, 'nothing'),
      ),
    },
    {
      name: 'watch.inspect',
      role: 'ours',
      goal: { below: 100 },
      measure: once(
        () => undefined,
        () => use().watch.inspect(),
      ),
    },
    {
      name: 'cleaning up after a CPU',
      role: 'ours',
      goal: { below: 100 },
      measure: once(
        () => joinAs(use(), threads++).cpu,
        (cpu) => use().cpus.declareDead(cpu),
      ),
    },
    {
      name: 'percpu.alloc, 4 KiB a CPU',
      role: 'ours',
      goal: { below: 50 },
      measure: once(
        () => undefined,
        () => use().percpu.alloc(4096),
      ),
    },
    {
      name: 'percpu.verify',
      role: 'ours',
      goal: { below: 500 },
      measure: once(
        () => undefined,
        () => use().percpu.verify(),
      ),
    },
    {
      name: 'heap.memblock.alloc, 1 GiB less 16 MiB',
      role: 'ours',
      goal: { below: 2000 },
      measure: once(
        () => undefined,
        () => use().heap.memblock.alloc({ size: 2 ** 30 - 2 ** 24, node: 7, zero: false }),
        () => {
          const { memblock } = use().heap
          const [region] = memblock.report().regions.filter(({ size }) => size === 2 ** 30 - 2 ** 24)
          if (region) memblock.free(region.address)
        },
      ),
    },
  ],
}

const NODE_BYTES = 2 ** 27
function withFullNodes(): Machine {
  const machine = boot({ memory: '1 GiB', cpus: 256, nodes: 8, percpu: { unit: '32 KiB' } })
  machine.percpu.report()
  fillNodes(machine, NODE_BYTES, 7)
  return machine
}
const fullSuite: Suite = {
  title: 'full nodes',
  unit: 'ms',
  note: 'A machine of 256 CPUs and 8 nodes, of which all but the last are full. What is allocated comes from there.',
  rows: [
    {
      name: 'heap.pages.alloc, 8 pages',
      role: 'ours',
      goal: { below: 1 },
      measure: once(
        () => {
          const machine = withFullNodes()
          machine.heap.pages.alloc(3)
          return machine
        },
        (machine) => machine.heap.pages.alloc(3),
      ),
    },
    {
      name: 'percpu.alloc, 32 KiB a CPU: 2048 pages under one lock',
      role: 'ours',
      goal: { below: 200 },
      measure: once(withFullNodes, (machine) => machine.percpu.alloc(32768)),
    },
  ],
}

export const limitsMachineSuites: readonly Suite[] = [machineSuite, fullSuite]
