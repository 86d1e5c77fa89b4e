/** A ring against an array of the language: drawn calls, messages of all kinds, three CPUs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  array,
  f64,
  i32,
  struct,
  u64,
  u8,
  type Machine,
  type MapValueKind,
  type MapValues,
  type SharedRing,
} from 'percpu'
import { store32 } from 'percpu/mem'
import { fresh, joinAs } from '../../support/machines.js'

/** Bytes are those that are stored. */
const messages: { readonly [Kind in MapValueKind]: readonly (readonly [MapValues[Kind], number])[] } = {
  string: [
    ['', 0],
    ['a', 1],
    ['ab\0', 3],
    ['é€𐍈', 9],
    ['\udfff', 3],
    ['\ufeffx', 4],
    ['x'.repeat(90), 90],
    ['ü'.repeat(150), 300],
  ],
  bytes: [
    [Uint8Array.of(), 0],
    [Uint8Array.of(1, 2, 3, 4, 5), 5],
    [new Uint8Array(64).map((_, i) => i), 64],
    [new Uint8Array(390).map((_, i) => i), 390],
    [Buffer.from('a buffer'), 8],
  ],
  json: [
    [null, 4],
    [false, 5],
    [0, 1],
    ['', 2],
    [[1, { a: 'é' }], 14],
    [{ b: [] }, 8],
  ],
  i32: [
    [0, 4],
    [-1, 4],
    [2 ** 31 - 1, 4],
  ],
  u32: [
    [0, 4],
    [2 ** 32 - 1, 4],
  ],
  f64: [
    [0, 8],
    [-0, 8],
    [NaN, 8],
    [Infinity, 8],
    [0.1, 8],
  ],
  u64: [
    [0n, 8],
    [2n ** 64n - 1n, 8],
  ],
}

/** What the ring has to do, with its room counted in bytes. */
class Model<R> {
  readonly queue: { readonly message: R; readonly room: number }[] = []
  readonly capacity: number
  constructor(capacity: number) {
    this.capacity = capacity
  }
  get free(): number {
    return this.queue.reduce((left, { room }) => left - room, this.capacity)
  }
  send(message: R, bytes: number): boolean {
    const room = 4 + ((bytes + 3) & -4)
    if (room > this.free) return false
    this.queue.push({ message, room })
    return true
  }
}

type Call = readonly [call: 'send' | 'receive' | 'many', choice: number]
const calls = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 10, arbitrary: fc.constant('send' as const) },
      { weight: 8, arbitrary: fc.constant('receive' as const) },
      { weight: 1, arbitrary: fc.constant('many' as const) },
    ),
    fc.nat(40),
  ),
  { maxLength: 500, size: 'max' },
)

function run<M>(
  rings: readonly SharedRing<M>[],
  all: readonly { readonly message: M; readonly received?: M; readonly bytes: number }[],
  list: readonly Call[],
): void {
  const first = rings[0] ?? assert.fail()
  const model = new Model<M>(first.capacity)
  const counted = { sent: 0, received: 0 }
  for (const [at, [call, choice]] of list.entries()) {
    const ring = rings[(at + choice) % rings.length] ?? first
    if (call === 'send') {
      const { message, received = message, bytes } = all[choice % all.length] ?? assert.fail()
      const fits = model.send(received, bytes)
      assert.equal(ring.trySend(message), fits)
      if (fits) counted.sent++
    } else if (call === 'receive') {
      assert.deepEqual(ring.peek(), model.queue[0]?.message)
      const expected = model.queue.shift()
      assert.deepEqual(ring.tryReceive(), expected?.message)
      if (expected) counted.received++
    } else {
      const expected = model.queue.splice(0, 1 + (choice % 4)).map(({ message }) => message)
      assert.deepEqual(ring.receiveMany(1 + (choice % 4)), expected)
      counted.received += expected.length
    }
    assert.equal(ring.length, model.queue.length)
    if (at % 50 === 0) ring.verify()
  }
  for (const ring of rings) {
    ring.verify()
    const { sent, received, free, length } = ring.report()
    assert.deepEqual(
      { sent, received, free, length },
      { ...counted, free: model.free, length: model.queue.length },
    )
  }
  first.close()
  const rest = first.receiveMany(1000)
  assert.deepEqual(
    rest,
    model.queue.map(({ message }) => message),
  )
  assert.ok(first.isEnded)
}

const draws = { numRuns: 15, seed: Number(process.env['PERCPU_SEED'] ?? 5) }
/** Capacities at which messages end at the end of the buffer, and around it. */
const sizes = fc.constantFrom(400, 404, 436, 1000)

describe('a ring does what an array does', () => {
  for (const value of Object.keys(messages) as MapValueKind[])
    it(`with messages of kind ${value}`, () => {
      const all = messages[value].map(([message, bytes]) => {
        const received = message instanceof Uint8Array ? Uint8Array.from(message) : message
        return { message, received, bytes }
      })
      fc.assert(
        fc.property(calls, sizes, (list, bytes) => {
          const machine = fresh()
          // As small as can be where numbers are to fill it.
          const options = { value, bytes: ['string', 'bytes', 'json'].includes(value) ? bytes : bytes >>> 3 }
          const rings = [machine, joinAs(machine, 101), joinAs(machine, 102)].map((cpu) =>
            cpu.ring<MapValueKind>('r', options),
          )
          run(rings, all, list)
        }),
        draws,
      )
    })

  it('with structs', () => {
    const Sample = struct('Sample', { a: i32, b: f64, c: u64, d: array(u8, 3) })
    const all = [0, 1, 2].map((n) => ({
      message: { a: n, b: n / 3, c: BigInt(n), d: [0, 0, n] },
      bytes: Sample.size,
    }))
    fc.assert(
      fc.property(calls, (list) => {
        const machine = fresh()
        const options = { value: Sample, bytes: 200 }
        run(
          [machine, joinAs(machine, 101)].map((cpu) => cpu.ring('r', options)),
          all,
          list,
        )
      }),
      draws,
    )
  })

  it('also where positions begin anew', () => {
    const all = messages.string.map(([message, bytes]) => ({ message, bytes }))
    fc.assert(
      fc.property(calls, sizes, fc.nat(300), (list, bytes, before) => {
        const machine = fresh()
        const rings = [machine, joinAs(machine, 101)].map((cpu) => cpu.ring('r', { value: 'string', bytes }))
        startAt(machine, (bytes / 4) * Math.floor((2 ** 30 - 1) / (bytes / 4)) - 1 - before)
        run(rings, all, list)
      }),
      draws,
    )
  })
})

/** Sets the positions of the ring, which is empty, as if so many words had gone through it. */
function startAt(machine: Machine, position: number): void {
  const { address, struct: type } =
    machine.watch.structs().find(({ name }) => name === 'ring[r]') ?? assert.fail()
  const words = type.words as Record<string, number>
  const { i32: view } = machine.memory
  const set = (name: string, value: number): void =>
    store32(view, address / 4 + (words[name] ?? assert.fail()), value)
  for (const name of ['head', 'headSeen', 'tailSeen', 'sent', 'received']) set(name, position)
  set('tail', position * 2)
}
