/** What `machine.watch.structs()` says of where the library's structs lie. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, MutexLayout } from 'percpu'
import { openMemory } from 'percpu/mem'
import { addressOf } from '../support/inside.js'

describe('the structs of a machine', () => {
  it('lie side by side, inside the memory, and hold what the machine says', () => {
    const machine = boot({ memory: '1 MiB', cpus: 3, journal: 8 })
    machine.objects.create('a lock', MutexLayout)
    const placed = [...machine.watch.structs()].sort((a, b) => a.address - b.address)
    placed.forEach(({ name, address, struct }, i) => {
      assert.equal(address % struct.align, 0, name)
      const end = placed[i + 1]?.address ?? machine.memory.byteLength
      assert.ok(address + struct.size <= end, `${name} overlaps ${placed[i + 1]?.name ?? 'the end'}`)
    })
    const at = (name: string) => {
      const found = placed.find((one) => one.name === name)
      assert.ok(found, name)
      // The machine's own memory refuses objects in its header page.
      return found.struct.at(openMemory(machine.memory.buffer), found.address) as unknown as Record<
        string,
        unknown
      >
    }
    assert.equal(at('header')['magic'], 0x55435250)
    assert.equal(at('sync')['journalEntries'], 8)
    assert.equal(at('cpu[2].vpa')['desc'], 0)
    assert.equal(at('cpu[0].vpa')['desc'], 0xd397d781)
    const entries = placed.filter(({ struct }) => struct.name === 'DirectoryEntry')
    // Those of the layers.
    assert.equal(entries.length, 6)
    assert.equal(new Set(placed.map(({ name }) => name)).size, placed.length)
  })

  it('of numbers that were given up have no VPA', () => {
    const machine = boot({ memory: '1 MiB', cpus: 3 })
    machine.cpus.limit(2)
    const names = machine.watch.structs().map(({ name }) => name)
    assert.ok(names.includes('cpu[1].vpa') && names.includes('cpu[2]') && !names.includes('cpu[2].vpa'))
  })

  it('include the SRCU domains that this thread has opened', () => {
    const machine = boot({ memory: '1 MiB', cpus: 2 })
    machine.srcu('s')
    const placed = machine.watch.structs().filter(({ name }) => name.startsWith('srcu'))
    assert.deepEqual(
      placed.map(({ name, struct }) => [name, struct.name]),
      [
        ['srcu[s]', 'Srcu'],
        ['srcu[s].cpu[0]', 'SrcuCpu'],
        ['srcu[s].cpu[1]', 'SrcuCpu'],
      ],
    )
    assert.equal(placed[0]?.address, addressOf(machine.memory, 'srcu', 's'))
  })
})
