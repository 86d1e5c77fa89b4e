/** Where the boot allocator puts regions, and which requests it refuses. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PercpuError, type AllocRequest, type Machine } from 'percpu'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import { fillGaps } from './support/gaps.js'

/** A machine whose boot memory is free from `page` on, a multiple of 4096, and nowhere else. */
function fromPage(): { machine: Machine; page: number } {
  const machine = fresh()
  const gap = -fillGaps(machine) & 4095
  if (gap > 0) machine.heap.memblock.alloc({ size: gap })
  return { machine, page: fillGaps(machine) }
}

/** Takes all of a node's boot memory. */
function fillNode({ heap: { memblock } }: Machine, node: number): void {
  for (let size = 2 ** 20; size >= 64;) {
    try {
      memblock.alloc({ size, node, strict: true })
    } catch {
      size /= 2
    }
  }
}
const nodeOf = ({ heap }: Machine, address: number): number | undefined =>
  heap.memblock.report().regions.find((region) => region.address === address)?.node

describe('a region', () => {
  it('goes to the lowest place where it fits', () => {
    const { machine, page } = fromPage()
    const { memblock } = machine.heap
    assert.equal(memblock.alloc({ size: 4096 }), page)
    assert.equal(memblock.alloc({ size: 64 }), page + 4096)
    memblock.free(page)
    assert.equal(memblock.alloc({ size: 4097 }), page + 4160)
    assert.equal(memblock.alloc({ size: 64 }), page)
    assert.equal(memblock.alloc({ size: 4033 }), page + 4160 + 4160)
    assert.equal(memblock.alloc({ size: 4032 }), page + 64)
  })

  it('is aligned as told, at the first such place', () => {
    const { machine, page } = fromPage()
    const { memblock } = machine.heap
    assert.equal(memblock.alloc({ size: 1, align: 1 }), page)
    assert.equal(memblock.alloc({ size: 1, align: 64 }), page + 64)
    assert.equal(memblock.alloc({ size: 1, align: 4096 }), page + 4096)
    assert.equal(memblock.alloc({ size: 1, align: 128 }), page + 128)
    assert.equal(memblock.alloc({ size: 1, align: 128 }), page + 256)
  })

  it('ends at its limit at the latest', () => {
    const { machine, page } = fromPage()
    const { memblock } = machine.heap
    for (const limit of [page + 127, page + 64, page, 64, 1])
      throwsCode(() => memblock.alloc({ size: 65, limit }), 'PERCPU_OUT_OF_MEMORY')
    assert.equal(memblock.alloc({ size: 65, limit: page + 128 }), page)
    assert.equal(memblock.alloc({ size: 65, limit: page + 256.5 }), page + 128)
    assert.equal(memblock.alloc({ size: 65, limit: Infinity }), page + 256)
    assert.equal(memblock.alloc({ size: 65, limit: 2 ** 40 }), page + 384)
  })

  it('may touch a boundary that it must not cross', () => {
    const { machine, page } = fromPage()
    const { memblock } = machine.heap
    assert.equal(memblock.alloc({ size: 4096 - 192 }), page)
    assert.equal(memblock.alloc({ size: 128, noCross: 4096 }), page + 4096 - 192)
    assert.equal(memblock.alloc({ size: 128, noCross: 4096 }), page + 4096)
    assert.equal(memblock.alloc({ size: 64, noCross: 64 }), page + 4096 - 64)
    assert.equal(memblock.alloc({ size: 4096, noCross: 4096 }), page + 8192)
    assert.equal(memblock.alloc({ size: 4000, noCross: 4096, align: 64 }), page + 12288)
    assert.equal(memblock.alloc({ size: 4096 }), page + 12288 + 4032)
  })

  it('comes from the node of the CPU that asks', () => {
    const machine = fresh({ memory: '4 MiB', cpus: 5, nodes: 3 })
    const others = [101, 102, 103, 104].map((thread) => joinAs(machine, thread))
    for (const cpu of [machine, ...others]) {
      assert.equal(nodeOf(cpu, cpu.heap.memblock.alloc({ size: 64 })), cpu.cpus.node, `CPU ${cpu.cpu}`)
    }
  })

  it('comes from the next node that has room, unless that is forbidden', () => {
    const machine = fresh({ memory: '6 MiB', cpus: 3, nodes: 3 })
    const { memblock } = machine.heap
    const nodes = (request: Partial<AllocRequest>): readonly (number | undefined)[] =>
      [0, 1, 2].map((node) => nodeOf(machine, memblock.alloc({ size: 64, node, ...request })))
    assert.deepEqual(nodes({}), [0, 1, 2])
    assert.deepEqual(nodes({ strict: true }), [0, 1, 2])
    fillNode(machine, 1)
    assert.deepEqual(nodes({}), [0, 2, 2])
    throwsCode(() => memblock.alloc({ size: 64, node: 1, strict: true }), 'PERCPU_OUT_OF_MEMORY')
    fillNode(machine, 2)
    assert.deepEqual(nodes({}), [0, 0, 0])
    fillNode(machine, 0)
    throwsCode(() => memblock.alloc({ size: 64 }), 'PERCPU_OUT_OF_MEMORY')
    assert.equal(memblock.report().free, 0)
  })
})

describe('a request', () => {
  it('that nothing could satisfy is refused by the name of its option, and takes nothing', () => {
    const { memblock } = fresh({ cpus: 2, nodes: 2 }).heap
    const before = memblock.report()
    const wrong: Readonly<Record<string, readonly unknown[]>> = {
      size: [undefined, 0, -64, 0.5, NaN, Infinity, 2 ** 53, '64'],
      align: [0, -64, 3, 96, 1.5, NaN, '64'],
      limit: [0, -1, NaN],
      node: [-1, 0.5, 2, NaN, '0'],
      noCross: [0, 32, 96, -64, NaN],
      label: [7, null, {}],
      strange: [1],
    }
    for (const [option, values] of Object.entries(wrong)) {
      for (const value of values) {
        const request = { size: 64, [option]: value }
        throwsCode(() => memblock.alloc(request), 'PERCPU_ARGUMENT', new RegExp(`\\b${option}\\b`))
      }
    }
    for (const request of [null, 64, '64'] as unknown as AllocRequest[])
      throwsCode(() => memblock.alloc(request), 'PERCPU_ARGUMENT', /request: /)
    throwsCode(() => memblock.alloc(undefined as never), 'PERCPU_ARGUMENT', /^request is missing: /)
    throwsCode(
      () => memblock.alloc({ size: 129, noCross: 128 }),
      'PERCPU_ARGUMENT',
      /not a power of two from 192/,
    )
    assert.deepEqual(memblock.report(), before)
  })

  it('for which there is no room fails with what is free', () => {
    const { machine, page } = fromPage()
    const { memblock } = machine.heap
    const { largestFree, total } = memblock.report()
    assert.equal(largestFree, total - page)
    const fails = (request: AllocRequest): void =>
      assert.throws(
        () => memblock.alloc(request),
        (error: unknown) => {
          assert.ok(error instanceof PercpuError)
          assert.deepEqual(error.details, { ...request, largestFree: memblock.report().largestFree })
          return true
        },
      )
    fails({ size: largestFree + 1, label: 'much' })
    assert.equal(memblock.alloc({ size: largestFree }), page)
    assert.equal(memblock.report().largestFree, 0)
    fails({ size: 1 })
  })
})
