/** Where boot memory says that its own structs lie: the lists of regions, and the named objects. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { openMemory } from 'percpu/mem'
import { Cell } from '../support/cell.js'
import { fresh, joinAs } from '../support/machines.js'
import { bootObjects } from './support/boot-objects.js'

const { DirectoryEntry, Header, RegionTable } = await import('../../dist/machine/layouts.js')

const placed = (machine: Machine, name: string): readonly { name: string; address: number }[] =>
  machine.watch.structs().filter(({ struct }) => struct.name === name)

describe('the structs of boot memory', () => {
  it('are two lists of regions for each CPU, of which one is what the report says', () => {
    const machine = fresh({ cpus: 3 })
    const tables = placed(machine, 'RegionTable')
    assert.deepEqual(
      tables.map(({ name }) => name),
      [0, 1, 2].flatMap((cpu) => [0, 1].map((which) => `cpu[${cpu}].regions[${which}]`)),
    )
    // The machine's own memory refuses objects in its header page.
    const memory = openMemory(machine.memory.buffer)
    const others = [joinAs(machine, 101), joinAs(machine, 102)]
    for (const { cpu, heap } of [machine, ...others, machine]) {
      heap.memblock.alloc({ size: 64, label: `of CPU ${cpu}` })
      const active = Number(Header.at(memory, 0).activeRegions.load() & 0xffffn)
      const current = tables[active] ?? assert.fail()
      assert.match(current.name, new RegExp(`^cpu\\[${cpu}\\]`))
      const table = RegionTable.at(memory, current.address)
      const { regions } = machine.heap.memblock.report()
      assert.deepEqual(
        regions.map((_, i) => table.regions.at(i).start.load() * 64),
        regions.map(({ address }) => address),
      )
      assert.equal(table.count.load(), regions.length)
    }
  })

  it('are the entries of all named objects', () => {
    const machine = fresh()
    for (const name of ['one', 'two', 'three']) bootObjects(machine).create(name, Cell)
    const entries = placed(machine, 'DirectoryEntry').map(({ name, address }) => {
      assert.equal(name, `entry at ${address}`)
      const { nameLength, name: bytes, object } = DirectoryEntry.at(machine.memory, address)
      const text = Buffer.from(bytes.toArray().slice(0, nameLength)).toString()
      return { name: text, address: object * 64 }
    })
    assert.deepEqual(
      entries.filter(({ name }) => !name.startsWith('percpu.')),
      bootObjects(machine)
        .list()
        .map(({ name, address }) => ({ name, address })),
    )
  })
})
