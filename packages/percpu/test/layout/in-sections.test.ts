/** Accessors that a section gives, and accessors that are revoked, by what they refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { address, array, big, boot, i16, locked, struct, u32, u64, u8, type ArrayView } from 'percpu'
import { copyOut } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'

const { revokeAccessor } = await import('../../dist/layout/revoke.js')

const element = struct('Element', { value: locked(u8, 'm') })
const Arrays = struct('Arrays', {
  u8: locked(array(u8, 3), 'm'),
  beu16: locked(array(big(i16), 3), 'm'),
  u32: locked(array(u32, 3), 'm'),
  u64: locked(array(u64, 3), 'm'),
  links: array(locked(address('self'), 'm'), 3),
  structs: array(element, 3),
})

describe('arrays in a section', () => {
  it('refuse indices outside, write nothing, and take no entry of the journal', () => {
    const machine = boot({ cpus: 1, memory: '512 KiB', journal: 64 })
    const at = machine.heap.memblock.alloc({ size: 2048 })
    const before = copyOut(machine.memory, at, 2048)
    const accessor = Arrays.at(machine.memory, at + 1024)
    machine.locks.mutex('m').run((section) => {
      const { u8, beu16, u32, u64, links, structs } = section.at(accessor)
      const { room } = section
      const views: readonly { at(index: number): unknown }[] = [u8, beu16, u32, u64, links, structs]
      const numbers: readonly ArrayView<number>[] = [u8, beu16, u32, links]
      for (const index of [-1, 3, 4, 1.5, NaN, 2 ** 32, -(2 ** 32), '1' as unknown as number]) {
        const uses: readonly (() => unknown)[] = [
          ...views.map((view) => () => view.at(index)),
          ...numbers.map((view) => () => view.set(index, 8)),
          () => u64.set(index, 8n),
        ]
        for (const use of uses) throwsCode(use, 'PERCPU_ARGUMENT', /outside an array of 3 elements/)
      }
      assert.equal(section.room, room)
      assert.deepEqual(copyOut(machine.memory, at, 2048), before)
      for (const index of [0, 1, 2]) {
        for (const view of numbers) view.set(index, 8)
        u64.set(index, 8n)
        structs.at(index).value = 8
        assert.deepEqual(
          numbers.map((view) => view.at(index)),
          [8, 8, 8, 8],
        )
      }
    })
  })
})

describe('a locked array outside of a section', () => {
  it('says where it is written', () => {
    const machine = boot({ cpus: 1, memory: '512 KiB' })
    const accessor = Arrays.at(machine.memory, machine.heap.memblock.alloc({ size: Arrays.size }))
    for (const view of [accessor.u8, accessor.u32, accessor.links] as unknown as ArrayView<number>[])
      for (const use of [() => view.set(0, 1), () => view.copyFrom(new Uint8Array(3))])
        throwsCode(use, 'PERCPU_ARGUMENT', /is locked: write it in a section/)
  })
})

describe('a revoked accessor', () => {
  it('throws at every use, others of its struct and memory go on', () => {
    const machine = boot({ cpus: 1, memory: '512 KiB' })
    const at = machine.heap.memblock.alloc({ size: 2048 })
    const Words = struct('Words', { count: u32, list: array(u32, 2) })
    const Bytes = struct('Bytes', { count: u8, list: array(u8, 2) })
    for (const type of [Words, Bytes]) {
      const [gone, other] = [type.at(machine.memory, at), type.at(machine.memory, at)]
      const { list } = gone
      gone.count = 5
      revokeAccessor(gone, () => new RangeError('revoked'))
      const uses = [
        () => gone.count,
        () => (gone.count = 6),
        () => gone.count++,
        () => gone.list,
        () => gone.toObject(),
        () => gone.address,
      ]
      for (const use of uses) assert.throws(use, new RangeError('revoked'))
      assert.equal(other.count, 5)
      other.count++
      list.set(1, 7)
      assert.deepEqual(other.toObject(), { count: 6, list: [0, 7] })
    }
  })
})
