/**
 * tools/layout-lock.mjs notices every change of a layout that the built modules export. Works on
 * copies of the lock.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { FieldDescription, LayoutDescription } from 'percpu'

type Writable<T> = { -readonly [P in keyof T]: T[P] }
type Lock = Record<
  string,
  Writable<Omit<LayoutDescription, 'fields'>> & { fields: Writable<FieldDescription>[] }
>

const tool = fileURLToPath(new URL('../../../../tools/layout-lock.mjs', import.meta.url))
let folder = ''
let file = ''
/** The lock as it is now. */
let current = ''

function run(...options: string[]): { readonly status: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, '--lock', file, ...options], {
    encoding: 'utf8',
  })
  return { status, text: stdout + stderr }
}

/** What the tool says to the lock as it is now, changed by `change`. */
function changed(change: (lock: Lock) => void): { readonly status: number | null; readonly text: string } {
  const lock = JSON.parse(current) as Lock
  change(lock)
  writeFileSync(file, JSON.stringify(lock))
  return run()
}

/**
 * Any struct of the lock with a kind on its first field; tests do not depend on which there are.
 */
function pick(lock: Lock): { readonly name: string; readonly first: Writable<FieldDescription> } {
  for (const [name, { fields }] of Object.entries(lock)) {
    const [first] = fields
    if (first?.kind !== undefined) return { name, first }
  }
  throw new Error('the lock has no struct with a kind on its first field')
}

describe('layout: the lock', () => {
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'layout-lock-'))
    file = path.join(folder, 'copy.lock.json')
    assert.equal(run('--update').status, 0)
    current = readFileSync(file, 'utf8')
  })
  after(() => {
    rmSync(folder, { recursive: true })
  })

  it('accepts what it has just written', () => {
    const { status, text } = changed(() => undefined)
    assert.equal(status, 0, text)
    assert.match(text, /\d+ structs as in copy\.lock\.json/)
  })

  it('refuses a field that moved, grew, or changed its kind or type', () => {
    const changes: [string, (field: Writable<FieldDescription>) => void][] = [
      ['moved', (field) => (field.offset += 4)],
      ['resized', (field) => (field.size += 4)],
      ['kind', (field) => (field.kind = field.kind === 'racy' ? 'owner' : 'racy')],
      ['type', (field) => (field.type = 'f32')],
    ]
    for (const [what, change] of changes) {
      let field = ''
      const { status, text } = changed((lock) => {
        const { name, first } = pick(lock)
        field = `${name}.${first.path}`
        change(first)
      })
      assert.equal(status, 1)
      assert.ok(text.includes(`  ${field}  ${what}`), text)
      assert.match(text, /--update/)
    }
  })

  it('refuses a field that came or went, and a changed size', () => {
    let name = ''
    const without = changed((lock) => {
      name = pick(lock).name
      lock[name]?.fields.shift()
    })
    assert.equal(without.status, 1)
    assert.match(without.text, new RegExp(`${name}\\.\\w+ +added`))
    const more = changed((lock) => {
      lock[name]?.fields.push({ path: 'old', type: 'u8', kind: 'owner', offset: 0, size: 1 })
    })
    assert.match(more.text, new RegExp(`${name}\\.old +removed`))
    const size = changed((lock) => {
      const entry = lock[name]
      if (entry !== undefined) entry.size += 8
    })
    assert.equal(size.status, 1)
    assert.match(size.text, new RegExp(`struct ${name} +size`))
  })

  it('refuses a struct that came or went', () => {
    let name = ''
    const added = changed((lock) => {
      name = pick(lock).name
      Reflect.deleteProperty(lock, name)
    })
    assert.equal(added.status, 1)
    assert.match(added.text, new RegExp(`struct ${name} +struct-added`))
    const removed = changed((lock) => {
      const entry = lock[name]
      if (entry !== undefined) lock['Former'] = { ...entry, name: 'Former' }
    })
    assert.equal(removed.status, 1)
    assert.match(removed.text, /struct Former +struct-removed/)
  })

  it('refuses a lock that is missing or broken', () => {
    rmSync(file, { force: true })
    assert.equal(run().status, 1)
    writeFileSync(file, '{ broken')
    const { status, text } = run()
    assert.equal(status, 1)
    assert.match(text, /make it anew with --update/)
  })
})
