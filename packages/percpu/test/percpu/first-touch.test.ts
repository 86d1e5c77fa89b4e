/**
 * Where units are mapped, each page of a unit is first written by its own CPU: so the OS commits it
 * where that CPU runs. Whoever allocates looks at all copies, and leaves alone what is zero.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BootOptions, Machine } from 'percpu'
import { fresh, joinAs, mem } from '../support/hooked-percpu.js'

const PAGE = 4096
const CPUS = 4

/** The bytes that an access writes, as [from, length]. */
function written(name: string, [, place, length]: readonly unknown[]): readonly [number, number] | undefined {
  if (name === 'fillBytes') return [Number(place), Number(length)]
  if (name === 'copyIn') return [Number(place), (length as Uint8Array).length]
  // Views of bytes are indexed by them.
  if (name.startsWith('storeBig')) return [Number(place), 1]
  const [, bits] = /^(?:store|add|sub|and|or|exchange|compareExchange)\D*(8|16|32|64)$/.exec(name) ?? []
  return bits === undefined ? undefined : [(Number(place) * Number(bits)) / 8, 1]
}

/**
 * A machine with a thread for each CPU, of which each store is noted: who was the first to write
 * each page.
 */
function watched(options: BootOptions): { cpus: Machine[]; first: Map<number, number> } {
  const first = new Map<number, number>()
  const owners = new Map<unknown, number>()
  let current = 0
  mem.control.before = (name, args) => {
    const [from, length] = written(name, args) ?? [0, 0]
    const cpu = owners.get(args[0]) ?? current
    for (let page = Math.floor(from / PAGE); page * PAGE < from + length; page++)
      if (!first.has(page)) first.set(page, cpu)
  }
  const cpus = [fresh({ cpus: CPUS, memory: '8 MiB', ...options })]
  const [main] = cpus
  for (let cpu = 1; main && cpu < CPUS; cpu++) {
    current = cpu
    cpus.push(joinAs(main, 100 + cpu))
  }
  for (const machine of cpus) for (const view of Object.values(machine.memory)) owners.set(view, machine.cpu)
  current = 0
  return { cpus, first }
}

describe('a page of a unit', () => {
  it('lies on the node of its CPU, which is the first to write it', () => {
    try {
      const { cpus, first } = watched({ nodes: 2 })
      const [main = assert.fail()] = cpus
      const { unitBytes } = main.percpu.report()
      // Of the first chunk and of others; small and large ones.
      const pointers = [4, 100, PAGE, PAGE, unitBytes, PAGE, PAGE].map((bytes) => main.percpu.alloc(bytes))
      const touched: number[] = []
      for (const machine of cpus)
        for (const pointer of pointers)
          for (let offset = 0; offset < main.percpu.sizeOf(pointer); offset += PAGE) {
            const address = machine.percpu.address(pointer, machine.cpu, offset)
            const before = first.get(Math.floor(address / PAGE))
            assert.ok(
              before === undefined || before === machine.cpu,
              `CPU ${before} wrote ${address} of CPU ${machine.cpu}`,
            )
            assert.equal(Math.floor(address / (4 * 2 ** 20)), machine.cpus.node)
            mem.store32(machine.memory.i32, address / 4, 1)
            touched.push(Math.floor(address / PAGE))
          }
      assert.equal(new Set(touched.map((page) => first.get(page))).size, CPUS)
      main.percpu.verify()
    } finally {
      mem.control.before = undefined
    }
  })
})
