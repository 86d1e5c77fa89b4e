/** Objects in shared memory as JSON, and sent: what programs do that log and report. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { array, atomic, i16, i32, locked, struct, u64, f64, address, type PercpuError } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const Point = struct('Point', { x: i32, y: i16 })
const All = struct('All', {
  n: i32,
  wide: u64,
  real: f64,
  count: atomic(i32),
  wideCount: atomic(u64),
  kept: locked(i32, 'lock'),
  list: array(u64, 2),
  counts: array(atomic(i32), 2),
  points: array(Point, 2),
  next: address(Point),
})

/** The error says what to send. */
function assertUnsendable(one: unknown): void {
  for (const send of [structuredClone, (value: unknown) => new MessageChannel().port1.postMessage(value)])
    assert.throws(
      () => send(one),
      (error: Error) =>
        error.name === 'DataCloneError' &&
        error.message.includes('send machine.handle') &&
        !/=>|function/.test(error.message),
    )
}

describe('JSON', () => {
  it('of an accessor, an array and a cell has the values', () => {
    const machine = fresh()
    const all = machine.objects.create('all', All)
    Object.assign(all, { n: 5, wide: 2n ** 60n, real: 1.5 })
    all.count.store(-1)
    all.list.set(1, 7n)
    all.points.at(1).y = 3
    const text = JSON.stringify({ level: 'info', all })
    assert.deepEqual(JSON.parse(text), {
      level: 'info',
      all: {
        n: 5,
        wide: String(2n ** 60n),
        real: 1.5,
        count: -1,
        wideCount: '0',
        kept: 0,
        list: ['0', '7'],
        counts: [0, 0],
        points: [
          { x: 0, y: 0 },
          { x: 0, y: 3 },
        ],
        next: 0,
      },
    })
    const parts = [all.list, all.counts, all.points, all.points.at(1), all.count, all.wideCount]
    assert.equal(
      JSON.stringify(parts),
      '[["0","7"],[0,0],[{"x":0,"y":0},{"x":0,"y":3}],{"x":0,"y":3},-1,"0"]',
    )
    assert.deepEqual(
      JSON.parse(JSON.stringify(machine.memory)),
      { byteLength: machine.memory.byteLength },
      'a memory is not listed byte by byte',
    )
  })

  it('of an error that has one in its details, and of one that is offline', async () => {
    const machine = joinAs(fresh(), 101)
    const all = machine.objects.create('all', All)
    const error = (() => {
      try {
        machine.cpus.ring(all as never, 0)
      } catch (thrown) {
        return thrown as PercpuError
      }
      return assert.fail('accepted')
    })()
    assert.ok(JSON.stringify({ error, details: error.details }).length < 2000)
    const { list, count, points } = all
    await machine.offline()
    assert.equal(JSON.stringify(all), '"All (offline or ended)"')
    assert.equal(
      JSON.stringify([list, count, points]),
      '["array (offline or ended)","cell (offline or ended)",["Point (offline or ended)","Point (offline or ended)"]]',
    )
  })

  it('is refused to be sent, without the code of the library in the error', () => {
    const machine = fresh()
    const all = machine.objects.create('all', All)
    for (const one of [all, all.list, all.count, all.points, machine.memory, { deep: [all] }])
      assertUnsendable(one)
  })

  it('is refused to be sent as a machine, or as what a machine has by its name', async () => {
    const machine = fresh()
    const { locks, percpu } = machine
    const space = machine.space('space')
    const sparse = machine.sparseArray('sparse', { value: 'u8' })
    const mutex = locks.mutex('mutex')
    for (const one of [
      machine,
      space,
      await space.fork(),
      sparse,
      await sparse.snapshot(),
      machine.map('map', { key: 'u32', value: 'u32' }),
      machine.rangeMap('ranges', { key: 'u32', value: 'u32' }),
      machine.ring('ring', { value: 'json' }),
      machine.heap.cache('points', Point),
      machine.srcu('domain'),
      percpu.counter('counter'),
      percpu.ref('ref'),
      percpu.rwSemaphore('lock'),
      percpu.u32(),
      percpu(Point),
      mutex,
      locks.condition('condition', mutex),
      locks.completion('completion'),
      locks.semaphore('semaphore', 1),
      locks.seqlock('seqlock'),
    ])
      assertUnsendable(one)
    structuredClone(machine.handle)
  })
})
