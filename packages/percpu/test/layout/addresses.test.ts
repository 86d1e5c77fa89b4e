/**
 * Fields that hold addresses: bytes outside, 32 bits inside, followed to the objects that lie
 * there.
 */
import assert from 'node:assert/strict'
import { describe as suite, it } from 'node:test'
import fc from 'fast-check'
import {
  address,
  aligned,
  array,
  atomic,
  AtomicAddress,
  big,
  describe,
  diff,
  dump,
  locked,
  owner,
  published,
  racy,
  report,
  struct,
  u16,
  u32,
  u8,
  type Accessor,
  type FieldSpec,
  type Infer,
} from 'percpu'
import { copyOut, createBuffer, load32, openMemory, poisonMemory, store32, type Memory } from 'percpu/mem'

const { fillDraft } = await import('../../dist/layout/draft.js')

const Leaf = struct('Leaf', { value: u32 })
const Node = struct('Node', {
  next: locked(address('self'), 'list'),
  previous: owner(address('self')),
  leaf: published(address(Leaf)),
  bare: racy(address()),
  head: atomic(address('self')),
  top: atomic(address(Leaf)),
  any: atomic(address()),
  leaves: array(published(address(Leaf)), 3),
  heads: atomic(array(address('self'), 2)),
  grid: owner(array(array(address(Leaf), 2), 2)),
  key: u32,
})
const List = struct('List', { first: address(Node), inner: Node, inners: array(Node, 2) })

type Same<A, B> = [A, B] extends [B, A] ? true : false
const memoryOf = (bytes = 8192): Memory => openMemory(createBuffer(bytes))
/** Addresses at the limits of what there is. */
const GOOD = [0, 8, 64, 4096, 2 ** 31 - 8, 2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 33 - 8]
const BAD = [-8, 4, 7, 8.5, 0.5, 2 ** 33, 2 ** 40, -(2 ** 33), NaN, Infinity, '8', null, undefined, 8n, {}]
const fault = { code: 'PERCPU_ARGUMENT', message: /is not an address: it must be a multiple of 8/ }

suite('layout: addresses', () => {
  it('are byte addresses outside, and a cleared word is none', () => {
    const memory = memoryOf(2 ** 33)
    for (const at of [0, 2 ** 33 - 512]) {
      for (const node of [Node.at(memory, at), Node.bind(memory)(at)]) {
        assert.deepEqual([node.previous, node.leaf, node.bare, node.next], [0, 0, 0, 0])
        for (const value of GOOD) {
          node.previous = value
          node.leaf = value
          node.bare = value
          node.leaves.set(2, value)
          node.grid.at(1).set(0, value)
          assert.deepEqual(
            [node.previous, node.leaf, node.bare, node.leaves.at(2), node.grid.at(1).at(0)],
            [value, value, value, value, value],
          )
          assert.equal(load32(memory.i32, at / 4 + Node.words.previous), value / 8)
        }
        assert.deepEqual([...node.leaves], [0, 0, 2 ** 33 - 8])
        node.previous = -0
        assert.ok(Object.is(node.previous, 0))
        node.previous = node.leaf = node.bare = 0
        node.leaves.set(2, 0)
        node.grid.at(1).set(0, 0)
      }
    }
  })

  it('are cells when they are atomic', () => {
    const memory = memoryOf(2 ** 33)
    const node = Node.at(memory, 4096)
    for (const cell of [node.head, node.top, node.any, node.heads.at(1)]) {
      assert.ok(cell instanceof AtomicAddress)
      for (const value of GOOD) {
        cell.store(value)
        assert.equal(cell.load(), value)
        assert.equal(cell.exchange(16), value)
        assert.equal(cell.compareExchange(24, 32), 16)
        assert.equal(cell.compareExchange(16, value), 16)
        assert.equal(cell.compareExchange(value, 8), value)
        assert.equal(load32(memory.i32, cell.index), 1)
      }
    }
    // @ts-expect-error addresses are not added to
    assert.equal(node.head.add, undefined)
    // @ts-expect-error nor waited on
    assert.equal(node.head.wait, undefined)
    assert.throws(
      () => {
        // @ts-expect-error an atomic address is a cell, not a property to write
        node.head = 8
      },
      { code: 'PERCPU_ARGUMENT' },
    )
  })

  it('refuse anything else, and change nothing', () => {
    const memory = memoryOf()
    const node = Node.at(memory, 4096)
    node.previous = node.bare = 8
    node.any.store(16)
    const before = copyOut(memory, 0, 8192)
    for (const bad of BAD as number[]) {
      const writes = [
        () => (node.previous = bad),
        () => (Node.bind(memory)(4096).bare = bad),
        () => node.leaves.set(0, bad),
        () => node.any.store(bad),
        () => node.any.exchange(bad),
        () => node.any.compareExchange(16, bad),
        () => node.any.compareExchange(bad, 24),
        () => node.heads.at(0).store(bad),
        () => fillDraft(Node, memory, 4096, (draft) => (draft.next = bad)),
      ]
      for (const write of writes) assert.throws(write, fault, String(bad))
    }
    assert.deepEqual(copyOut(memory, 0, 8192), before)
    assert.throws(() => (node.bare = 12), {
      details: { address: 12 },
      message: '12 is not an address: it must be a multiple of 8 from 0, for none, to below 8 GiB',
    })
  })

  it('keep their kinds', () => {
    const memory = memoryOf()
    for (const node of [Node.at(memory, 4096), Node.bind(memory)(4096)]) {
      assert.throws(
        () => {
          // @ts-expect-error a locked address is written in a section
          node.next = 8
        },
        { code: 'PERCPU_ARGUMENT' },
      )
    }
    const Locked = struct('Locked', { list: array(locked(address(Leaf), 'it'), 2) })
    // @ts-expect-error and its array too
    const { set } = Locked.at(memory, 4096).list
    assert.throws(set as () => void, { code: 'PERCPU_ARGUMENT' })
    fillDraft(Locked, memory, 4096, (object) => object.list.set(1, 64))
    assert.deepEqual(Locked.at(memory, 4096).list.toArray(), [0, 64])
    const kinds = Object.fromEntries(Node.members.map(({ name, kind }) => [name, kind]))
    assert.deepEqual(kinds, {
      next: 'locked',
      previous: 'owner',
      leaf: 'published',
      bare: 'racy',
      head: 'atomic',
      top: 'atomic',
      any: 'atomic',
      leaves: 'published',
      heads: 'atomic',
      grid: 'owner',
      key: 'owner',
    })
  })

  it('are as a model has them, wherever they lie', () => {
    const fields = fc.array(fc.constantFrom('byte', 'half', 'address', 'atomic', 'array'), { minLength: 1 })
    const specs: Record<string, FieldSpec> = {
      byte: u8,
      half: big(u16),
      address: owner(address()),
      atomic: atomic(address()),
      array: array(owner(address()), 2),
    }
    const memory = memoryOf()
    fc.assert(
      fc.property(
        fields,
        fc.nat(40),
        fc.array(fc.nat(2 ** 30 - 1), { minLength: 1 }),
        (names, slot, values) => {
          const definition = Object.fromEntries(names.map((name, i) => [`${name}${i}`, specs[name] ?? u8]))
          const Random = struct('Random', { ...definition, last: owner(address()) })
          const at = slot * Random.align
          const object = Random.at(memory, at) as unknown as Record<string, unknown>
          names.forEach((name, i) => {
            const value = (values[i % values.length] ?? 0) * 8
            const field = `${name}${i}`
            if (name === 'address') object[field] = value
            else if (name === 'atomic') (object[field] as AtomicAddress).store(value)
            else if (name === 'array')
              (object[field] as { set(i: number, value: number): void }).set(1, value)
            else return
            const offset = Random.members[i]?.offset ?? NaN
            assert.equal(load32(memory.i32, (at + offset) / 4 + (name === 'array' ? 1 : 0)), value / 8)
          })
        },
      ),
      { numRuns: 100 },
    )
  })
})

suite('layout: following an address', () => {
  /** A list of nodes at 4096, 4608 …, each with the address of the one before, and a leaf. */
  function chain(memory: Memory, count: number): number {
    let last = 0
    for (let i = 0; i < count; i++) {
      const at = 4096 + 512 * i
      Leaf.at(memory, at + 256).value = i
      fillDraft(Node, memory, at, (node) => {
        node.key = i
        node.next = last
        node.head.store(last)
        node.leaf = at + 256
        node.leaves.set(1, at + 256)
        node.grid.at(1).set(0, at + 256)
        node.heads.at(1).store(last)
      })
      last = at
    }
    return last
  }

  it('gives the object, or undefined for none; no annotation is needed', () => {
    const memory = memoryOf()
    const last = chain(memory, 3)
    for (const first of [Node.at(memory, last), Node.bind(memory)(last)]) {
      const keys = []
      for (let node: typeof first | undefined = first; node; node = node.follow.next) keys.push(node.key)
      assert.deepEqual(keys, [2, 1, 0])
      const byHead = []
      for (let node: typeof first | undefined = first; node; node = node.follow.head) byHead.push(node.key)
      assert.deepEqual(byHead, keys)
      assert.equal(first.follow.leaf?.value, 2)
      assert.equal(first.follow.leaf.address, last + 256)
      assert.deepEqual(
        Array.from(first.follow.leaves, (leaf) => leaf?.value),
        [undefined, 2, undefined],
      )
      assert.equal(first.follow.grid.at(1).at(0)?.value, 2)
      assert.equal(first.follow.heads.at(1)?.follow.heads.at(1)?.key, 0)
      assert.equal(first.follow.heads.at(0), undefined)
      assert.throws(() => first.follow.leaves.at(3), { code: 'PERCPU_ARGUMENT' })
      assert.equal(first.follow.next?.constructor, first.constructor)
    }
    const node = Node.at(memory, last)
    const inferred: Same<typeof node.follow.next, Accessor<typeof Node> | undefined> = true
    const leaf: Same<typeof node.follow.leaf, Accessor<typeof Leaf> | undefined> = true
    const plain: Same<Infer<typeof Node>['next'], number> = true
    assert.deepEqual([inferred, leaf, plain], [true, true, true])
    // @ts-expect-error there may be no object
    assert.equal(node.follow.next.key, 1)
    // @ts-expect-error nothing is known of what a bare address leads to
    assert.equal(node.follow.bare, undefined)
    // @ts-expect-error it is no address
    assert.equal(node.follow.key, undefined)
    // @ts-expect-error there is no address at all
    assert.equal(Leaf.at(memory, 0).follow, undefined)
  })

  it('goes on from nested structs, each by its own fields', () => {
    const memory = memoryOf()
    const last = chain(memory, 2)
    fillDraft(List, memory, 0, (list) => {
      list.first = last
      list.inner.next = last
      list.inners.at(1).leaf = last + 256
      // What lies there is no draft: others may see it.
      assert.throws(
        () => {
          // @ts-expect-error a locked field of an object that others see
          if (list.follow.first) list.follow.first.next = 0
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.equal(list.follow.first?.key, 1)
    })
    const list = List.at(memory, 0)
    assert.deepEqual([list.follow.first?.key, list.inner.follow.next?.key], [1, 1])
    assert.equal(list.inners.at(1).follow.leaf?.value, 1)
  })

  it('refuses an address where no such object can be', () => {
    const memory = memoryOf()
    const Line = struct('Line', { a: aligned(u32, 'cacheline') })
    const Holder = struct('Holder', {
      line: address(Line),
      self: address('self'),
      many: array(address(Line), 2),
    })
    const holder = Holder.at(memory, 64)
    holder.line = 8
    assert.throws(() => holder.follow.line, {
      code: 'PERCPU_ARGUMENT',
      message: /Line at 8: .* multiple of 64/,
    })
    holder.line = 8192
    assert.throws(() => holder.follow.line, { code: 'PERCPU_ARGUMENT', message: /no Line .* at 8192/ })
    holder.self = 8184
    assert.throws(() => holder.follow.self, { code: 'PERCPU_ARGUMENT', message: /no Holder/ })
    holder.many.set(1, 72)
    assert.throws(() => holder.follow.many.at(1), { code: 'PERCPU_ARGUMENT' })
    // What somebody else left there.
    store32(memory.i32, 64 / 4 + Holder.words.line, -1)
    assert.throws(() => holder.follow.line, { code: 'PERCPU_ARGUMENT' })
    poisonMemory(memory, () => new Error('poisoned'))
    assert.throws(() => holder.follow.self, { message: 'poisoned' })
  })

  it('works at the top of 8 GiB', () => {
    const memory = memoryOf(2 ** 33)
    const top = 2 ** 33 - 1024
    const node = Node.at(memory, top)
    node.previous = top + 512
    node.head.store(top + 512)
    Node.at(memory, top + 512).key = 7
    assert.deepEqual([node.follow.previous?.key, node.follow.head?.key], [7, 7])
    assert.equal(node.follow.previous?.address, top + 512)
  })
})

suite('layout: addresses in reports', () => {
  it('are named by what they lead to', () => {
    const types = Object.fromEntries(Node.fields.map(({ path, typeName }) => [path, typeName]))
    assert.deepEqual(types, {
      next: 'address(self)',
      previous: 'address(self)',
      leaf: 'address(Leaf)',
      bare: 'address',
      head: 'address(self)',
      top: 'address(Leaf)',
      any: 'address',
      leaves: 'address(Leaf)[3]',
      heads: 'address(self)[2]',
      grid: 'address(Leaf)[2][2]',
      key: 'u32',
    })
    const text = report(Node)
    assert.match(text, /address\(self\) +next; +\/\* +0 +4 locked by list \*\//)
    assert.match(text, /address\(Leaf\) +grid\[2\]\[2\]; +\/\* +48 +16 owner \*\//)
    assert.deepEqual(describe(Node).fields[4], {
      path: 'head',
      type: 'address(self)',
      kind: 'atomic',
      offset: 16,
      size: 4,
    })
    assert.deepEqual([Node.nameAt(0), Node.nameAt(35), Node.nameAt(53)], ['next', 'leaves[1]', 'grid[0][1]'])
  })

  it('read as byte addresses', () => {
    const memory = memoryOf()
    const Pair = struct('Pair', { one: address(Leaf), two: atomic(address()), many: array(address(), 2) })
    const pair = Pair.at(memory, 64)
    pair.one = 4096
    pair.two.store(8)
    pair.many.set(1, 16)
    assert.deepEqual(pair.toObject(), { one: 4096, two: 8, many: [0, 16] })
    assert.equal(
      dump(Pair, memory, 64),
      [
        'struct Pair at 64',
        '  Pair.one      +0   owner address(Leaf)  = 4096',
        '  Pair.two      +4   atomic address       = 8',
        '  Pair.many[0]  +8   owner address        = 0',
        '  Pair.many[1]  +12  owner address        = 16',
        '',
      ].join('\n'),
    )
  })

  it('tell layouts apart, as what lies there must be agreed on, too', () => {
    const Other = struct('Leaf', { value: u32, more: u32 })
    const versions = [
      struct('S', { a: u32 }),
      struct('S', { a: address() }),
      struct('S', { a: address('self') }),
      struct('S', { a: address(Leaf) }),
      struct('S', { a: address(Other) }),
      struct('S', { a: array(address(Leaf), 1) }),
      struct('S', { a: atomic(address(Leaf)) }),
    ]
    assert.equal(new Set(versions.map(({ hash }) => hash)).size, versions.length)
    assert.equal(struct('S', { a: address(Leaf) }).hash, versions[3]?.hash)
    assert.deepEqual(diff(describe(struct('S', { a: u32 })), describe(struct('S', { a: address(Leaf) }))), [
      { struct: 'S', field: 'a', change: 'type', from: 'u32', to: 'address(Leaf)' },
    ])
  })

  it('are defined by a struct, by self, or by nothing', () => {
    const bad = { code: 'PERCPU_LAYOUT', rule: 'definition' }
    // @ts-expect-error no such target
    assert.throws(() => address('other'), {
      ...bad,
      message: "address() takes a struct, 'self' or nothing, not string",
    })
    // @ts-expect-error a number is no object
    assert.throws(() => address(u32), { ...bad, message: /not u32/ })
    // @ts-expect-error it is a function
    assert.throws(() => struct('S', { a: address }), { ...bad, message: /field a has no type: .* call it/ })
    // @ts-expect-error addresses have the order of the machine
    assert.throws(() => big(address()), bad)
    assert.throws(() => struct('S', { follow: u32 }), {
      ...bad,
      message: /a name that accessors use themselves/,
    })
  })
})
