/** Where objects lie: from an address to its slot and tag, and back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const { geometryOf } = await import('../../dist/alloc/geometry.js')
const { slabState, TAIL } = await import('../../dist/alloc/page-map.js')
const { locate, referenceOf, slabOf, slotAt, slotsOf, tagAt, TAGS } =
  await import('../../dist/alloc/slots.js')

const CACHE = 7
/** Numbers of pages that a slab may begin at: multiples of its size up to the end of 8 GiB. */
const PAGES = [8, 4096, 2 ** 21 - 8]
const machines = [
  { pages: 128, debug: 0, cpus: 8 },
  { pages: 16384, debug: 0, cpus: 8 },
  { pages: 16384, debug: 16, cpus: 8 },
]

/** Each way in which the objects of a cache may lie, with several colours of a slab. */
function* slabs() {
  for (const machine of machines) {
    for (let size = 1; size <= 4096; size = Math.ceil(size * 1.7)) {
      for (const align of [8, 64, 512]) {
        const geometry = geometryOf(size, align, machine)
        const slots = slotsOf(geometry, CACHE)
        for (const colour of new Set([0, geometry.colours >> 1, geometry.colours - 1]))
          for (const page of PAGES)
            yield { geometry, slots, page, state: slabState(geometry.order, CACHE, colour) }
      }
    }
  }
}

describe('the slots of a slab', () => {
  it('lead to their tags, and back', () => {
    let count = 0
    for (const { geometry, slots, page, state } of slabs()) {
      for (let slot = 0; slot < geometry.objects; slot += 1 + (slot >> 3)) {
        const reference = referenceOf(slots, page, slot, state)
        const tag = page * 1024 + TAGS + slot
        assert.equal(tagAt(slots, reference), tag)
        assert.equal(slotAt(slots, reference), slot)
        assert.equal(slabOf(slots, reference), page)
        assert.equal(locate(slots, reference, state), tag)
        // As seen from a further page of the slab.
        assert.equal(locate(slots, reference, state | TAIL), tag)
        count++
      }
    }
    assert.ok(count > 10_000, `${count}`)
  })

  it('are the only addresses at which an object is found', () => {
    for (const { geometry, slots, page, state } of slabs()) {
      if (page !== PAGES[0]) continue
      const starts = new Set<number>()
      for (let slot = 0; slot < geometry.objects; slot++) starts.add(referenceOf(slots, page, slot, state))
      for (let i = 0; i < 512 << geometry.order; i++) {
        const reference = page * 512 + i
        const isFound = locate(slots, reference, state) !== 0
        if (isFound !== starts.has(reference))
          assert.fail(`${reference} in ${JSON.stringify({ ...geometry, state })}`)
      }
    }
  })

  it('are those of one cache', () => {
    for (const { geometry, slots, page, state } of slabs()) {
      const reference = referenceOf(slots, page, 0, state)
      const { order } = geometry
      const colour = state >>> 20
      for (const other of [0, slabState(order, CACHE + 1, colour), slabState(order, 0, colour), state & ~1])
        assert.equal(locate(slots, reference, other), 0)
    }
  })
})
