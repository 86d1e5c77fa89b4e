/**
 * What `-o FILE` opens: never a file that is read; for a file, one aside of it; a device as it is.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test, type TestContext } from 'node:test'
import { FileError, openOutput, UsageError } from 'percpu-console'
import { temporaryFolder } from '../helpers/files.js'

const posix = { skip: process.platform === 'win32' ? 'modes, links and devices of POSIX' : false }

/** A folder with a file to read and an output of yesterday. */
async function setUp(t: TestContext) {
  const folder = await temporaryFolder(t)
  const [input, old] = [join(folder, 'in.txt'), join(folder, 'old.ndjson')]
  writeFileSync(input, '1.1.1.1\n')
  writeFileSync(old, 'of yesterday\n')
  return { folder, input, old }
}

async function write(file: string, text = 'new\n'): Promise<void> {
  const sink = await openOutput(file, [])
  await sink.write(Buffer.from(text))
  await sink.finish()
  await sink.discard()
}

test('a file that is read is refused, by whatever name', posix, async (t) => {
  const { folder, input, old } = await setUp(t)
  const [symbolic, hard, folderLink] = ['symbolic', 'hard', 'folder'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  symlinkSync(input, symbolic)
  linkSync(input, hard)
  symlinkSync(folder, folderLink)
  const before = readdirSync(folder)
  const here = relative(process.cwd(), input)
  for (const output of [input, symbolic, hard, join(folderLink, 'in.txt'), here, `${folder}//./in.txt`])
    for (const inputs of [[input], [old, input], [join(folder, 'missing'), symbolic]])
      await assert.rejects(
        openOutput(output, inputs),
        (error) => error instanceof UsageError && /is the same file as .*, which is read/.test(error.message),
        output,
      )
  assert.equal(readFileSync(input, 'utf8'), '1.1.1.1\n')
  assert.deepEqual(readdirSync(folder), before)
  // A device may well be both.
  await (await openOutput('/dev/null', ['/dev/null'])).finish()
})

test('a file is there as a whole, once all is written; nothing stays of what is given up', async (t) => {
  const { folder, old } = await setUp(t)
  const before = readdirSync(folder)
  const given = await openOutput(old, [])
  await given.write(Buffer.from('half'))
  assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
  await given.discard()
  await given.discard()
  assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
  assert.deepEqual(readdirSync(folder), before)
  await write(old)
  assert.equal(readFileSync(old, 'utf8'), 'new\n')
  await write(join(folder, 'fresh'), '')
  assert.deepEqual(readdirSync(folder), [...before, 'fresh'].sort())
  // Nobody listens for signals any more.
  assert.deepEqual(
    ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => process.listenerCount(signal)),
    [0, 0, 0],
  )
})

test('the disk writes meanwhile, and what it cannot write is told at the end', async (t) => {
  const { folder, old } = await setUp(t)
  // Its timer keeps no process running.
  const running = setInterval(() => undefined, 1000)
  t.after(() => clearInterval(running))
  const before = readdirSync(folder)
  const probe = await open(old)
  const handles = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const begun = () =>
    new Promise<void>((resolve) => {
      const { mock } = t.mock.method(handles, 'datasync', () => {
        resolve()
        return mock.callCount() === 0 ? Promise.reject(new Error('EIO: no disk')) : Promise.resolve()
      })
    })
  const failing = begun()
  const sink = await openOutput(old, [])
  await sink.write(Buffer.from('new'))
  await failing
  await assert.rejects(
    sink.finish(),
    (error) => error instanceof FileError && /cannot write .*old.ndjson: EIO: no disk/.test(error.message),
  )
  await sink.discard()
  assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
  assert.deepEqual(readdirSync(folder), before)
  t.mock.restoreAll()
  // One that is under way is waited for.
  let isSynced = false
  const slow = new Promise<void>((resolve) => {
    t.mock.method(handles, 'datasync', async () => {
      resolve()
      await new Promise((later) => setTimeout(later, 300))
      isSynced = true
    })
  })
  const other = await openOutput(old, [])
  await other.write(Buffer.from('new\n'))
  await slow
  await other.finish()
  assert.ok(isSynced)
  assert.equal(readFileSync(old, 'utf8'), 'new\n')
})

test('a new file has the mode and owner of the one before, behind links', posix, async (t) => {
  const { folder, input, old } = await setUp(t)
  const isRoot = process.getuid?.() === 0
  if (isRoot) chownSync(old, 12345, 54321)
  chmodSync(old, 0o604)
  mkdirSync(join(folder, 'elsewhere'))
  const link = join(folder, 'elsewhere', 'link')
  symlinkSync('../old.ndjson', link)
  await write(link)
  assert.equal(readlinkSync(link), '../old.ndjson')
  assert.equal(readFileSync(old, 'utf8'), 'new\n')
  const { mode, uid, gid } = statSync(old)
  assert.equal(mode & 0o7777, 0o604)
  if (isRoot) assert.deepEqual([uid, gid], [12345, 54321])
  assert.deepEqual(readdirSync(join(folder, 'elsewhere')), ['link'])
  const dangling = join(folder, 'dangling')
  symlinkSync('fresh', dangling)
  await write(dangling)
  assert.ok(lstatSync(dangling).isSymbolicLink())
  assert.equal(readFileSync(join(folder, 'fresh'), 'utf8'), 'new\n')
  assert.equal(statSync(join(folder, 'fresh')).mode, statSync(input).mode)
})

test('devices and named pipes are written to as they are', posix, async (t) => {
  const { folder } = await setUp(t)
  await write('/dev/null')
  assert.ok(statSync('/dev/null').isCharacterDevice())
  const fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'inherit'] })
  let read = ''
  reader.stdout.setEncoding('utf8').on('data', (text: string) => (read += text))
  await Promise.all([write(fifo), once(reader, 'close')])
  assert.equal(read, 'new\n')
  assert.ok(lstatSync(fifo).isFIFO())
  if (existsSync('/dev/full')) {
    const full = await openOutput('/dev/full', [])
    await assert.rejects(full.write(Buffer.from('x')), { code: 'PERCPU_FILE', message: /dev\/full: ENOSPC/ })
    await full.discard()
  }
})

test('a folder and a file that may not be written are refused, and stay', posix, async (t) => {
  const { folder, old } = await setUp(t)
  for (const file of [folder, `${folder}/`, `${old}/`, join(folder, 'none', 'out')])
    await assert.rejects(openOutput(file, []), { code: 'PERCPU_FILE', message: /^cannot write / })
  chmodSync(old, 0o444)
  const program = `import { openOutput } from ${JSON.stringify(import.meta.resolve('percpu-console'))}
    await openOutput(${JSON.stringify(old)}, []).catch(({ code, message }) => console.log(code, message))`
  // Root may write it all the same; others are told.
  const isRoot = process.getuid?.() === 0
  if (isRoot) for (const path of [folder, old]) chownSync(path, 12345, 12345)
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    ...(isRoot ? { uid: 12345, gid: 12345 } : {}),
  })
  assert.match(stdout, /^PERCPU_FILE cannot write .*old\.ndjson: EACCES/)
  assert.deepEqual(readdirSync(folder), ['in.txt', 'old.ndjson'])
  assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
})
