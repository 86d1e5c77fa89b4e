/**
 * What accessors read and write: every type at its limits, in both byte orders, on shared memory,
 * and nothing beside it.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  aligned,
  ArgumentError,
  array,
  atomic,
  big,
  dump,
  f32,
  f64,
  i16,
  i32,
  i8,
  locked,
  owner,
  pad,
  published,
  racy,
  struct,
  u16,
  u32,
  u64,
  u8,
  type AnyStruct,
} from 'percpu'
import { copyOut, createBuffer, fillBytes, openMemory, poisonMemory, type Memory } from 'percpu/mem'

type Value = number | bigint
const setters = {
  u8: 'setUint8',
  i8: 'setInt8',
  u16: 'setUint16',
  i16: 'setInt16',
  u32: 'setUint32',
  i32: 'setInt32',
  u64: 'setBigUint64',
  f32: 'setFloat32',
  f64: 'setFloat64',
} as const
const limits: Readonly<Record<keyof typeof setters, readonly Value[]>> = {
  u8: [0, 1, 127, 128, 255],
  i8: [-128, -1, 0, 127],
  u16: [0, 1, 0x1234, 65535],
  i16: [-32768, -1, 0x1234, 32767],
  u32: [0, 1, 0x12345678, 2 ** 31, 2 ** 32 - 1],
  i32: [-(2 ** 31), -1, 0x12345678, 2 ** 31 - 1],
  u64: [0n, 1n, 0x0123456789abcdefn, 2n ** 63n, 2n ** 64n - 1n],
  f32: [0, -0, 1.5, -(2 ** -126), 3.4028234663852886e38, Infinity, NaN],
  f64: [0, -0, Math.PI, Number.MIN_VALUE, -Number.MAX_VALUE, -Infinity, NaN],
}

/** Every plain type, after a byte that pushes it off its natural place, and again in an array. */
const Every = struct('Every', {
  first: u8,
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  u64,
  f32,
  f64,
  beu16: big(u16),
  bei16: big(i16),
  beu32: big(u32),
  bei32: big(i32),
  beu64: big(u64),
  bef32: big(f32),
  bef64: big(f64),
})
const Arrays = struct('Arrays', {
  first: u8,
  u8: array(u8, 3),
  i8: array(i8, 3),
  u16: array(u16, 3),
  i16: array(i16, 3),
  u32: array(u32, 3),
  i32: array(i32, 3),
  u64: array(u64, 3),
  f32: array(f32, 3),
  f64: array(f64, 3),
  beu16: array(big(u16), 3),
  bei16: array(big(i16), 3),
  beu32: array(big(u32), 3),
  bei32: array(big(i32), 3),
  beu64: array(big(u64), 3),
  bef32: array(big(f32), 3),
  bef64: array(big(f64), 3),
})
/** Aligned to less than 4 bytes: accessors of another shape. */
const Small = struct('Small', {
  first: u8,
  u8,
  i8,
  u16,
  i16,
  beu16: big(u16),
  bei16: big(i16),
})
const SmallArrays = struct('SmallArrays', {
  first: u8,
  u8: array(u8, 3),
  i8: array(i8, 3),
  u16: array(u16, 3),
  i16: array(i16, 3),
  beu16: array(big(u16), 3),
  bei16: array(big(i16), 3),
})

function memoryOf(bytes: number): Memory {
  return openMemory(createBuffer(bytes))
}

/** The bytes that `value` must be stored as. */
function bytesOf(field: string, value: Value): Uint8Array {
  const name = field.replace('be', '') as keyof typeof setters
  const view = new DataView(new ArrayBuffer(Number(name.slice(1)) / 8))
  const write = view as unknown as Readonly<
    Record<string, (at: number, value: Value, little: boolean) => void>
  >
  write[setters[name]]?.(0, value, !field.startsWith('be'))
  return new Uint8Array(view.buffer)
}

type Plain = Record<string, Value>
type Indexed = Record<
  string,
  { at(index: number): Value; set(index: number, value: Value): void; length: number }
>

function offsetOf(layout: AnyStruct, path: string): number {
  const found = layout.fields.find((field) => field.path === path)
  assert.ok(found, path)
  return found.offset
}

/** Both ways to an accessor. */
function accessorsOf(layout: AnyStruct, memory: Memory, address: number): object[] {
  return [layout.at(memory, address), layout.bind(memory)(address)]
}

/**
 * Writes through `write`, and checks that exactly the bytes from `address` are now those of
 * `value`.
 */
function checkWrite(memory: Memory, address: number, expected: Uint8Array, write: () => void): void {
  fillBytes(memory, 0, memory.byteLength, 0xa5)
  const want = copyOut(memory, 0, memory.byteLength)
  want.set(expected, address)
  write()
  assert.deepEqual(copyOut(memory, 0, memory.byteLength), want)
}

describe('layout: accessors', () => {
  for (const layout of [Every, Small]) {
    it(`read and write each scalar of ${layout.name}, and no other byte`, () => {
      const memory = memoryOf(512)
      for (const address of [0, layout.align, 16 * layout.align]) {
        for (const accessor of accessorsOf(layout, memory, address) as Plain[]) {
          for (const { name } of layout.members.slice(1)) {
            for (const value of limits[name.replace('be', '') as keyof typeof limits]) {
              checkWrite(memory, address + offsetOf(layout, name), bytesOf(name, value), () => {
                accessor[name] = value
              })
              assert.ok(Object.is(accessor[name], value), `${name} = ${String(value)}`)
            }
          }
        }
      }
    })
  }

  for (const layout of [Arrays, SmallArrays]) {
    it(`read and write each element of ${layout.name}, and no other byte`, () => {
      const memory = memoryOf(1024)
      const address = 5 * layout.align
      for (const accessor of accessorsOf(layout, memory, address) as Indexed[]) {
        for (const { name } of layout.members.slice(1)) {
          const view = accessor[name]
          assert.ok(view)
          assert.equal(view.length, 3)
          for (const value of limits[name.replace('be', '') as keyof typeof limits]) {
            const expected = bytesOf(name, value)
            for (const index of [0, 1, 2]) {
              const at = address + offsetOf(layout, name) + index * expected.length
              checkWrite(memory, at, expected, () => {
                view.set(index, value)
              })
              assert.ok(Object.is(view.at(index), value), `${name}[${String(index)}] = ${String(value)}`)
            }
          }
        }
      }
    })
  }

  it('refuse indices outside an array, and write nothing', () => {
    const memory = memoryOf(1024)
    const view = Arrays.at(memory, 512).u32
    for (const index of [-1, 3, 1.5, NaN, 2 ** 32]) {
      assert.throws(() => view.at(index), { code: 'PERCPU_ARGUMENT', details: { index, length: 3 } })
      assert.throws(() => {
        view.set(index, 7)
      }, ArgumentError)
    }
    assert.ok(copyOut(memory, 0, 1024).every((byte) => byte === 0))
  })

  it('iterate and copy arrays', () => {
    const view = Arrays.at(memoryOf(1024), 0).beu16
    view.set(0, 1)
    view.set(2, 65535)
    assert.deepEqual([...view], [1, 0, 65535])
    assert.deepEqual(view.toArray(), [1, 0, 65535])
  })

  it('wrap numbers that do not fit, as typed arrays do', () => {
    const every = Every.at(memoryOf(512), 0)
    every.u8 = 257
    every.i16 = 65535
    every.u32 = -1
    every.u64 = -1n
    every.beu32 = 2 ** 32 + 5
    assert.deepEqual(
      [every.u8, every.i16, every.u32, every.u64, every.beu32],
      [1, -1, 2 ** 32 - 1, 2n ** 64n - 1n, 5],
    )
  })

  it('give atomic words the operations of Atomics, which return the value before', () => {
    const Words = struct('Words', {
      i: atomic(i32),
      u: atomic(u32),
      b: atomic(u64),
      many: atomic(array(u32, 3)),
    })
    const memory = memoryOf(128)
    for (const words of [Words.at(memory, 64), Words.bind(memory)(64)]) {
      for (const cell of [words.i, words.u, words.many.at(2)]) {
        cell.store(6)
        assert.equal(cell.add(4), 6)
        assert.equal(cell.sub(2), 10)
        assert.equal(cell.and(12), 8)
        assert.equal(cell.or(3), 8)
        assert.equal(cell.exchange(5), 11)
        assert.equal(cell.compareExchange(4, 9), 5)
        assert.equal(cell.compareExchange(5, 9), 5)
        assert.equal(cell.load(), 9)
      }
      const cell = words.b
      cell.store(2n ** 64n - 1n)
      assert.equal(cell.add(2n), 2n ** 64n - 1n)
      assert.equal(cell.sub(2n), 1n)
      assert.equal(cell.and(0xffn), 2n ** 64n - 1n)
      assert.equal(cell.or(0x100n), 0xffn)
      assert.equal(cell.exchange(7n), 0x1ffn)
      assert.equal(cell.compareExchange(7n, 8n), 7n)
      assert.equal(cell.load(), 8n)
      words.i.store(-1)
      assert.equal(words.i.load(), -1)
      words.u.store(-1)
      assert.equal(words.u.load(), 2 ** 32 - 1)
      assert.deepEqual(
        [...words.many].map((each) => each.load()),
        [0, 0, 9],
      )
    }
    const { i, u, b, many } = Words.at(memory, 64)
    assert.deepEqual([i.index, u.index, b.index, many.at(1).index], [16, 17, 9, 21])
  })

  it('wait on a signed word', async () => {
    const cell = struct('Bell', { bell: atomic(i32) }).at(memoryOf(64), 0).bell
    cell.store(1)
    assert.equal(cell.wait(0), 'not-equal')
    assert.equal(cell.wait(1, 0), 'timed-out')
    const waiting = cell.waitAsync(1)
    assert.ok(waiting.async)
    assert.equal(cell.notify(), 1)
    assert.equal(await waiting.value, 'ok')
    assert.equal(cell.notify(1), 0)
  })

  it('reach into nested structs and arrays of anything', () => {
    const Leaf = struct('Leaf', { byte: u8, half: u16, bytes: array(u8, 3) })
    const Node = struct('Node', { count: atomic(i32), value: f64, leaf: Leaf, leaves: array(Leaf, 2) })
    const Root = struct('Root', { tag: u8, node: Node, nodes: array(Node, 3), grid: array(array(i16, 3), 2) })
    const memory = memoryOf(1024)
    for (const root of [Root.at(memory, 128), Root.bind(memory)(128)]) {
      const node = root.nodes.at(2)
      assert.equal(node.address, 128 + Root.offsets.nodes + 2 * Node.stride)
      node.leaves.at(1).bytes.set(2, 77)
      node.value = 0.25
      root.node.leaf.half = 0xbeef
      root.node.count.add(3)
      root.grid.at(1).set(2, -5)
      const leafAddress = node.address + Node.offsets.leaves + Leaf.stride
      assert.equal(node.leaves.at(1).address, leafAddress)
      assert.deepEqual([...copyOut(memory, leafAddress + Leaf.offsets.bytes + 2, 1)], [77])
      const plain = root.toObject()
      assert.equal(plain.nodes[2]?.value, 0.25)
      assert.equal(plain.nodes[2].leaves[1]?.bytes[2], 77)
      assert.equal(plain.node.leaf.half, 0xbeef)
      assert.deepEqual(plain.grid, [
        [0, 0, 0],
        [0, 0, -5],
      ])
      assert.throws(() => root.nodes.at(3), ArgumentError)
    }
    assert.equal(Root.at(memory, 128).node.count.load(), 6)
  })

  it('agree with offsets and words on where a field is', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Every.members.slice(1).map(({ name }) => name)),
        fc.nat(20),
        (name, slot) => {
          const memory = memoryOf(4096)
          const address = slot * Every.align
          const accessor = Every.at(memory, address) as unknown as Plain
          const value = limits[name.replace('be', '') as keyof typeof limits][1] ?? 0
          accessor[name] = value
          const { length } = bytesOf(name, value)
          assert.deepEqual(copyOut(memory, address + offsetOf(Every, name), length), bytesOf(name, value))
        },
      ),
      { numRuns: 50 },
    )
    assert.equal(Every.words.u32 * 4, Every.offsets.u32)
    assert.deepEqual(
      Object.keys(Every.offsets),
      Every.members.map(({ name }) => name),
    )
    assert.throws(() => Every.words.i8, {
      code: 'PERCPU_ARGUMENT',
      message: /Every\.words\.i8: .* offset 2 /,
    })
    assert.throws(() => Small.words.first, { code: 'PERCPU_ARGUMENT', message: /aligned to 2/ })
  })

  it('work at the top of 8 GiB', () => {
    const memory = memoryOf(2 ** 33)
    const top = 2 ** 33 - 512
    const Word = struct('Word', {
      cell: atomic(u32),
      nested: array(Every, 2),
      small: Small,
      bytes: array(u8, 4),
    })
    for (const word of [Word.at(memory, top), Word.bind(memory)(top)]) {
      const inner = word.nested.at(1)
      inner.u8 = 200
      inner.u16 = 60000
      inner.beu64 = 2n ** 60n
      inner.f64 = 1.5
      word.cell.store(5)
      word.small.i16 = -3
      word.bytes.set(3, 9)
      assert.deepEqual(
        [inner.u8, inner.u16, inner.beu64, inner.f64, word.cell.load(), word.small.i16, word.bytes.at(3)],
        [200, 60000, 2n ** 60n, 1.5, 5, -3, 9],
      )
      assert.equal(word.address, top)
      assert.equal(inner.address, top + Word.offsets.nested + Every.stride)
      assert.equal(copyOut(memory, inner.address + Every.offsets.u8, 1)[0], 200)
    }
  })

  it('all stop when the memory is poisoned', () => {
    const memory = memoryOf(1024)
    const All = struct('All', { plain: u32, byte: u8, cell: atomic(i32), list: array(u16, 2), inner: Every })
    const bound = All.bind(memory)(0)
    const free = All.at(memory, 0)
    const { cell, list, inner } = free
    poisonMemory(memory, () => new Error('poisoned'))
    for (const use of [
      () => free.plain,
      () => (bound.plain = 1),
      () => bound.byte,
      () => cell.load(),
      () => bound.cell.add(1),
      () => list.at(0),
      () => inner.u64,
      () => (bound.inner.beu16 = 1),
      () => free.toObject(),
    ]) {
      assert.throws(use, { message: 'poisoned' })
    }
  })

  it('print as the object they read as, and dump with the name of each word', () => {
    const Point = struct('Point', { x: i16, _: pad(2), y: racy(big(u16)) })
    const Shape = struct('Shape', {
      state: atomic(u32),
      points: array(Point, 2),
      next: locked(i32, 'shape.lock'),
      tag: published(array(u8, 2)),
    })
    const memory = memoryOf(128)
    const shape = Shape.at(memory, 64)
    shape.state.store(3)
    shape.points.at(1).x = -2
    shape.points.at(1).y = 515
    shape.tag.set(0, 8)
    assert.deepEqual(shape.toObject(), {
      state: 3,
      points: [
        { x: 0, y: 0 },
        { x: -2, y: 515 },
      ],
      next: 0,
      tag: [8, 0],
    })
    assert.equal(
      dump(Shape, memory, 64),
      [
        'struct Shape at 64',
        '  Shape.state        +0   atomic u32    = 3',
        '  Shape.points[0].x  +4   owner i16     = 0',
        '  Shape.points[0].y  +8   racy be u16   = 0',
        '  Shape.points[1].x  +10  owner i16     = -2',
        '  Shape.points[1].y  +14  racy be u16   = 515',
        '  Shape.next         +16  locked i32    = 0',
        '  Shape.tag[0]       +20  published u8  = 8',
        '  Shape.tag[1]       +21  published u8  = 0',
        '',
      ].join('\n'),
    )
    assert.deepEqual(
      [0, 3, 6, 9, 14, 21, 22, 99].map((offset) => Shape.nameAt(offset)),
      ['state', 'state', 'points[0]._', 'points[0].y', 'points[1].y', 'tag[1]', undefined, undefined],
    )
  })

  it('do not stop at kinds: a marked and aligned field reads as its type', () => {
    const Mixed = struct('Mixed', { a: u8, b: aligned(owner(u64), 16), c: owner(aligned(f32, 32)) })
    assert.deepEqual({ ...Mixed.offsets }, { a: 0, b: 16, c: 32 })
    const mixed = Mixed.at(memoryOf(64), 0)
    mixed.b = 5n
    mixed.c = 0.5
    assert.deepEqual([mixed.b, mixed.c], [5n, 0.5])
  })
})

describe('accessors that are first made where the stack ends', () => {
  it('have all of their properties once there is room', () => {
    const memory = openMemory(createBuffer(4096))
    for (let i = 0; i < 20; i++) {
      const Inner = struct(`Inner${i}`, { a: u32, b: u32 })
      const Outer = struct(`Outer${i}`, { a: u32, inner: Inner, list: array(Inner, i + 1), last: u32 })
      /** At each depth, from the deepest on, until there is one. */
      const dive = (): object => {
        try {
          return dive()
        } catch {
          return Outer.at(memory, 64)
        }
      }
      dive()
      const values = { a: 1, b: 2 }
      const whole = { a: 3, inner: values, list: Array.from({ length: i + 1 }, () => values), last: 4 }
      const accessor = Outer.at(memory, 64)
      Object.assign(accessor, { a: 3, last: 4 })
      for (const inner of [accessor.inner, ...accessor.list]) Object.assign(inner, values)
      assert.deepEqual(accessor.toObject(), whole)
      assert.equal(accessor.last, 4)
    }
  })
})
