/** Watching files: what it tells, and that it holds nobody up. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { FileWatch } from '../../dist/serve/file-watch.js'
import { temporaryFolder } from '../helpers/files.js'

async function watched(t: TestContext) {
  const folder = await temporaryFolder(t)
  const file = path.join(folder, 'a.csv')
  await writeFile(file, 'one\n')
  const told: string[] = []
  const warned: string[] = []
  const watch = new FileWatch([file], {
    logger: { warn: (_details: unknown, text?: string) => void warned.push(text ?? '') },
    changed: (name) => void told.push(name),
  })
  t.after(() => watch.close())
  return { file, watch, told, warned }
}
const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

test('a file that is written, replaced, and removed is told of', async (t) => {
  const { file, watch, told, warned } = await watched(t)
  await watch.ready
  await writeFile(file, 'two\n')
  while (told.length === 0) await turn()
  const before = told.length
  await writeFile(`${file}.new`, 'three\n')
  await rename(`${file}.new`, file)
  while (told.length === before) await turn()
  assert.deepEqual([...new Set(told)], [file])
  await rm(file)
  while (warned.length === 0) await turn()
  assert.deepEqual(warned, ['the file of a table was removed; the table stays'])
})

test('it keeps no process running', async (t) => {
  const { file } = await watched(t)
  const module = new URL('../../dist/serve/file-watch.js', import.meta.url).href
  const program = `
    const { FileWatch } = await import(${JSON.stringify(module)})
    const watch = new FileWatch([${JSON.stringify(file)}], { logger: console, changed() {} })
    const waiting = setInterval(() => {}, 1000)
    await watch.ready
    clearInterval(waiting)
    console.log('ready')`
  const args = ['--input-type=module', '--eval', program]
  // It has failed when it is ended: it would go on for ever.
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 })
  assert.equal(stdout, 'ready\n')
})

test('who waits until it is ready goes on when it is closed', async (t) => {
  const { watch } = await watched(t)
  await watch.close()
  await watch.ready
})
