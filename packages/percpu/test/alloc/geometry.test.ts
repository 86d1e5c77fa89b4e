/** How objects lie in slabs, for every size. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const { classAlign, classTable, geometryOf, reciprocal, SIZE_CLASSES } =
  await import('../../dist/alloc/geometry.js')

const machines = [128, 2048, 16384, 2 ** 21].flatMap((pages) =>
  [0, 16].map((debug) => ({ pages, debug, cpus: 8 })),
)
function* shapes(): Generator<readonly [size: number, align: number]> {
  for (const size of SIZE_CLASSES) yield [size, classAlign(size)]
  for (let size = 1; size <= 65536; size = Math.ceil(size * 1.17)) {
    for (const align of [8, 64, 512, 4096]) yield [size, align]
  }
}

describe('the geometry of a slab', () => {
  it('has room for tags and all objects, in every colour, aligned', () => {
    for (const machine of machines) {
      for (const [size, align] of shapes()) {
        const geometry = geometryOf(size, align, machine)
        const { objects, stride, first, colours, colourStep, order } = geometry
        const what = JSON.stringify({ ...geometry, machine })
        const front = machine.debug === 0 ? 0 : Math.max(machine.debug, align)
        const lastColour = (colours - 1) * colourStep
        assert.ok(objects >= 4 && order <= 10, what)
        assert.ok(first - front >= 64 + objects * (machine.debug === 0 ? 4 : 8), what)
        assert.ok(first - front + lastColour + objects * stride <= 4096 << order, what)
        assert.ok(front + size + machine.debug <= stride, what)
        assert.ok(lastColour < stride && colours >= 1 && colours <= 1024, what)
        for (const place of [first, colourStep, stride]) assert.equal(place % align, 0, what)
      }
    }
  })

  it('finds the index of every byte of every object by a multiplication', () => {
    const seen = new Set<string>()
    for (const machine of machines) {
      for (const [size, align] of shapes()) {
        const { stride, order } = geometryOf(size, align, machine)
        const [divisor, limit] = [stride / 8, 512 << order]
        if (seen.has(`${divisor} ${limit}`)) continue
        seen.add(`${divisor} ${limit}`)
        const [factor, shift] = reciprocal(divisor, limit)
        for (let value = 0; value < limit; value++) {
          const quotient = Math.imul(value, factor) >>> shift
          if (quotient !== Math.floor(value / divisor)) assert.fail(`${value} / ${divisor} gives ${quotient}`)
        }
      }
    }
    assert.ok(seen.size > 100)
  })

  it('wastes at most an eighth of a large object, and a fifth of a class', () => {
    const machine = { pages: 16384, debug: 0, cpus: 8 }
    for (const size of SIZE_CLASSES.filter((each) => each >= 64)) {
      const { objects, order } = geometryOf(size, classAlign(size), machine)
      assert.ok((objects * size) / (4096 << order) > 0.875, `${size}`)
    }
    for (const align of [8, 16, 32, 64]) {
      const table = classTable(align)
      for (let bytes = 1; bytes <= 2048; bytes++) {
        const size = SIZE_CLASSES[table[(bytes + 7) >>> 3] ?? -1] ?? 0
        assert.ok(size >= bytes && classAlign(size) >= align)
        if (align === 8 && bytes >= 64) assert.ok(size - bytes <= size / 5, `${bytes} bytes in ${size}`)
      }
    }
  })
})
