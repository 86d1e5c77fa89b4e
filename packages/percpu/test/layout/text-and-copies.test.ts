/** Text, bytes, copies of arrays, and arrays whose length each object has of its own. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  address,
  array,
  atomic,
  big,
  bytes,
  describe as describeLayout,
  diff,
  dump,
  f64,
  flexible,
  i16,
  i32,
  locked,
  published,
  report,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
  type TypedArray,
} from 'percpu'
import { copyOut, storeU32 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { fresh } from '../support/machines.js'

const User = struct('User', {
  id: u32,
  name: locked(text(10), 'm'),
  key: bytes(5),
  tags: array(text(4), 3),
  last: u8,
})

describe('text in a struct', () => {
  it('is kept as it was written, up to its capacity, in UTF-8', () => {
    const machine = fresh()
    const user = machine.objects.create('u', User, (draft) => {
      draft.name = 'Grüße'
      draft.key = Uint8Array.of(1, 2, 3)
      draft.tags.set(1, 'ab')
      draft.last = 9
    })
    assert.deepEqual(user.toObject(), {
      id: 0,
      name: 'Grüße',
      key: Uint8Array.of(1, 2, 3),
      tags: ['', 'ab', ''],
      last: 9,
    })
    for (const value of ['', 'x', '0123456789', '\0\ufeff', '🦆🦆']) {
      machine.locks.mutex('m').run((section) => (section.at(user).name = value))
      assert.equal(user.name, value)
    }
    for (const value of ['', 'abcd', 'é'] as const) {
      user.tags.set(2, value)
      assert.deepEqual(user.tags.toArray(), ['', 'ab', value])
    }
    user.key = new Uint8Array(0)
    assert.equal(user.key.length, 0)
    const copy = ((user.key = Uint8Array.of(7)), user.key)
    copy[0] = 8
    assert.deepEqual([user.key[0], user.last], [7, 9])
  })

  it('refuses what it cannot hold, and is left as it was', () => {
    const machine = fresh()
    const user = machine.objects.create('u', User, (draft) => {
      draft.name = 'old'
      draft.key = Uint8Array.of(1)
    })
    const before = copyOut(machine.memory, user.address, User.size)
    const values = ['01234567890', 'éééééé', '\ud800', 'a\udc00', 7, null, undefined, {}, Uint8Array.of(1)]
    for (const value of values as string[]) {
      const write = (): unknown => machine.locks.mutex('m').run((section) => (section.at(user).name = value))
      throwsCode(write, 'PERCPU_ARGUMENT')
      throwsCode(() => user.tags.set(0, value === '' ? '12345' : value), 'PERCPU_ARGUMENT')
    }
    for (const value of ['x', [1], new Uint16Array(1), new Uint8Array(6)] as Uint8Array[])
      throwsCode(() => (user.key = value), 'PERCPU_ARGUMENT')
    for (const index of [-1, 3, 0.5, NaN]) {
      throwsCode(() => user.tags.at(index), 'PERCPU_ARGUMENT', /index/)
      throwsCode(() => user.tags.set(index, 'x'), 'PERCPU_ARGUMENT', /index/)
    }
    throwsCode(() => ((user as { name: string }).name = 'x'), 'PERCPU_ARGUMENT', /in a section/)
    assert.deepEqual(copyOut(machine.memory, user.address, User.size), before)
  })

  it('takes bytes by what they are, whatever their class says', () => {
    class Liar extends Uint8Array {
      override get length(): number {
        return 1
      }
      override set(): never {
        throw new Error('not to be called')
      }
      override *[Symbol.iterator](): ArrayIterator<number> {}
    }
    const Lines = struct('Lines', { raw: bytes(4), cells: array(u8, 4), links: array(address(), 2) })
    const lines = fresh().heap.create(Lines)
    const five = new Liar(5)
    throwsCode(() => (lines.raw = five), 'PERCPU_ARGUMENT', /5 bytes are too many/)
    throwsCode(() => lines.cells.copyFrom(five), 'PERCPU_ARGUMENT', /^5 elements/)
    throwsCode(() => lines.cells.copyTo(five), 'PERCPU_ARGUMENT', /^5 elements/)
    lines.cells.copyFrom(Liar.from([1, 2, 3, 4]))
    const four = new Liar(4)
    lines.cells.copyTo(four)
    assert.deepEqual(Buffer.from(four.buffer).join(), '1,2,3,4')
    const gone = new Uint8Array(2)
    structuredClone(gone.buffer, { transfer: [gone.buffer] })
    const isNone = [gone, new Proxy(new Uint8Array(2), {}), Object.create(Uint8Array.prototype) as Uint8Array]
    for (const value of [...isNone, new DataView(new ArrayBuffer(2))] as Uint8Array[]) {
      throwsCode(() => (lines.raw = value), 'PERCPU_ARGUMENT')
      throwsCode(() => lines.cells.copyFrom(value), 'PERCPU_ARGUMENT')
      throwsCode(() => lines.cells.copyTo(value), 'PERCPU_ARGUMENT')
      throwsCode(() => lines.links.copyFrom(value), 'PERCPU_ARGUMENT')
    }
    throwsCode(() => lines.links.copyFrom(new Float64Array([8, 9])), 'PERCPU_ARGUMENT')
    assert.deepEqual(lines.toObject(), { raw: new Uint8Array(0), cells: [1, 2, 3, 4], links: [0, 0] })
  })

  it('is undone with its section, and nothing is changed when the journal is full', () => {
    const machine = fresh({ journal: 6 })
    const Long = struct('Long', { a: locked(text(40), 'm'), b: locked(array(u8, 40), 'm') })
    const long = machine.objects.create('l', Long, (draft) => (draft.a = 'before'))
    const mutex = machine.locks.mutex('m')
    const run = (change: (own: { a: string; b: { copyFrom(source: TypedArray): void } }) => void) => () =>
      mutex.run((section) => {
        change(section.at(long))
        throw new RangeError('no')
      })
    assert.throws(
      run((own) => (own.a = '0123456789')),
      RangeError,
    )
    assert.equal(long.a, 'before')
    const full = (write: (own: { a: string; b: { copyFrom(source: TypedArray): void } }) => void) => {
      mutex.run((section) => {
        const own = section.at(long)
        throwsCode(() => write(own), 'PERCPU_JOURNAL_FULL')
        assert.equal(own.a, 'before')
        assert.deepEqual(own.b.toArray(), new Array(40).fill(0))
      })
    }
    full((own) => (own.a = '0123456789'.repeat(4)))
    full((own) => own.b.copyFrom(new Uint8Array(40).fill(1)))
    assert.throws(
      run((own) => own.b.copyFrom(Uint8Array.of(1, 2, 3, 4, 5))),
      RangeError,
    )
    assert.deepEqual(long.toObject(), { a: 'before', b: new Array(40).fill(0) })
  })

  it('that is torn or overwritten is read as some text, within its field', () => {
    const machine = fresh()
    const user = machine.objects.create('u', User)
    storeU32(machine.memory.u32, (user.address + User.offsets.name) / 4, 0xffffffff)
    assert.equal(user.name.length, 10)
    storeU32(machine.memory.u32, (user.address + User.offsets.name) / 4 + 1, 0xffffffff)
    assert.match(user.name, /\ufffd/)
  })

  it('has a place, a name and a hash of its own in reports', () => {
    assert.deepEqual(
      describeLayout(User).fields.map(({ path, type, offset, size }) => [path, type, offset, size]),
      [
        ['id', 'u32', 0, 4],
        ['name', 'text(10)', 4, 16],
        ['key', 'bytes(5)', 20, 12],
        ['tags', 'text(4)[3]', 32, 24],
        ['last', 'u8', 56, 1],
      ],
    )
    const other = struct('User', { ...User.definition, name: locked(text(11), 'm') })
    assert.notEqual(other.hash, User.hash)
    assert.deepEqual(
      diff(describeLayout(User), describeLayout(other)).map(({ field, change }) => [field, change]),
      [['name', 'type']],
    )
    assert.match(report(User), /text\(10\) +name;/)
    const machine = fresh()
    const user = machine.objects.create('u', User, (draft) => {
      draft.name = 'a\nb'
      draft.key = Uint8Array.of(10, 255)
    })
    assert.match(
      dump(User, machine.memory, user.address),
      /User\.name .* = "a\\nb"\n.*User\.key .* = 0a ff\n/,
    )
    assert.equal(User.nameAt(8), 'name')
    for (const wrong of [0, 1.5, -1, 2 ** 20 + 1, '4' as never]) {
      throwsCode(() => text(wrong), 'PERCPU_LAYOUT', /number of bytes/)
      throwsCode(() => bytes(wrong), 'PERCPU_LAYOUT')
    }
    throwsCode(() => struct('T', { a: atomic(text(4) as never) }), 'PERCPU_LAYOUT', /atomic text/)
  })
})

const Numbers = struct('Numbers', {
  u8: array(u8, 6),
  i16: array(i16, 4),
  be: array(big(u16), 3),
  f64: array(f64, 2),
  u64: array(u64, 2),
  links: array(address(), 2),
  read: locked(array(i32, 2), 'm'),
})

describe('an array of numbers', () => {
  it('copies from and to typed arrays, of the same elements or others', () => {
    const { objects } = fresh()
    const numbers = objects.create('n', Numbers)
    numbers.u8.copyFrom(Uint8Array.of(1, 2, 300), 2)
    assert.deepEqual(numbers.u8.toArray(), [0, 0, 1, 2, 44, 0])
    numbers.u8.copyFrom(Float64Array.of(257, -1), 0)
    assert.deepEqual(numbers.u8.toArray(), [1, 255, 1, 2, 44, 0])
    numbers.i16.copyFrom(new Int16Array([-1, 5]), 2)
    numbers.be.copyFrom(Uint16Array.of(0x0102, 3), 1)
    assert.deepEqual(
      [numbers.i16.toArray(), numbers.be.toArray()],
      [
        [0, 0, -1, 5],
        [0, 0x0102, 3],
      ],
    )
    numbers.f64.copyFrom(Float64Array.of(0.5, NaN))
    numbers.u64.copyFrom(BigUint64Array.of(2n ** 63n), 1)
    const out = new Float64Array(1)
    numbers.f64.copyTo(out)
    const bigs = new BigUint64Array(2)
    numbers.u64.copyTo(bigs)
    const words = new Int32Array(2)
    numbers.be.copyTo(words, 1)
    const few = new Uint8Array(new ArrayBuffer(10), 3, 3)
    numbers.u8.copyTo(few, 2)
    assert.deepEqual([...out, ...bigs, ...words, ...few], [0.5, 0n, 2n ** 63n, 0x0102, 3, 1, 2, 44])
    numbers.links.copyFrom(Float64Array.of(4096, 0))
    assert.deepEqual(numbers.links.toArray(), [4096, 0])
    // @ts-expect-error it is locked
    const { copyFrom } = numbers.read
    assert.throws(copyFrom as () => void, { code: 'PERCPU_ARGUMENT' })
    numbers.read.copyTo(words)
    assert.deepEqual([...words], [0, 0])
  })

  it('refuses what does not fit, and is left as it was', () => {
    const machine = fresh()
    const numbers = machine.objects.create('n', Numbers)
    const before = copyOut(machine.memory, numbers.address, Numbers.size)
    const six = new Uint8Array(6).fill(9)
    const wrong: readonly (() => unknown)[] = [
      () => numbers.u8.copyFrom(six, 1),
      () => numbers.u8.copyFrom(new Uint8Array(7)),
      ...[-1, 0.5, NaN, '0' as never].flatMap((at) => [
        () => numbers.u8.copyFrom(Uint8Array.of(1), at),
        () => numbers.u8.copyTo(new Uint8Array(1), at),
      ]),
      () => numbers.u8.copyTo(new Uint8Array(7)),
      () => numbers.u8.copyFrom([1, 2] as never),
      () => numbers.u8.copyFrom(new DataView(new ArrayBuffer(2)) as never),
      () => numbers.u8.copyFrom(undefined as never),
      () => numbers.u8.copyFrom(BigUint64Array.of(1n)),
      () => numbers.u64.copyFrom(Uint8Array.of(1)),
      () => numbers.u64.copyTo(new Float64Array(1)),
      () => numbers.links.copyFrom(Float64Array.of(4096, 5)),
    ]
    for (const call of wrong) throwsCode(call, 'PERCPU_ARGUMENT')
    assert.deepEqual(copyOut(machine.memory, numbers.address, Numbers.size), before)
  })
})

const Message = struct('Message', { to: text(8), parts: flexible(published(u16)) })
const Row = struct('Row', { id: u32, at: f64 })
const Table = struct('Table', { kind: u8, rows: flexible(Row) })
const Cells = struct('Cells', { cells: flexible(atomic(i32)) })

describe('an array of run-time length', () => {
  it('has the length with which its object was made', () => {
    const { heap, memory } = fresh()
    const message = heap.create(Message, 3, (draft) => {
      draft.to = 'b'
      draft.parts.copyFrom(Uint16Array.of(1, 2, 3))
    })
    assert.deepEqual(message.toObject(), { to: 'b', parts: [1, 2, 3] })
    assert.deepEqual(
      [Message.size, Message.sizeFor(0), Message.sizeFor(1), Message.sizeFor(3)],
      [16, 16, 20, 24],
    )
    throwsCode(() => message.parts.at(3), 'PERCPU_ARGUMENT', /index 3/)
    assert.equal(heap.create(Message, 0).parts.length, 0)
    const table = heap.create(Table, 5)
    table.rows.at(4).at = 1.5
    assert.deepEqual(Table.at(memory, table.address).rows.at(4).toObject(), { id: 0, at: 1.5 })
    assert.deepEqual([...table.rows].length, 5)
    const cells = heap.create(Cells, 2)
    cells.cells.at(1).add(2)
    assert.equal(cells.cells.at(1).load(), 2)
    assert.match(dump(Table, memory, table.address), /Table\.rows\[4\]\.at +\+/)
    assert.equal(Message.nameAt(Message.offsets.parts + 4 + 2), 'parts[1]')
    assert.deepEqual(
      describeLayout(Table).fields.map(({ path, type }) => [path, type]),
      [
        ['kind', 'u8'],
        ['rows', 'struct Row[]'],
        ['rows[].id', 'u32'],
        ['rows[].at', 'f64'],
      ],
    )
    heap.verify()
  })

  it('is undone with its section', () => {
    const { heap, locks } = fresh()
    const message = heap.create(Message, 2, (draft) => draft.parts.set(1, 5))
    assert.throws(
      () =>
        locks.mutex('m').run((section) => {
          section.at(message).parts.copyFrom(Uint16Array.of(8, 9))
          throw new RangeError('no')
        }),
      RangeError,
    )
    assert.deepEqual(message.parts.toArray(), [0, 5])
  })

  it('is only made with a length, as the last field, and not where sizes are fixed', () => {
    const { heap, objects, percpu, memory } = fresh()
    const { length } = heap.allocations()
    for (const wrong of [undefined, -1, 1.5, NaN, 2 ** 40, '3'] as number[])
      throwsCode(() => heap.create(Message, wrong), 'PERCPU_ARGUMENT')
    throwsCode(() => heap.create(Row, 3), 'PERCPU_ARGUMENT', /^length: 3 is .* no array of run-time length$/)
    // Who takes it for the method of a cache, which has no length.
    const init = (() => undefined) as never
    throwsCode(
      () => heap.create(Row, init),
      'PERCPU_ARGUMENT',
      /^length: a function is given, but Row has no/,
    )
    throwsCode(() => heap.create({} as never), 'PERCPU_ARGUMENT', /is no struct/)
    throwsCode(() => heap.create(Message, 2, 7 as never), 'PERCPU_ARGUMENT', /init/)
    throwsCode(() => heap.create(Message, 2 ** 24), 'PERCPU_OUT_OF_MEMORY')
    const fail = (): void => {
      throw new RangeError('no')
    }
    assert.throws(() => heap.create(Message, 2, fail), RangeError)
    assert.equal(heap.allocations().length, length)
    for (const call of [
      () => objects.create('m', Message),
      () => heap.cache('m', Message),
      () => percpu(Message),
    ])
      throwsCode(call, 'PERCPU_ARGUMENT', /heap.create/)
    throwsCode(() => struct('S', { a: flexible(u8), b: u8 }), 'PERCPU_LAYOUT', /must be the last/)
    throwsCode(() => struct('S', { a: Message }), 'PERCPU_LAYOUT', /cannot be nested/)
    throwsCode(() => array(Message, 2), 'PERCPU_LAYOUT', /no element/)
    throwsCode(() => flexible(flexible(u8)), 'PERCPU_LAYOUT', /no element/)
    throwsCode(() => flexible(7 as never), 'PERCPU_LAYOUT')
    throwsCode(() => Row.sizeFor(1), 'PERCPU_ARGUMENT')
    // A length that no object was made with.
    const address = heap.alloc(64, { zero: true })
    storeU32(memory.u32, (address + Message.offsets.parts) / 4, 2 ** 31)
    throwsCode(() => Message.at(memory, address).parts, 'PERCPU_ARGUMENT', /beyond the memory/)
    assert.equal(heap.create(Row).toObject().id, 0)
  })
})
