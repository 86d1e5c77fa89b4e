/**
 * Values that are none, given to the heap: refused the first time and every time, and nothing is
 * changed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, PAGE_BYTES, type Section } from 'percpu'
import { throwsCode } from '../support/codes.js'
import { bytes } from './support/bytes.js'
import { verify } from './support/verify.js'

const Small = bytes(16)

describe('what the heap refuses', () => {
  it('is a number of bytes that is not whole, also for a size that was taken before', () => {
    const machine = boot({ memory: '2 MiB' })
    for (let bytes = 1; bytes <= 2048; bytes++) machine.heap.free(machine.heap.alloc(bytes))
    for (const bytes of [0.5, 1.5, 8.5, 64.001, 2047.5, -8, 0, NaN, Infinity, null]) {
      throwsCode(() => machine.heap.alloc(bytes as number), 'PERCPU_ARGUMENT')
    }
    assert.deepEqual(machine.heap.allocations(), [])
    assert.deepEqual(verify(machine).faults, [])
  })

  it('is a name or label that is no text that UTF-8 can hold', () => {
    const machine = boot({ memory: '2 MiB', debugHeap: true })
    const caches = (): number => machine.heap.report().caches.length
    machine.heap.alloc(8, { label: 'first' })
    const before = caches()
    for (const name of [5, undefined, null, {}, '', '\ud800', 'a\udc00', 'x'.repeat(41)]) {
      throwsCode(() => machine.heap.cache(name as string, Small), 'PERCPU_ARGUMENT')
      if (name !== undefined && name !== 'x'.repeat(41))
        throwsCode(() => machine.heap.alloc(8, { label: name as string }), 'PERCPU_ARGUMENT')
    }
    assert.equal(caches(), before)
    assert.equal(machine.heap.cache('größe', Small).name, 'größe')
    assert.equal(machine.heap.cache('größe', Small), machine.heap.cache('größe', Small))
  })

  it('is a section of another machine, which would change its words', () => {
    const [machine, other] = [boot({ memory: '2 MiB' }), boot({ memory: '2 MiB' })]
    const { heap } = machine
    const cache = heap.cache('small', Small)
    const [block, object] = [heap.alloc(2 * PAGE_BYTES), cache.alloc()]
    const wrong: ((section: Section) => void)[] = [
      (section) => heap.persist(block, section),
      (section) => heap.adopt(block, section),
      (section) => heap.pages.persist(block, section),
      (section) => cache.persist(object, section),
      (section) => cache.adopt(object, section),
    ]
    other.locks.mutex('m').run((section) => {
      for (const write of wrong) throwsCode(() => write(section), 'PERCPU_ARGUMENT', /section/)
      assert.equal(section.room, 512)
    })
    for (const none of [{}, null, 7])
      for (const write of wrong) throwsCode(() => write(none as never), 'PERCPU_ARGUMENT', /section/)
    let ended: Section | undefined
    machine.locks.mutex('m').run((section) => (ended = section))
    for (const write of wrong) throwsCode(() => write(ended as Section), 'PERCPU_SECTION')
    assert.deepEqual(
      heap.allocations().map(({ persistent }) => persistent),
      [false, false],
    )
    machine.locks.mutex('m').run((section) => heap.persist(object, section))
    assert.deepEqual(verify(machine).faults, [])
  })

  it('is a slab given for a block of pages', () => {
    const machine = boot({ memory: '2 MiB' })
    const object = machine.heap.alloc(64, { persist: true })
    const slab = object - (object % PAGE_BYTES)
    throwsCode(() => machine.heap.pages.adopt(slab), 'PERCPU_FOREIGN_ADDRESS')
    throwsCode(() => machine.heap.pages.persist(slab), 'PERCPU_FOREIGN_ADDRESS')
    throwsCode(() => machine.heap.pages.free(slab, 0), 'PERCPU_FOREIGN_ADDRESS')
    assert.deepEqual(verify(machine).faults, [])
  })

  it('is a cache of what is no struct, or of one too large', () => {
    const machine = boot({ memory: '2 MiB' })
    const wrong = [
      undefined,
      null,
      16,
      'Small',
      {},
      { size: 16, align: 8, hash: 0 },
      bytes(2 ** 16 + 1),
      bytes(8, 8192),
    ]
    for (const struct of wrong)
      throwsCode(() => machine.heap.cache('wrong', struct as never), 'PERCPU_ARGUMENT')
    assert.deepEqual(machine.heap.report().caches, [])
  })
})
