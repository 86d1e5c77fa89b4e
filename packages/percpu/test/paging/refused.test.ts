/** What spaces and arrays refuse beyond the table of doors, and with which words. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FaultError } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh } from '../support/machines.js'

const PAGE = 4096

describe('an address space', () => {
  it('maps a page or more', () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    throwsCode(() => space.map(0, 0), 'PERCPU_ARGUMENT', /^bytes: 0 is not a page or more/)
    assert.deepEqual(space.maps(), [])
  })

  it('tells the address that was used, not that of its page', async () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    space.map(8 * PAGE, 2 * PAGE)
    await space.protect(9 * PAGE, PAGE, { write: false })
    const at = 0x2000_0008
    const fixed = 9 * PAGE + 12
    const cases: readonly (readonly [
      use: () => unknown,
      address: number,
      access: string,
      message: RegExp,
    ])[] = [
      [
        () => space.read(at),
        at,
        'read',
        /^nothing is mapped at address 536870920 \(0x20000008\): read refused$/,
      ],
      [() => space.write(at, 1), at, 'write', /\(0x20000008\): write refused/],
      [() => space.write(fixed, 1), fixed, 'write', /^address 36876 \(0x900c\) is read-only: write refused$/],
      [() => space.pin(fixed), fixed, 'write', /read-only/],
      [() => space.pin(at + 1), at + 1, 'write', /mapped/],
      [() => space.copyOut(10 * PAGE - 4, 8), 10 * PAGE, 'read', /mapped/],
      [() => space.copyOut(7, 8), 7, 'read', /mapped/],
      [() => space.copyIn(9 * PAGE - 4, new Uint8Array(8)), 9 * PAGE, 'write', /read-only/],
      [() => space.copyIn(fixed, new Uint8Array(8)), fixed, 'write', /read-only/],
      [() => space.populate(8 * PAGE, 4 * PAGE), 10 * PAGE, 'write', /mapped/],
    ]
    for (const [use, address, access, message] of cases)
      assert.throws(use, (error: FaultError) => {
        assert.deepEqual(
          [error.code, error.details['address'], error.details['access']],
          ['PERCPU_FAULT', address, access],
        )
        assert.match(error.message, message)
        return true
      })
    await rejectsCode(space.protect(7 * PAGE, 2 * PAGE), 'PERCPU_FAULT', /28672 \(0x7000\): protect refused/)
  })

  it('copies no bytes from and to where nothing is mapped, and takes no memory for it', () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    for (const address of [0, 7, PAGE, 2 ** 42 - 1]) {
      assert.deepEqual(space.copyOut(address, 0), new Uint8Array())
      space.copyIn(address, new Uint8Array())
    }
    space.map(0, PAGE)
    space.copyIn(7, new Uint8Array())
    assert.equal(space.maps()[0]?.resident, 0)
  })

  it('is forked with options behind the name', async () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    await rejectsCode(
      space.fork({ timeout: 5 } as never),
      'PERCPU_ARGUMENT',
      /^name: .* is not a string: options come after it/,
    )
  })
})

describe('a sparse array', () => {
  it('says that it is a snapshot, whatever would be written', async () => {
    const array = fresh({ memory: '16 MiB' }).sparseArray('array', { value: 'u8' })
    const snapshot = await array.set(1, 1).snapshot('old')
    const message = /^the sparse array old is a snapshot: write refused$/
    for (const index of [1, 2 ** 38]) throwsCode(() => snapshot.set(index, 1), 'PERCPU_FAULT', message)
    await rejectsCode(snapshot.clear(), 'PERCPU_FAULT', message)
  })

  it('clears no values without memory', async () => {
    const machine = fresh({ memory: '16 MiB' })
    const array = machine.sparseArray('array', { value: 'u8' }).set(1, 1)
    await array.snapshot('old')
    const before = machine.spaces()
    await array.clear(1, 1)
    assert.deepEqual(machine.spaces(), before)
  })

  it('has all its values where there is no memory to clear some of them', async () => {
    const machine = fresh({ memory: '4 MiB' })
    const array = machine.sparseArray('array', { value: 'u8' })
    const used = [PAGE - 1, PAGE, 2 * PAGE, 3 * PAGE]
    for (const index of used) array.set(index, 1)
    const snapshot = await array.snapshot('old')
    // It has its own tables from here on, and shares the pages at both ends.
    array.set(PAGE, 2)
    const taken: number[] = []
    for (let page = machine.heap.pages.tryAlloc(0); page; page = machine.heap.pages.tryAlloc(0))
      taken.push(page)
    await rejectsCode(array.clear(1, 3 * PAGE + 1), 'PERCPU_OUT_OF_MEMORY')
    assert.deepEqual(
      used.map((index) => array.get(index)),
      [1, 2, 1, 1],
    )
    for (const page of taken) machine.heap.pages.free(page, 0)
    await array.clear(1, 3 * PAGE + 1)
    assert.deepEqual(
      used.map((index) => array.get(index) + snapshot.get(index)),
      [1, 1, 1, 1],
    )
    machine.space('any').verify()
  })

  it('goes through nothing more once it is removed', async () => {
    const machine = fresh({ memory: '16 MiB' })
    const array = machine.sparseArray('array', { value: 'u8' })
    for (const index of [0, 2 * PAGE, 4 * PAGE]) array.set(index, 1)
    const populated = array.populated()
    assert.deepEqual(populated.next().value, { from: 0, to: PAGE })
    await array.drop()
    throwsCode(() => populated.next(), 'PERCPU_REMOVED')
  })
})
