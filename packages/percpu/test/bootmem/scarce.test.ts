/** Named objects when boot memory ends, also while another thread takes the last of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, interrupt, joinAs, percpu } from '../support/hooked-percpu.js'
import { codeOf, throwsCode } from '../support/codes.js'
import { fillAll } from './support/gaps.js'
import { bootObjects } from './support/boot-objects.js'

const Cell = percpu.struct('Cell', { value: percpu.atomic(percpu.i32) })
/** Bytes of the region of a Cell: its entry, and a line for itself. */
const CELL = 192

const small = (): Machine => fresh({ memory: '256 KiB', cpus: 2 })

describe('named objects without memory', () => {
  for (const call of ['create', 'openOrCreate'] as const) {
    it(`are not there after ${call} has said that memory is short`, () => {
      const machine = small()
      fillAll(machine, CELL - 64)
      throwsCode(
        () => bootObjects(machine)[call]('short', Cell),
        'PERCPU_OUT_OF_MEMORY',
        / bytes \(short\): the largest free block has 128/,
      )
      assert.deepEqual(bootObjects(machine).list(), [])
      throwsCode(() => bootObjects(machine).open('short', Cell), 'PERCPU_OBJECT_MISSING')
    })
  }

  it('are said to exist, and opened, when they do', () => {
    const machine = small()
    const { address } = bootObjects(machine).create('old', Cell)
    fillAll(machine, 0)
    throwsCode(() => bootObjects(machine).create('old', Cell), 'PERCPU_OBJECT_EXISTS')
    assert.equal(bootObjects(machine).open('old', Cell).address, address)
    assert.equal(bootObjects(machine).openOrCreate('old', Cell).address, address)
  })

  /**
   * One CPU calls `use` in the middle of another one's doing so, in many places; there is memory
   * for one object. Gives what became of both: of the one that was interrupted, and of the other.
   */
  function race(use: (machine: Machine) => void): ReadonlySet<string> {
    const outcomes = new Set<string>()
    for (let at = 0; ; at += 20) {
      const machine = small()
      const other = joinAs(machine, 101)
      fillAll(machine, CELL)
      let [own, theirs] = ['', '']
      const done = interrupt(
        () => (own = codeOf(() => use(machine))),
        at,
        () => (theirs = codeOf(() => use(other))),
      )
      if (!done) return outcomes
      outcomes.add(`${own}, ${theirs}`)
      assert.deepEqual(
        bootObjects(machine)
          .list()
          .map(({ name }) => name),
        ['last'],
      )
      assert.equal(machine.heap.memblock.report().free, 0)
    }
  }
  /** There is no object yet, and no memory any more. */
  const short = 'none, PERCPU_OUT_OF_MEMORY'

  it('are opened when another thread has taken the last memory for the same one', () => {
    const outcomes = race((machine) => void bootObjects(machine).openOrCreate('last', Cell))
    assert.deepEqual(outcomes, new Set([short, 'none, none']))
  })

  it('are said to exist when another thread has taken the last memory for the same one', () => {
    const outcomes = race((machine) => void bootObjects(machine).create('last', Cell))
    const exists = ['PERCPU_OBJECT_EXISTS, none', 'none, PERCPU_OBJECT_EXISTS']
    assert.deepEqual(outcomes, new Set([...exists, short]))
  })
})
