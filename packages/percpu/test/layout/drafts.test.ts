/**
 * Objects under construction: every plain field can be written, as long as nobody else can see
 * them.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  array,
  atomic,
  big,
  f64,
  i32,
  locked,
  owner,
  published,
  racy,
  struct,
  u16,
  u64,
  u8,
  type Accessor,
  type Draft,
} from 'percpu'
import { copyOut, createBuffer, openMemory } from 'percpu/mem'

const { fillDraft } = await import('../../dist/layout/draft.js')

const Inner = struct('Inner', { value: locked(f64, 'node'), state: atomic(i32) })
const Node = struct('Node', {
  next: locked(i32, 'node'),
  flag: locked(u8, 'node'),
  port: locked(big(u16), 'node'),
  key: published(u64),
  hits: racy(u8),
  own: owner(u8),
  state: atomic(i32),
  names: locked(array(u8, 4), 'node'),
  inner: Inner,
  inners: array(Inner, 2),
  grid: locked(array(array(i32, 2), 2), 'node'),
})
const Small = struct('Small', { a: locked(u8, 'node'), b: u16 })
const memory = openMemory(createBuffer(4096))

describe('layout: drafts', () => {
  it('have setters for every plain field, in nested structs and arrays too', () => {
    fillDraft(Node, memory, 64, (node) => {
      node.next = -2
      node.flag = 255
      node.port = 0x1234
      node.key = 5n
      node.hits = 6
      node.own = 7
      node.state.store(8)
      node.names.set(3, 9)
      node.inner.value = 0.5
      node.inner.state.store(10)
      node.inners.at(1).value = 1.5
      node.grid.at(1).set(0, 11)
      assert.equal(node.next, -2)
      assert.equal(node.address, 64)
      assert.equal(node.memory.byteLength, 4096)
    })
    assert.deepEqual(Node.at(memory, 64).toObject(), {
      next: -2,
      flag: 255,
      port: 0x1234,
      key: 5n,
      hits: 6,
      own: 7,
      state: 8,
      names: [0, 0, 0, 9],
      inner: { value: 0.5, state: 10 },
      inners: [
        { value: 0, state: 0 },
        { value: 1.5, state: 0 },
      ],
      grid: [
        [0, 0],
        [11, 0],
      ],
    })
    fillDraft(Small, memory, 1026, (small) => {
      small.a = 1
      small.b = 2
    })
    assert.deepEqual([...copyOut(memory, 1024, 6)], [0, 0, 1, 0, 2, 0])
  })

  it('are over when init has returned or thrown, with all that was got from them', () => {
    for (const fails of [false, true]) {
      let uses: (() => unknown)[] = []
      const init = (node: Draft<typeof Node>): void => {
        const { names, inner, inners } = node
        uses = [
          () => node.next,
          () => (node.next = 1),
          () => (node.hits = 1),
          () => node.state.load(),
          () => names.set(0, 1),
          () => inner.value,
          () => (inners.at(1).value = 1),
          () => node.toObject(),
        ]
        if (fails) throw new Error('no')
      }
      const run = (): void => fillDraft(Node, memory, 256, init)
      if (fails) assert.throws(run, /^Error: no$/)
      else run()
      const before = copyOut(memory, 0, 4096)
      for (const use of uses) assert.throws(use, { code: 'PERCPU_DRAFT', message: /the object is finished/ })
      assert.deepEqual(copyOut(memory, 0, 4096), before)
    }
  })

  it('refuse an init that is not over when it returns, and an address where no object can be', () => {
    const asynchronous = (async () => Promise.resolve()) as () => void
    assert.throws(() => fillDraft(Node, memory, 64, asynchronous), {
      code: 'PERCPU_ARGUMENT',
      message: /one synchronous stretch/,
    })
    assert.throws(() => fillDraft(Node, memory, 65, () => undefined), { code: 'PERCPU_ARGUMENT' })
  })
})

describe('layout: locked fields', () => {
  const accessors: Accessor<typeof Node>[] = [Node.at(memory, 64), Node.bind(memory)(64)]

  it('have no setter on the accessors that others use too', () => {
    for (const node of accessors) {
      const before = copyOut(memory, 0, 4096)
      const { inner, inners, grid } = node
      assert.throws(
        () => {
          // @ts-expect-error a locked field is written in a section
          node.next = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error of any width and order
          node.port = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error the fields of a nested struct keep their kinds
          inner.value = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error in an array, too
          inners.at(0).value = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error in a struct aligned to 2 bytes, too
          Small.at(memory, 64).a = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      // @ts-expect-error an array of them cannot be set
      const { set } = node.names
      // @ts-expect-error nor an array in an array
      const { set: setInner } = grid.at(0)
      for (const method of [set, setInner] as (() => void)[])
        assert.throws(method, { code: 'PERCPU_ARGUMENT' })
      assert.deepEqual(copyOut(memory, 0, 4096), before)
      assert.deepEqual([node.next, node.names.at(3), [...grid.at(1)]], [-2, 9, [11, 0]])
      node.hits++
      node.own++
    }
  })

  it('have none where the struct says the kind', () => {
    const Locked = struct('Locked', { a: i32, b: racy(i32) }, { kind: 'locked', lock: 'table' })
    const object = Locked.at(memory, 0)
    assert.throws(
      () => {
        // @ts-expect-error the kind of the struct is that of its unmarked fields
        object.a = 1
      },
      { code: 'PERCPU_ARGUMENT' },
    )
    object.b = 1
  })
})
