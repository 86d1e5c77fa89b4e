/** Where the tables of a machine lie, and what its header page says of it to other threads. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { openMemory } from 'percpu/mem'

const { planMap, readMap, regionTableStride } = await import('../../dist/machine/memory-map.js')
const { Cpu, RcuNode } = await import('../../dist/machine/layouts.js')
const { UNIT } = await import('../../dist/machine/limits.js')

const shape = { cpus: 1, nodes: 1, smp: true, mmu: true, debugRcu: false, fanout: 16, units: 1024, id: 7 }

describe('the map of a machine', () => {
  it('has a page for the header, and the tables one right after the other', () => {
    for (const cpus of [1, 2, 16, 17, 256])
      for (const fanout of [2, 16, 64]) {
        const map = planMap({ ...shape, cpus, fanout })
        let nodes = 0
        for (let level = cpus; level > 1 || nodes === 0; nodes += level) level = Math.ceil(level / fanout)
        const calls = map.callTable * 4 + cpus * cpus * 4
        assert.equal(map.cpuTable * 4, 4096)
        assert.equal(map.callTable * 4, 4096 + cpus * Cpu.stride)
        assert.equal(map.rcuNodes * 4, Math.ceil(calls / UNIT) * UNIT)
        assert.equal(map.regionTables, map.rcuNodes + (nodes * RcuNode.stride) / 4, `${cpus} CPUs, ${fanout}`)
        assert.equal(
          map.firstUnit,
          Math.ceil((map.regionTables * 4 + 2 * cpus * regionTableStride(cpus)) / UNIT),
        )
      }
  })

  it('is read by the other threads as it was booted', () => {
    for (const flags of [{}, { mmu: false }, { debugRcu: true }, { fanout: 2 }, { nodes: 2 }]) {
      const options = { cpus: 4, ...flags }
      const map = readMap(openMemory(boot({ memory: '1 MiB', ...options }).handle.buffer))
      assert.deepEqual(map, planMap({ ...shape, ...options, units: 2 ** 20 / UNIT, id: map.id }))
    }
    const { smp, cpus } = readMap(openMemory(boot({ smp: false }).handle.buffer))
    assert.deepEqual([smp, cpus], [false, 1])
  })
})
