/** The file that is shipped has the code of all modules, in one scope. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import * as library from 'percpu'

it('classes have the names that programs import', () => {
  const isClass = (value: unknown): value is new () => object =>
    typeof value === 'function' && String(value).startsWith('class')
  const classes = Object.entries<unknown>(library).filter(([, value]) => isClass(value))
  assert.ok(classes.length > 20)
  for (const [name, value] of classes) assert.equal(isClass(value) && value.name, name)
})
