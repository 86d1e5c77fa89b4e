/** Paths on the command line that name nothing: said at once, in words. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { percpu } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'

test('an empty path is a wrong usage', async () => {
  const commands = [
    ['lookup', '-o', ''],
    ['lookup', ''],
    ['lookup', '--ipv4', ''],
    ['serve', '--inspect', ''],
    ['top', ''],
  ]
  for (const args of commands) {
    const { code, stdout, stderr } = await percpu(args)
    assert.match(stderr, /^percpu: .*'' is invalid.* Expected the path of a (file|socket)\.\n$/)
    assert.deepEqual([code, stdout], [2, ''], args.join(' '))
  }
})

test('what a path lacks is said', async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const input = join(folder, 'in.txt')
  writeFileSync(input, '1.1.1.1\n')
  const table = ['--ipv4', ipv4, '--ipv6', ipv6, '--memory', '64MiB', '--workers', '1']
  const absent = join(folder, 'nodir')
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['top', input], /cannot watch .*in\.txt: it is no socket but a file\n$/],
    [['top', folder], /cannot watch .*: it is no socket but a folder\n$/],
    [['lookup', ...table, input, '-o', `${absent}/`], /nodir\/: no such directory, and it names no file\n$/],
    [
      ['serve', '--port', '0', ...table, '--inspect', join(absent, 's')],
      /the folder .*nodir does not exist\n$/,
    ],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await percpu(args)
    assert.match(stderr, message)
    assert.equal(code, 1, args.join(' '))
  }
})
