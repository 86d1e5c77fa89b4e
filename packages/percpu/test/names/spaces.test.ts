/** There is room in memory for each kind of names. */
import assert from 'node:assert/strict'
import { it } from 'node:test'

const { NAME_SPACES } = await import('../../dist/bootmem/names.js')
const { MAX_SPACES } = await import('../../dist/names/layouts.js')

it('has a table for each name space', () => {
  const kinds: number = NAME_SPACES.length
  assert.ok(kinds <= MAX_SPACES, `${kinds} name spaces, room for ${MAX_SPACES}`)
})
