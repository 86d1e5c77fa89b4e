/** The table has every operation of the package, and no other; and its rows are right. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Kind } from './kinds.js'
import { readSurface } from './surface.js'
import { table } from './table.js'

const { doors, errors } = readSurface()
const rows = table.filter(({ isExtra }) => !isExtra)

describe('the table of operations', () => {
  it('has a row for each operation that the types declare', () => {
    const known = new Set(rows.map(({ door }) => door))
    assert.deepEqual(
      doors.map(({ name }) => name).filter((name) => !known.has(name)),
      [],
      'write a row for it in test/doors/rows',
    )
  })
  it('has no row without an operation, and none twice', () => {
    const declared = new Set(doors.map(({ name }) => name))
    assert.deepEqual(
      rows.map(({ door }) => door).filter((door) => !declared.has(door)),
      [],
    )
    const all = table.map(({ door }) => door)
    assert.deepEqual(
      all.filter((door, at) => all.indexOf(door) !== at),
      [],
    )
  })
  it('knows the kind of each argument, and of each option', () => {
    for (const { name, parameters } of doors) {
      const row = rows.find(({ door }) => door === name)
      if (row === undefined || row.exempt !== undefined || name.endsWith(' =')) continue
      assert.equal(
        row.takes.length,
        parameters.length,
        `${name} takes ${parameters.map((each) => each.name).join()}`,
      )
      parameters.forEach(({ name: parameter, fields }, at) => {
        if (fields !== undefined)
          assert.deepEqual(fieldsOf(row.takes[at]), [...fields].sort(), `${name}, ${parameter}`)
      })
    }
  })
  it('counts more than 300 operations, and few exemptions', () => {
    assert.ok(doors.length > 300, `${doors.length} operations`)
    const exempt = rows.filter(({ exempt: why }) => why !== undefined)
    assert.ok(exempt.length < doors.length / 10, exempt.map(({ door }) => door).join())
  })
  it('finds the error classes', () => {
    assert.ok(errors.length > 30 && errors.includes('ArgumentError'))
  })
})

function fieldsOf(kind: Kind | undefined): string[] {
  return Object.keys(kind?.fields ?? {}).sort()
}
