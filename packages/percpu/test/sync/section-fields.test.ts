/**
 * What a section writes through its accessors: every field at its own width, taken back by a throw,
 * a rollback or a kill.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  address,
  array,
  atomic,
  big,
  boot,
  f32,
  f64,
  i16,
  i32,
  i8,
  locked,
  owner,
  published,
  racy,
  struct,
  u16,
  u32,
  u64,
  u8,
  type AnyStruct,
  type Kind,
  type Machine,
} from 'percpu'
import { copyIn, copyOut, createBuffer, fillBytes, openMemory, type Memory } from 'percpu/mem'
import { insideOf } from '../support/inside.js'
import { throwsCode } from '../support/codes.js'

const { replayJournal } = await import('../../dist/sync/journal.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')

const fresh = (journal = 64): Machine => boot({ cpus: 2, memory: '512 KiB', journal })

/**
 * Every plain type in both byte orders, where its word has other fields, in all that a field can be
 * part of.
 */
function define(kind: Kind): AnyStruct {
  const options = { kind, lock: 'it' }
  const small = { u8, i8, u16, i16, beu16: big(u16), bei16: big(i16) }
  const wide = { link: address(), u32, i32, u64, f32, f64, beu32: big(u32), bei32: big(i32) }
  const rest = { beu64: big(u64), bef32: big(f32), bef64: big(f64) }
  const Small = struct('Small', small, options)
  const Every = struct('Every', { ...small, first: u8, ...wide, ...rest }, options)
  const all = Object.entries({ ...small, ...wide, ...rest })
  const Arrays = struct(
    'Arrays',
    Object.fromEntries(all.map(([name, type]) => [name, array(type, 3)])),
    options,
  )
  const fields = {
    every: Every,
    small: Small,
    arrays: Arrays,
    many: array(Every, 2),
    smalls: array(Small, 3),
  }
  return struct('Root', { ...fields, grid: array(array(i16, 3), 2) }, options)
}
const Root = define('locked')
/** The same with setters on every accessor. */
const Unlocked = define('owner')

type Value = number | bigint
interface Fields {
  [field: string]: Value
}
interface Numbers {
  set(index: number, value: Value): void
}
interface View {
  readonly every: Fields
  readonly small: Fields
  readonly arrays: Readonly<Record<string, Numbers>>
  readonly many: { at(index: number): Fields }
  readonly smalls: { at(index: number): Fields }
  readonly grid: { at(index: number): Numbers }
}
/** A number of a Root that can be written. */
interface Place {
  readonly name: string
  readonly is64: boolean
  readonly write: (root: View, value: number) => void
}

function namesIn(member: string): readonly string[] {
  const type = Root.members.find(({ name }) => name === member)?.type
  assert.ok(type?.form === 'struct')
  return type.members.map(({ name }) => name)
}
const valueFor = (name: string, value: number): Value =>
  name.includes('u64') ? BigInt(value) : name.includes('link') ? value * 8 : value
const placeOf = (name: string, write: (root: View, value: Value) => void): Place => ({
  name,
  is64: name.includes('64'),
  write: (root, value) => write(root, valueFor(name, value)),
})
const scalarsOf = (path: string, member: string, find: (root: View) => Fields): Place[] =>
  namesIn(member).map((name) => placeOf(`${path}.${name}`, (root, value) => (find(root)[name] = value)))
const places: readonly Place[] = [
  ...scalarsOf('every', 'every', (root) => root.every),
  ...scalarsOf('small', 'small', (root) => root.small),
  ...scalarsOf('many[1]', 'every', (root) => root.many.at(1)),
  ...scalarsOf('smalls[2]', 'small', (root) => root.smalls.at(2)),
  ...namesIn('arrays').map((name) =>
    placeOf(`arrays.${name}`, (root, value) => root.arrays[name]?.set(Number(value) % 3, value)),
  ),
  placeOf('grid', (root, value) => root.grid.at(1).set(2, value)),
]

/** A Root whose bytes are not zero. */
function make(machine: Machine): number {
  const address = machine.heap.memblock.alloc({ size: Root.size, align: 64 })
  fillBytes(machine.memory, address, Root.size, 0xa5)
  return address
}
const bytesOf = (memory: Memory, address: number): Uint8Array => copyOut(memory, address, Root.size)
const viewOf = (accessor: unknown): View => accessor as View

/** The bytes that a reaper would leave, were this thread killed now. */
function afterKill(machine: Machine, address: number): Uint8Array {
  const memory = openMemory(createBuffer(machine.memory.byteLength))
  copyIn(memory, 0, copyOut(machine.memory, 0, memory.byteLength))
  replayJournal(memory, SyncMap.open(memory, insideOf(memory).objects).journal(machine.cpu))
  return bytesOf(memory, address)
}

describe('fields written in a section', () => {
  it('stay when it is committed, and are written as by a plain accessor', () => {
    const machine = fresh()
    const { memory } = machine
    const [address, copy] = [make(machine), make(machine)]
    assert.deepEqual(Unlocked.offsets, Root.offsets)
    const ways = [
      [Root, address],
      [Root.at(memory, address), undefined],
      [Root.bind(memory)(address), undefined],
    ] as const
    for (const [turn, way] of ways.entries()) {
      for (const [number, { name, write }] of places.entries()) {
        machine.locks.mutex('m').run((section) => {
          write(viewOf(section.at(way[0] as typeof Root, way[1] as number)), 100 * turn + number)
        })
        write(viewOf(Unlocked.at(memory, copy)), 100 * turn + number)
        assert.deepEqual(bytesOf(memory, address), bytesOf(memory, copy), name)
      }
    }
  })

  it('are taken back when it throws, is rolled back, or its thread is killed', () => {
    const machine = fresh()
    const { memory } = machine
    const address = make(machine)
    const before = bytesOf(memory, address)
    const mutex = machine.locks.mutex('m')
    for (const { name, write } of places) {
      const writeTwice = (root: View): void => {
        write(root, 1)
        write(root, 2)
        assert.notDeepEqual(bytesOf(memory, address), before, name)
        assert.deepEqual(afterKill(machine, address), before, name)
      }
      const fail = (): void =>
        mutex.run((section) => {
          writeTwice(viewOf(section.at(Root, address)))
          throw new Error('no')
        })
      assert.throws(fail, /no/)
      assert.deepEqual(bytesOf(memory, address), before, name)
      using guard = mutex.lock()
      const section = guard.begin()
      writeTwice(viewOf(section.at(Root, address)))
      section.rollback()
      assert.deepEqual(bytesOf(memory, address), before, name)
    }
  })

  it('of 8 and 16 bits are taken back without what others wrote beside them', () => {
    const machine = fresh()
    const address = make(machine)
    const names = namesIn('small')
    for (const [number, name] of names.entries()) {
      const own = placeOf(name, (root, value) => (root.small[name] = value))
      const others = names.filter((other) => other !== name)
      const plain = viewOf(Unlocked.at(machine.memory, address)).small
      const before = plain[name]
      assert.throws(() =>
        machine.locks.mutex('m').run((section) => {
          own.write(viewOf(section.at(Root, address)), 1)
          for (const other of others) plain[other] = 20 + number
          throw new Error('no')
        }),
      )
      assert.equal(plain[name], before, name)
      assert.deepEqual(
        others.map((other) => plain[other]),
        others.map(() => 20 + number),
      )
    }
  })

  it('take an entry of the journal each, of 64 bits two; one that does not fit is not written', () => {
    const machine = fresh(2)
    const address = make(machine)
    for (const { name, is64, write } of places) {
      const before = bytesOf(machine.memory, address)
      const overflow = (): void =>
        machine.locks.mutex('m').run((section) => {
          const root = viewOf(section.at(Root, address))
          write(root, 1)
          assert.equal(section.room, is64 ? 0 : 1, name)
          if (!is64) write(root, 2)
          const full = bytesOf(machine.memory, address)
          throwsCode(() => write(root, 4), 'PERCPU_JOURNAL_FULL')
          assert.deepEqual(bytesOf(machine.memory, address), full, name)
          throw new Error('no')
        })
      assert.throws(overflow, /no/)
      assert.deepEqual(bytesOf(machine.memory, address), before, name)
    }
  })

  it('are as a model has them, in nested sections that end in any way, with a kill at any time', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.nat(places.length - 1), fc.nat(255)) },
      { weight: 1, arbitrary: fc.constantFrom('begin' as const, 'commit' as const, 'rollback' as const) },
    )
    const model = openMemory(createBuffer(8192))
    const home = 4096
    const machine = fresh(512)
    const address = make(machine)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        copyIn(model, home, bytesOf(machine.memory, address))
        const expected = viewOf(Unlocked.at(model, home))
        const guard = machine.locks.mutex('m').lock()
        const open = [{ section: guard.begin(), before: bytesOf(model, home) }]
        for (const each of steps) {
          const innermost = open.at(-1)
          if (innermost === undefined) break
          if (each === 'begin') open.push({ section: guard.begin(), before: bytesOf(model, home) })
          else if (each === 'commit') open.pop()?.section.commit()
          else if (each === 'rollback') {
            open.pop()?.section.rollback()
            copyIn(model, home, innermost.before)
          } else {
            const [number, value] = each
            // Any section that is open can write; what is undone depends on when it was written.
            const writer = open[value % open.length]?.section
            places[number]?.write(viewOf(writer?.at(Root, address)), value)
            places[number]?.write(expected, value)
          }
          assert.deepEqual(bytesOf(machine.memory, address), bytesOf(model, home))
        }
        const survives = open[0]?.before ?? bytesOf(model, home)
        assert.deepEqual(afterKill(machine, address), survives)
        while (open.length > 0) open.pop()?.section.rollback()
        guard.unlock()
        assert.deepEqual(bytesOf(machine.memory, address), survives)
      }),
      { numRuns: 150 },
    )
  })
})

const Inner = struct('Inner', { value: locked(f64, 'm'), state: atomic(i32) })
const Node = struct('Node', {
  next: locked(u32, 'm'),
  count: locked(u64, 'm'),
  hint: racy(u8),
  own: owner(i16),
  key: published(u32),
  state: atomic(u32),
  total: atomic(u64),
  cells: atomic(array(i32, 2)),
  names: locked(array(u8, 4), 'm'),
  inner: Inner,
  inners: array(Inner, 2),
})

describe('the accessor of a section', () => {
  it('has setters for every plain field, and reads atomic ones', () => {
    const machine = fresh()
    const address = machine.heap.memblock.alloc({ size: Node.size, align: 64 })
    const node = Node.at(machine.memory, address)
    node.state.store(5)
    node.total.store(6n)
    node.cells.at(1).store(-7)
    node.inner.state.store(8)
    machine.locks.mutex('m').run((section) => {
      const own = section.at(node)
      own.next = own.next + 1
      own.count += 2n
      own.hint = 3
      own.own = -4
      own.key = 5
      own.names.set(1, 6)
      own.inner.value = 0.5
      own.inners.at(1).value = 1.5
      const atomics: [number, bigint, number, number] = [
        own.state.load(),
        own.total.load(),
        own.cells.at(1).load(),
        own.inner.state.load(),
      ]
      assert.deepEqual(atomics, [5, 6n, -7, 8])
      assert.equal(own.address, address)
      assert.equal(own.toObject().key, 5)
      // @ts-expect-error a section could not take it back
      assert.equal(own.state.store, undefined)
      // @ts-expect-error nor an element
      assert.equal(own.cells.at(0).add, undefined)
      assert.throws(
        () => {
          // @ts-expect-error a cell is not a property to write
          own.state = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      // @ts-expect-error the field is a number
      const text: string = own.next
      assert.equal(typeof text, 'number')
      assert.throws(
        () => {
          // @ts-expect-error a u64 takes a bigint
          own.count = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      // An inner section can take over what an outer one has found.
      machine.locks.mutex('n').run((inner) => (inner.at(own).key = 7))
    })
    const { next, count, hint, own, key, names, inner, inners } = node.toObject()
    assert.deepEqual([next, count, hint, own, key, names], [1, 2n, 3, -4, 7, [0, 6, 0, 0]])
    assert.deepEqual([inner.value, inners[1]?.value], [0.5, 1.5])
  })

  it('follows addresses to what the section may change, too; a wrong address takes no entry', () => {
    const Item = struct('Item', {
      next: locked(address('self'), 'm'),
      value: locked(u32, 'm'),
      first: atomic(address('self')),
      others: array(locked(address('self'), 'm'), 2),
    })
    const machine = fresh(6)
    const base = machine.heap.memblock.alloc({ size: 4 * 64, align: 64 })
    const [one, two, three] = [base, base + 64, base + 128]
    const list = Item.at(machine.memory, one)
    list.first.store(two)
    const { memory } = machine
    const build = (fails: boolean): void =>
      machine.locks.mutex('m').run((section) => {
        const own = section.at(list)
        own.next = two
        own.others.set(1, three)
        const bad = { code: 'PERCPU_ARGUMENT', message: /is not an address/ }
        assert.throws(() => (own.next = 12), bad)
        assert.throws(() => own.others.set(0, -8), bad)
        const next = own.follow.next
        assert.ok(next)
        next.value = 2
        next.next = three
        if (next.follow.next) next.follow.next.value = 3
        if (own.follow.first) own.follow.first.value++
        assert.equal(own.follow.others.at(1)?.value, 3)
        assert.equal(own.follow.others.at(0), undefined)
        assert.equal(own.first.load(), two)
        // @ts-expect-error a section could not take it back
        assert.equal(own.first.store, undefined)
        assert.equal(section.room, 0)
        if (fails) throw new Error('no')
      })
    const valuesOf = (): number[] => [one, two, three].map((at) => Item.at(memory, at).value)
    assert.throws(() => build(true), /no/)
    assert.deepEqual([...valuesOf(), list.next], [0, 0, 0, 0])
    build(false)
    assert.deepEqual([...valuesOf(), list.next], [0, 3, 3, two])
    assert.deepEqual(list.others.toArray(), [0, three])
  })

  it('is refused after the end of its section, with all that was got from it', () => {
    const machine = fresh()
    const node = Node.at(machine.memory, machine.heap.memblock.alloc({ size: Node.size, align: 64 }))
    const guard = machine.locks.mutex('m').lock()
    const outer = guard.begin()
    const inner = guard.begin()
    const uses = [inner, outer].map((section) => {
      const own = section.at(node)
      const { names, inner: nested, inners } = own
      return [
        () => own.next,
        () => (own.next = 1),
        () => (own.hint = 1),
        () => (own.own = 1),
        () => (own.count = 1n),
        () => own.state.load(),
        () => names.at(0),
        () => names.set(0, 1),
        () => nested.value,
        () => (nested.value = 1),
        () => (inners.at(1).value = 1),
        () => own.toObject(),
        () => section.at(node).next,
        () => section.at(Node, node.address),
      ]
    })
    const before = copyOut(machine.memory, node.address, Node.size)
    inner.rollback()
    for (const use of uses[0] ?? []) throwsCode(use, 'PERCPU_SECTION', /has ended/)
    outer.at(node).hint = 1
    outer.commit()
    for (const use of uses.flat()) throwsCode(use, 'PERCPU_SECTION', /has ended/)
    before[Node.offsets.hint] = 1
    assert.deepEqual(copyOut(machine.memory, node.address, Node.size), before)
    // Nothing of it takes room in the journal.
    const first = machine.heap.memblock.alloc({ size: 64 * 4 }) / 4
    guard.run((section) => {
      for (let i = 0; i < 64; i++) section.write32(first + i, 1)
    })
    guard.unlock()
  })

  it('is refused for what is no object of this memory', () => {
    const machine = fresh()
    const other = openMemory(createBuffer(1024))
    machine.locks.mutex('m').run((section) => {
      throwsCode(() => section.at(Node.at(other, 0)), 'PERCPU_ARGUMENT', /Node is in another memory/)
      throwsCode(() => section.at(Node, 4), 'PERCPU_ARGUMENT', /multiple of 8/)
      throwsCode(() => section.at(Node, machine.memory.byteLength), 'PERCPU_ARGUMENT', /no Node/)
      for (const wrong of [undefined, null, 5, {}, machine])
        throwsCode(
          () => section.at(wrong as never),
          'PERCPU_ARGUMENT',
          /an accessor, or a struct and an address/,
        )
      throwsCode(
        () => section.at({} as never, 8),
        'PERCPU_ARGUMENT',
        /an accessor, or a struct and an address/,
      )
      throwsCode(
        () => section.at(Node as never),
        'PERCPU_ARGUMENT',
        /an accessor, or a struct and an address/,
      )
    })
  })
})
