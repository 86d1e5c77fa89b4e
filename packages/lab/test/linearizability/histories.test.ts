/** Histories that are linearizable, and ones that are not; beside a check of all orders. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  CallRecorder,
  checkLinearizability,
  NotLinearizableError,
  ScenarioError,
  type Call,
} from 'percpu-lab'

class Register {
  value = 0
  read(): number {
    return this.value
  }
  write(value: number): void {
    this.value = value
  }
  compareAndSet(expected: number, value: number): boolean {
    if (this.value !== expected) return false
    this.value = value
    return true
  }
}

class Queue {
  items: number[] = []
  push(item: number): void {
    this.items.push(item)
  }
  shift(): number {
    const item = this.items.shift()
    if (item === undefined) throw Object.assign(new Error('empty'), { code: 'EMPTY' })
    return item
  }
}

const call = (
  thread: string,
  [began, at]: readonly [number, number?],
  method: string,
  args: readonly unknown[],
  returned?: unknown,
): Call => ({
  thread,
  method,
  args,
  began,
  ...(at === undefined ? {} : { ended: { at, outcome: { returned } } }),
})
const write = (thread: string, time: readonly [number, number?], value: number): Call =>
  call(thread, time, 'write', [value])
const read = (thread: string, time: readonly [number, number?], value: number): Call =>
  call(thread, time, 'read', [], value)

const refuses = (history: readonly Call[], specification: new () => object, message: RegExp) =>
  assert.throws(
    () => checkLinearizability(history, specification),
    (error) => error instanceof NotLinearizableError && message.test(error.message),
  )

describe('a history', () => {
  it('may be in an order that its calls do not begin in', () => {
    const history = [write('a', [0, 10], 1), write('b', [1, 3], 2), read('b', [4, 5], 1)]
    const [order] = checkLinearizability(history, Register)
    assert.deepEqual(
      order?.map(({ args }) => args),
      [[2], [1], []],
    )
  })

  it('is refused where a read gives what was overwritten before it began', () => {
    const history = [write('a', [0, 1], 1), write('a', [2, 3], 2), read('b', [4, 5], 1)]
    refuses(
      history,
      Register,
      /^the history is not linearizable\n.*b: read\(\) gave 1 \[4 to 5\], but here it would have given 2/s,
    )
  })

  it('is refused where two reads see two writes in two orders', () => {
    const reads = (thread: string, first: number, second: number) => [
      read(thread, [2, 3], first),
      read(thread, [4, 5], second),
    ]
    const writes = [write('a', [0, 10], 1), write('b', [0, 10], 2)]
    refuses([...writes, ...reads('c', 1, 2), ...reads('d', 2, 1)], Register, /not linearizable/)
    checkLinearizability([...writes, ...reads('c', 1, 2), ...reads('d', 1, 2)], Register)
  })

  it('counts calls as overlapping whose times are equal', () => {
    checkLinearizability([write('a', [0, 1], 1), read('b', [1, 2], 0)], Register)
    refuses([write('a', [0, 1], 1), read('b', [2, 3], 0)], Register, /not linearizable/)
  })

  it('may use a call that was cut off, or not, but not twice, nor before it began', () => {
    const cut = write('a', [0], 1)
    checkLinearizability([cut, read('b', [1, 2], 0), read('b', [3, 4], 1)], Register)
    checkLinearizability([cut, read('b', [1, 2], 0), read('b', [3, 4], 0)], Register)
    refuses([cut, read('b', [1, 2], 1), read('b', [3, 4], 0)], Register, /not linearizable/)
    refuses([read('b', [1, 2], 1), write('a', [3], 1)], Register, /not linearizable/)
  })

  it('has calls that throw', () => {
    const threw = (time: readonly [number, number], code: string): Call => ({
      ...call('a', [time[0]], 'shift', []),
      ended: { at: time[1], outcome: { threw: code } },
    })
    const push = call('b', [2, 3], 'push', [7])
    checkLinearizability([threw([0, 1], 'EMPTY'), push, call('a', [4, 5], 'shift', [], 7)], Queue)
    refuses([push, threw([4, 5], 'EMPTY')], Queue, /shift\(\) threw EMPTY .*would have given 7/s)
  })

  it('is checked for each key apart', () => {
    const history = [write('a', [0, 1], 1), read('b', [2, 3], 0)]
    refuses(history, Register, /not linearizable/)
    const orders = checkLinearizability(history, Register, { key: ({ thread }) => thread })
    assert.equal(orders.length, 2)
    assert.throws(
      () =>
        checkLinearizability([...history, read('a', [4, 5], 2)], Register, { key: ({ thread }) => thread }),
      /^NotLinearizableError: the history of 'a' is not/,
    )
  })

  it('may need an order of calls that only the order of a set shows', () => {
    class Line {
      items = new Set<number>()
      add(item: number): void {
        this.items.add(item)
      }
      take(): number | undefined {
        const [first] = this.items
        if (first !== undefined) this.items.delete(first)
        return first
      }
    }
    const adds = [call('a', [0, 10], 'add', [1]), call('b', [0, 10], 'add', [2])]
    const takes = (one: number, other: number) => [
      call('a', [20, 21], 'take', [], one),
      call('a', [22, 23], 'take', [], other),
    ]
    checkLinearizability([...adds, ...takes(1, 2)], Line)
    checkLinearizability([...adds, ...takes(2, 1)], Line)
    refuses([...adds, ...takes(1, 1)], Line, /not linearizable/)
  })

  it('may be long, and have many calls that overlap in one state', () => {
    const long = Array.from({ length: 3000 }, (_, i) => write('a', [2 * i, 2 * i + 1], i))
    assert.equal(checkLinearizability(long, Register)[0]?.length, 3000)
    const wide = Array.from({ length: 200 }, (_, i) => read(`${i}`, [0, 1], 0))
    checkLinearizability(wide, Register)
    const queries = ['read']
    assert.throws(
      () => checkLinearizability([...wide, read('x', [0, 1], 1)], Register, { queries }),
      /not linearizable\n.*\n {4}… 188 more/,
    )
  })

  it('is refused where it, the specification or the options cannot be', () => {
    class Hidden {
      readonly #value = 0
      read(): number {
        return this.#value
      }
    }
    const history = [read('a', [0, 1], 0)]
    const bad = (work: () => unknown, message: RegExp) =>
      assert.throws(work, (error) => error instanceof ScenarioError && message.test(error.message))
    bad(() => checkLinearizability(history, Hidden), /no public fields/)
    bad(() => checkLinearizability([call('a', [0, 1], 'push', [])], Register), /no method push/)
    bad(() => checkLinearizability([read('a', [2, 1], 0)], Register), /before it begins/)
    bad(() => checkLinearizability([read('a', [NaN, 1], 0)], Register), /no time/)
    bad(() => checkLinearizability(history, Register, { maxStates: 0 }), /maxStates/)
    bad(
      () => checkLinearizability(history, Register, { key: ({ args }) => args }),
      /key: \[\] .* no primitive/,
    )
    bad(() => checkLinearizability(history, Register, { queries: 'read' as never }), /names of methods/)
    const notOne = () => checkLinearizability([write('a', [0, 1], 1)], Register, { queries: ['write'] })
    bad(notOne, /write\(\) is told to be a query/)
    const many = [...Array.from({ length: 20 }, (_, i) => write('w', [0, 100], i)), read('r', [0, 100], 77)]
    bad(() => checkLinearizability(many, Register, { maxStates: 1000 }), /more than 1000 states/)
  })

  it('is judged as by a check of all orders', () => {
    const moments = fc.tuple(fc.nat(12), fc.nat(4))
    const value = fc.nat(2)
    const calls = fc.oneof(
      fc.record({ method: fc.constant('read'), args: fc.constant([]), returned: value }),
      fc.record({ method: fc.constant('write'), args: fc.tuple(value), returned: fc.constant(undefined) }),
      fc.record({
        method: fc.constant('compareAndSet'),
        args: fc.tuple(value, value),
        returned: fc.boolean(),
      }),
    )
    const one = fc.tuple(calls, moments, fc.integer({ min: 0, max: 5 }))
    let good = 0
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), (list) => {
        const history = list.map(([{ method, args, returned }, [began, length], cut], i) =>
          call(`${i}`, cut === 0 ? [began] : [began, began + length], method, args, returned),
        )
        const expected = hasOrder(history, new Register())
        if (expected) good++
        for (const queries of [[], ['read']]) {
          const check = () => checkLinearizability(history, Register, { queries })
          if (expected) check()
          else assert.throws(check, NotLinearizableError)
        }
      }),
      { numRuns: 2000 },
    )
    assert.ok(good > 200 && good < 1800, `${good} of 2000 were linearizable`)
  })
})

/** Tries each call next that no other call has to precede. */
function hasOrder(rest: readonly Call[], register: Register): boolean {
  if (rest.every(({ ended }) => ended === undefined)) return true
  return rest.some((next, i) => {
    if (rest.some(({ ended }) => ended !== undefined && ended.at < next.began)) return false
    const copy = Object.assign(new Register(), register)
    const methods = copy as unknown as Record<string, (...args: readonly unknown[]) => unknown>
    const outcome = { returned: methods[next.method]?.(...next.args) }
    if (next.ended !== undefined && !isDeepStrictEqual(outcome, next.ended.outcome)) return false
    return hasOrder([...rest.slice(0, i), ...rest.slice(i + 1)], copy)
  })
}

describe('CallRecorder', () => {
  it('records what is returned, thrown, promised, or not ended', async () => {
    const recorder = new CallRecorder('main')
    const list = [1]
    assert.equal(
      recorder.call('push', [list], () => list.push(2)),
      2,
    )
    assert.throws(() => recorder.call('shift', [], () => new Queue().shift()), { code: 'EMPTY' })
    assert.equal(await recorder.call('later', [], () => Promise.resolve(3)), 3)
    await assert.rejects(
      recorder.call('never', [], () => Promise.reject(new TypeError('no'))),
      TypeError,
    )
    void recorder.call('open', [], () => new Promise(() => undefined))
    const history = recorder.history()
    assert.deepEqual(
      history.map(({ thread, method, args, ended }) => [thread, method, args, ended?.outcome]),
      [
        ['main', 'push', [[1]], { returned: 2 }],
        ['main', 'shift', [], { threw: 'EMPTY' }],
        ['main', 'later', [], { returned: 3 }],
        ['main', 'never', [], { threw: 'TypeError' }],
        ['main', 'open', [], undefined],
      ],
    )
    for (const [i, { began, ended }] of history.entries()) {
      assert.ok(ended === undefined || began <= ended.at)
      assert.ok(i === 0 || (history[i - 1]?.ended?.at ?? Infinity) <= began)
    }
    assert.deepEqual(structuredClone(history), history)
  })
})
