/** Collections that are opened without being made, and made without being opened. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CollectionKind, Machine, OpenOptions } from 'percpu'
import { fresh, interrupt, joinAs, mem, percpu } from '../support/hooked-percpu.js'

const { ObjectExistsError, ObjectMissingError, PercpuError, RemovedError, owner, struct, u32, u64 } = percpu

type Open = (machine: Machine, name: string, options?: OpenOptions) => unknown
const openers: Readonly<Record<CollectionKind, Open>> = {
  map: (machine, name, options) => machine.map(name, { key: 'i32', value: 'i32', ...options }),
  rangeMap: (machine, name, options) => machine.rangeMap(name, { key: 'u32', value: 'i32', ...options }),
  ring: (machine, name, options) => machine.ring(name, { value: 'i32', ...options }),
  space: (machine, name, options) => machine.space(name, options),
  sparseArray: (machine, name, options) => machine.sparseArray(name, { value: 'i32', ...options }),
}

/** `'it'`, or why there is none. */
function look(machine: Machine, open = openers.map): string {
  try {
    open(machine, 'it', { create: false })
    return 'it'
  } catch (error) {
    assert.ok(error instanceof PercpuError, String(error))
    return error.code
  }
}
const MISSING = 'PERCPU_OBJECT_MISSING'
const REMOVED = 'PERCPU_REMOVED'

for (const [kind, open] of Object.entries(openers) as [CollectionKind, Open][])
  describe(`opening a ${kind}`, () => {
    it('makes none where that is said', () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      for (let i = 0; i < 2; i++)
        assert.throws(
          () => open(machine, 'it', { create: false }),
          (error: unknown) => error instanceof ObjectMissingError && error.details['name'] === 'it',
        )
      const made = open(machine, 'it', { create: 'new' })
      assert.equal(open(machine, 'it', { create: false }), made)
      assert.equal(open(machine, 'it', { create: true }), made)
      assert.equal(look(other, open), 'it')
    })

    it('makes a new one where that is said, or none', () => {
      const machine = fresh()
      open(machine, 'it')
      assert.throws(
        () => open(joinAs(machine, 101), 'it', { create: 'new' }),
        (error: unknown) => error instanceof ObjectExistsError && error.details['name'] === 'it',
      )
    })

    it('says that the one of that name is being removed, until it is', async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const before = open(machine, 'it')
      const removal = machine.remove(kind, 'it')
      for (const user of [machine, other])
        for (const create of ['new', true, false] as const)
          assert.throws(
            () => open(user, 'it', { create }),
            (error: unknown) =>
              error instanceof RemovedError &&
              error.details['name'] === 'it' &&
              error.details['kind'] === kind,
            `${create}`,
          )
      await other.offline()
      await removal
      assert.notEqual(open(machine, 'it', { create: 'new' }), before)
    })
  })

describe('opening a map that has limits', () => {
  it('takes them as they are where none is made, unless others are said', () => {
    const machine = fresh()
    const made = { key: 'i32', value: 'i32', capacity: { entries: 5, bytes: '1 MiB' }, ttl: 60_000 } as const
    machine.map('it', made)
    const opened = { key: 'i32', value: 'i32', create: false } as const
    const other = joinAs(machine, 101)
    for (const wrong of [{ ttl: 5 }, { capacity: 6 }, { capacity: { bytes: '2 MiB' } }, { hold: true }])
      assert.throws(() => other.map('it', { ...opened, ...wrong }), { code: 'PERCPU_MAP_MISMATCH' })
    assert.throws(() => other.map('it', { ...opened, create: true }), { code: 'PERCPU_MAP_MISMATCH' })
    const map = other.map('it', opened)
    for (let i = 0; i < 9; i++) map.set(i, i, { ttl: 1000 })
    assert.equal(map.size, 5)
  })
})

describe('opening what was made for something else', () => {
  const One = struct('One', { n: owner(u32) })
  const Two = struct('Two', { n: owner(u64) })
  const refused = (call: () => unknown, code: string, message: string): void => {
    assert.throws(call, { code, message })
  }
  it('says what differs, and what was asked for, of a map', () => {
    const machine = fresh()
    const told = (options: object, end: string): void => {
      refused(() => machine.map('it', options as never), 'PERCPU_MAP_MISMATCH', `the map 'it' has ${end}`)
    }
    machine.map('it', { key: 'u32', value: 'json' })
    told({ key: 'i32', value: 'json' }, "keys of kind 'u32', not 'i32'")
    told({ key: 'u32', value: 'f64' }, "values of kind 'json', not 'f64'")
    told({ key: 'u32', value: One }, "values of kind 'json', not of struct One")
    const both = "keys of kind 'u32', not 'i32', and values of kind 'json', not 'f64'"
    told({ key: 'i32', value: 'f64' }, both)
    machine.map('structs', { key: 'u32', value: One })
    for (const [value, end] of [
      [Two, 'another struct than Two: its layout or its name differs'],
      ['json', "a struct, not 'json'"],
    ] as const) {
      const message = `the map 'structs' has values of ${end}`
      refused(() => machine.map('structs', { key: 'u32', value }), 'PERCPU_MAP_MISMATCH', message)
    }
  })
  it('says so of maps of ranges and rings', () => {
    const machine = fresh()
    machine.rangeMap('it', { key: 'u32', value: 'json' })
    refused(
      () => machine.rangeMap('it', { key: 'u128', value: 'json' }),
      'PERCPU_MAP_MISMATCH',
      "the map of ranges 'it' has keys of kind 'u32', not 'u128'",
    )
    machine.ring('it', { value: One })
    refused(
      () => machine.ring('it', { value: Two }),
      'PERCPU_RING_MISMATCH',
      "the ring 'it' has messages of another struct than Two: its layout or its name differs",
    )
    refused(
      () => machine.ring('it', { value: 'json' }),
      'PERCPU_RING_MISMATCH',
      "the ring 'it' has messages of a struct, not 'json'",
    )
  })
})

// Of all kinds the same function opens.
const open = openers.map
describe('opening a map while it is removed', () => {
  it('finds it until it is removed, and nothing from then on', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    open(machine, 'it')
    open(other, 'it')
    const found = new Set<string>()
    const { control } = mem
    const hook = (): void => {
      control.before = undefined
      found.add(look(other))
      other.poll()
      control.before = hook
    }
    control.before = hook
    await machine.remove('map', 'it').finally(() => (control.before = undefined))
    found.add(look(other))
    assert.deepEqual([...found], ['it', REMOVED, MISSING])
    await assert.rejects(machine.remove('map', 'it'), ObjectMissingError)
    await other.offline()
  })

  it('finds it or not when that begins at any of its accesses', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    open(other, 'not this one')
    const found = new Set<string>()
    for (let at = 0, isWithin = true; isWithin; at++) {
      open(machine, 'it')
      let removing: Promise<void> | undefined
      const intrude = (): void => void (removing = machine.remove('map', 'it'))
      isWithin = interrupt(() => found.add(look(other)), at, intrude)
      await (removing ?? machine.remove('map', 'it'))
      assert.equal(look(other), MISSING)
    }
    assert.deepEqual([...found].sort(), [REMOVED, 'it'])
    await other.offline()
  })
})
