/** Folders that are made with those above them. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeFolders } from '../../dist/make-folders.js'

const folder = mkdtempSync(join(tmpdir(), 'percpu-folders-'))
after(() => rmSync(folder, { recursive: true }))

test('tells the first folder that it made, and none if all are there', async () => {
  const deep = join(folder, 'a', 'b', 'c')
  assert.equal(await makeFolders(deep), join(folder, 'a'))
  assert.ok(existsSync(deep))
  assert.equal(await makeFolders(deep), undefined)
  assert.equal(await makeFolders(join(deep, 'd')), join(deep, 'd'))
  assert.equal(await makeFolders('/'), undefined)
})

test('several make the same folder at once', async () => {
  const deep = join(folder, 'x', 'y', 'z')
  await Promise.all(Array.from({ length: 8 }, () => makeFolders(deep)))
  assert.ok(existsSync(deep))
})

test('ends where a file is in the way', async () => {
  const file = join(folder, 'file')
  writeFileSync(file, '')
  await assert.rejects(makeFolders(file), { code: 'EEXIST' })
  await assert.rejects(makeFolders(join(file, 'below')), { code: 'ENOTDIR' })
})

test('ends where a folder takes no other one', { skip: !existsSync('/proc/self') }, async () => {
  await assert.rejects(makeFolders('/proc/percpu'), { code: 'ENOENT' })
  await assert.rejects(makeFolders('/proc/percpu/below'), { code: 'ENOENT' })
})
