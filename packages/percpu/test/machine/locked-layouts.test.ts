/** The structs of the fixed part of the memory are those of layouts.lock.json. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe as suite, it } from 'node:test'
import { describe, structsOf, type LayoutLock } from 'percpu'

const modules = await Promise.all([
  import('../../dist/machine/layouts.js'),
  import('../../dist/sync/layouts.js'),
  import('../../dist/alloc/layouts.js'),
])
const file = new URL('../../../../layouts.lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8')) as LayoutLock

suite('structs of shared memory', () => {
  for (const struct of modules.flatMap((each) => structsOf(each)))
    it(`${struct.name} is as it is locked`, () => {
      const { name, size, align, fields } = describe(struct)
      const found: unknown = JSON.parse(JSON.stringify({ name, size, align, fields }))
      assert.deepEqual(found, lock[name])
    })
})
