/** The boot allocator: against a simple model, and from several threads. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { boot, type AllocRequest, type Machine } from 'percpu'
import { copyOut, fillBytes } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { withMachine } from '../support/threads.js'

const MiB = 2 ** 20

/** What must hold of any report: sorted, disjoint, inside the memory, sums that agree. */
function verify(machine: Machine): void {
  const { total, used, free, largestFree, regions } = machine.heap.memblock.report()
  let end = 0
  for (const { address, size } of regions) {
    assert.ok(address >= end, 'regions overlap')
    assert.equal(address % 64, 0)
    end = address + size
  }
  assert.ok(end <= total)
  assert.equal(used + free, total)
  assert.equal(
    used,
    regions.reduce((sum, { size }) => sum + size, 0),
  )
  assert.ok(largestFree <= free)
}

describe('memblock', () => {
  it('gives out addresses that satisfy the request, and reports them', () => {
    const machine = boot({ memory: MiB })
    const requests: readonly AllocRequest[] = [
      { size: 1 },
      { size: 65, align: 1024, label: 'a table' },
      { size: 640, align: 128, noCross: 1024 },
      { size: 4096, align: 4096, limit: MiB / 2 },
      { size: 3000, noCross: 4096 },
    ]
    for (const request of requests) {
      const address = machine.heap.memblock.alloc(request)
      const region = machine.heap.memblock.report().regions.find((other) => other.address === address)
      assert.ok(region)
      assert.equal(address % (request.align ?? 64), 0)
      assert.equal(region.size, Math.ceil(request.size / 64) * 64)
      assert.equal(region.label, request.label ?? '')
      assert.deepEqual(region.owner, { cpu: 0, incarnation: 1 })
      if (request.limit) assert.ok(address + region.size <= request.limit)
      if (request.noCross) {
        assert.equal(
          Math.floor(address / request.noCross),
          Math.floor((address + request.size - 1) / request.noCross),
        )
      }
      verify(machine)
    }
  })

  it('behaves as a model of it does, for any sequence of requests', () => {
    const step = fc.oneof(
      fc.record({
        size: fc.integer({ min: 1, max: 5000 }),
        align: fc.constantFrom(1, 64, 256, 4096),
        noCross: fc.constantFrom(undefined, 8192),
        node: fc.constantFrom(undefined, 0, 1),
      }),
      fc.nat(20),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const machine = boot({ memory: MiB / 4, cpus: 2, nodes: 2 })
        const half = MiB / 8
        const model = new Map<number, number>()
        const initial = machine.heap.memblock.report().used
        for (const [i, request] of steps.entries()) {
          if (typeof request === 'number') {
            const address = [...model.keys()][request % (model.size || 1)]
            if (address === undefined) continue
            machine.heap.memblock.free(address)
            model.delete(address)
            throwsCode(() => machine.heap.memblock.free(address), 'PERCPU_INVALID_FREE')
          } else {
            const { noCross, node, ...rest } = request
            let address: number
            try {
              address = machine.heap.memblock.alloc({
                ...rest,
                ...(noCross && { noCross }),
                ...(node !== undefined && { node }),
              })
            } catch (error) {
              assert.equal((error as { code: string }).code, 'PERCPU_OUT_OF_MEMORY')
              continue
            }
            const size = Math.ceil(request.size / 64) * 64
            for (const [other, length] of model)
              assert.ok(address + size <= other || other + length <= address, 'overlap')
            assert.ok(
              copyOut(machine.memory, address, size).every((byte) => byte === 0),
              'not zeroed',
            )
            assert.equal(address < half, address + size <= half, 'crosses the border between nodes')
            fillBytes(machine.memory, address, size, 1 + (i % 255))
            model.set(address, size)
          }
          verify(machine)
        }
        for (const [address, size] of model) {
          const bytes = copyOut(machine.memory, address, size)
          assert.ok(
            bytes.every((byte) => byte === bytes[0] && byte !== 0),
            'contents changed',
          )
          machine.heap.memblock.free(address)
        }
        assert.equal(machine.heap.memblock.report().used, initial)
      }),
      { numRuns: 60 },
    )
  })

  it('takes memory from the wanted node, and from another one when that is full', () => {
    const machine = boot({ memory: 2 * MiB, cpus: 4, nodes: 2 })
    const nodeOf = (address: number) =>
      machine.heap.memblock.report().regions.find((region) => region.address === address)?.node
    assert.equal(nodeOf(machine.heap.memblock.alloc({ size: 64 })), 0)
    const end = Math.max(...machine.heap.memblock.report().regions.map(({ address, size }) => address + size))
    assert.equal(nodeOf(machine.heap.memblock.alloc({ size: 2 * MiB - end, node: 1 })), 1)
    assert.equal(nodeOf(machine.heap.memblock.alloc({ size: 4096, node: 1 })), 0)
    joinAs(machine, 101)
    const remote = joinAs(machine, 102)
    assert.equal(remote.cpus.node, 1)
    assert.equal(nodeOf(remote.heap.memblock.alloc({ size: 64 })), 1)
  })

  it('zeroes memory that was used before, unless told not to', () => {
    const machine = boot({ memory: MiB })
    const address = machine.heap.memblock.alloc({ size: 4096 })
    const reuse = (zero: boolean) => {
      fillBytes(machine.memory, address, 4096, 7)
      machine.heap.memblock.free(address)
      assert.equal(machine.heap.memblock.alloc({ size: 4096, zero }), address)
      return copyOut(machine.memory, address, 4096)
    }
    assert.ok(reuse(false).every((byte) => byte === 7))
    assert.ok(reuse(true).every((byte) => byte === 0))
  })

  it('says why there is no room, and takes nothing', () => {
    const machine = boot({ memory: MiB })
    const before = machine.heap.memblock.report()
    throwsCode(
      () => machine.heap.memblock.alloc({ size: MiB, label: 'huge' }),
      'PERCPU_OUT_OF_MEMORY',
      /1048576 bytes \(huge\).*largest free/,
    )
    throwsCode(() => machine.heap.memblock.alloc({ size: 64, limit: 64 }), 'PERCPU_OUT_OF_MEMORY')
    assert.deepEqual(machine.heap.memblock.report(), before)
    for (let i = before.regions.length; i < 256 + 2 * 8; i++) machine.heap.memblock.alloc({ size: 1 })
    throwsCode(() => machine.heap.memblock.alloc({ size: 1 }), 'PERCPU_OUT_OF_MEMORY', /all 272 regions/)
  })

  it('refuses requests that nothing could satisfy', () => {
    const { memblock } = boot({ memory: MiB }).heap
    throwsCode(() => memblock.alloc({ size: 0 }), 'PERCPU_ARGUMENT', /size: 0/)
    throwsCode(() => memblock.alloc({ size: 1.5 }), 'PERCPU_ARGUMENT')
    throwsCode(() => memblock.alloc({ size: 1, align: 96 }), 'PERCPU_ARGUMENT', /align: 96/)
    throwsCode(() => memblock.alloc({ size: 1, node: 1 }), 'PERCPU_ARGUMENT', /node: 1/)
    throwsCode(
      () => memblock.alloc({ size: 5000, noCross: 4096 }),
      'PERCPU_ARGUMENT',
      /noCross: 4096 .* 5056/,
    )
    throwsCode(() => memblock.alloc({ size: 1, limit: -5 }), 'PERCPU_ARGUMENT')
  })

  it('frees only what is allocated', () => {
    const { memblock } = boot({ memory: MiB }).heap
    const address = memblock.alloc({ size: 256 })
    for (const wrong of [0, 64, address + 64, address + 1, -64, NaN]) {
      throwsCode(() => memblock.free(wrong), 'PERCPU_INVALID_FREE')
      throwsCode(() => memblock.persist(wrong), 'PERCPU_INVALID_FREE')
    }
    memblock.free(address)
    throwsCode(() => memblock.free(address), 'PERCPU_INVALID_FREE')
  })

  it('loses and doubles nothing while threads allocate at once', async () => {
    await withMachine({ memory: 8 * MiB, cpus: 4 }, async (machine, start) => {
      const actors = await Promise.all([start(), start(), start()])
      const sizes = Array.from({ length: 25 }, (_, i) => 64 + i * 40)
      const perActor = await Promise.all(
        actors.map((actor) =>
          Promise.all(sizes.map((size) => actor.tell<number>({ do: 'alloc', size, keep: true }))),
        ),
      )
      const own = sizes.map((size) => machine.heap.memblock.alloc({ size }))
      const all = [...perActor.flat(), ...own]
      assert.equal(new Set(all).size, all.length)
      verify(machine)
      const before = machine.heap.memblock.report().regions.length
      for (const address of all) machine.heap.memblock.free(address)
      assert.equal(machine.heap.memblock.report().regions.length, before - all.length)
    })
  })
})
