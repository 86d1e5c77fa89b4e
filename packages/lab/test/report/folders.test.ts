/** The folders of pages are made with those above them, or the attempt ends. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, it } from 'node:test'
import { makeFolders } from '../../dist/explore/make-folders.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'percpu-lab-folders-'))
after(() => rmSync(folder, { recursive: true }))

it('makes those that are missing', () => {
  const deep = path.join(folder, 'a', 'b')
  makeFolders(deep)
  makeFolders(deep)
  assert.ok(existsSync(deep))
  writeFileSync(path.join(folder, 'file'), '')
  assert.throws(() => makeFolders(path.join(folder, 'file')), { code: 'EEXIST' })
})

it('ends where a folder takes no other one', { skip: !existsSync('/proc/self') }, () => {
  assert.throws(() => makeFolders('/proc/percpu'), { code: 'ENOENT' })
  assert.throws(() => makeFolders('/proc/percpu/below'), { code: 'ENOENT' })
})
