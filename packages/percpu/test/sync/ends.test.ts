/** What ends sections, and what sections refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { load32, loadF64, loadU64 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const { Sections } = await import('../../dist/sync/section.js')
type Journal = ConstructorParameters<typeof Sections>[0]

describe('the end of a section', () => {
  it('releases all mutexes, whatever one of them throws', () => {
    const journal = { length: 0, capacity: 1, commit: () => undefined } as unknown as Journal
    for (const failing of [['a'], ['a', 'b'], ['c'], []]) {
      const sections = new Sections(journal)
      const released: string[] = []
      for (const name of ['a', 'b', 'c'])
        sections.retain({
          releaseAfterSection: () => {
            released.push(name)
            if (failing.includes(name)) throw new Error(`not ${name}`)
          },
        })
      const end = (): void => sections.begin().commit()
      if (failing.length === 0) end()
      else if (failing.length === 1) assert.throws(end, new RegExp(`^Error: not ${String(failing[0])}$`))
      else throwsCode(end, 'PERCPU_SECTION', /2 mutexes/)
      assert.deepEqual(released.sort(), ['a', 'b', 'c'])
      assert.equal(sections.isOpen, false)
    }
  })
})

describe('a section', () => {
  it('takes no room for what it refuses', () => {
    const machine = fresh()
    const word = machine.heap.memblock.alloc({ size: 64 }) / 4
    const throwing = {
      valueOf: (): never => assert.fail('is asked in the middle'),
    }
    machine.locks.mutex('m').run((section) => {
      const { room } = section
      for (const value of [1n, Symbol('no'), throwing] as never[]) {
        throwsCode(() => section.write32(word, value), 'PERCPU_ARGUMENT')
        throwsCode(() => section.writeF64(word / 2, value), 'PERCPU_ARGUMENT')
      }
      for (const value of [1, Symbol('no'), throwing, undefined] as never[])
        throwsCode(() => section.writeU64(word / 2, value), 'PERCPU_ARGUMENT')
      assert.equal(section.room, room)
      section.write32(word, 2 ** 32 - 1)
      section.writeF64(word / 2 + 1, 0.5)
      section.writeU64(word / 2 + 2, -1n)
      assert.equal(section.room, room - 5)
    })
    const { memory } = machine
    assert.deepEqual([load32(memory.i32, word), loadF64(memory.f64, word / 2 + 1)], [-1, 0.5])
    assert.equal(loadU64(memory.u64, word / 2 + 2), 2n ** 64n - 1n)
  })

  it('is not interrupted by answers, which come when it has ended', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    const word = machine.heap.memblock.alloc({ size: 64 }) / 4
    const rings: string[] = []
    cpu.cpus.onRing(0, () => {
      rings.push('answered')
      cpu.locks.mutex('other').run((section) => section.write32(word, 7))
    })
    machine.cpus.ring(1, 0)
    assert.throws(
      () =>
        cpu.locks.mutex('mine').run((section) => {
          section.write32(word + 1, 1)
          cpu.poll()
          cpu.cpus.deaf(() => undefined)
          cpu.cpus.park((word + 8) * 4, 0, 1)
          rings.push('taken back')
          throw new Error('no')
        }),
      /no/,
    )
    cpu.poll()
    await Promise.resolve()
    assert.deepEqual(rings, ['taken back', 'answered'])
    assert.deepEqual([load32(machine.memory.i32, word), load32(machine.memory.i32, word + 1)], [7, 0])
  })
})
