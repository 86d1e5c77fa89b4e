/** `--inspect PATH`: only a dead socket is replaced, and only the own socket is removed. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { boot } from 'percpu'
import { inspections, serveInspection } from 'percpu-console'
import { percpu } from '../helpers/command.js'
import { temporaryFolder } from '../helpers/files.js'

const posix = { skip: process.platform === 'win32' ? 'sockets are no files here' : false }
const serve = (path: string) => serveInspection(boot({ cpus: 1 }), path)
const refusal = (message: RegExp) => ({ code: 'PERCPU_FILE', message })

/** A process that listens on `path`, killed after the test at the latest. */
async function listener(t: TestContext, path: string, then = '') {
  const program = `const server = require('net').createServer(() => {}).listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
    process.stdout.write('listening'); ${then} })`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

/** Somebody listens there. */
async function reach(path: string): Promise<void> {
  const socket = connect(path)
  await once(socket, 'connect')
  socket.destroy()
}

/** The socket of a process that was killed. */
async function deadSocket(t: TestContext, path: string): Promise<void> {
  const child = await listener(t, path)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(lstatSync(path).isSocket())
}

test('what is no socket is refused and stays as it is', posix, async (t) => {
  const folder = await temporaryFolder(t)
  const [file, directory, fifo, toFile, dangling, toDead] = [
    'file',
    'dir',
    'fifo',
    'link',
    'dangling',
    'dead',
  ].map((name) => join(folder, name)) as [string, string, string, string, string, string]
  writeFileSync(file, 'the only copy\n')
  mkdirSync(directory)
  execFileSync('mkfifo', [fifo])
  symlinkSync(file, toFile)
  symlinkSync(join(folder, 'nowhere'), dangling)
  await deadSocket(t, join(folder, 'socket'))
  symlinkSync(join(folder, 'socket'), toDead)
  const before = readdirSync(folder)
  for (const path of [file, directory, fifo, toFile, dangling, toDead]) {
    const { ino } = lstatSync(path)
    await assert.rejects(
      serve(path),
      refusal(/^cannot serve inspections on .*: it exists and is no socket$/),
      path,
    )
    assert.equal(lstatSync(path).ino, ino, path)
  }
  assert.equal(readFileSync(file, 'utf8'), 'the only copy\n')
  assert.deepEqual(readdirSync(folder), before)
  const command = await percpu(['serve', '--log-level', 'silent', '--port', '0', '--inspect', file])
  assert.match(command.stderr, /^percpu: cannot serve inspections on .*file: it exists and is no socket\n$/)
  assert.equal(command.code, 1)
  assert.equal(readFileSync(file, 'utf8'), 'the only copy\n')
})

test('a dead socket is replaced, by one of two that come at once', posix, async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'socket')
  await deadSocket(t, path)
  const both = await Promise.allSettled([serve(path), serve(path)])
  const [won, lost] = both[0].status === 'fulfilled' ? both : [both[1], both[0]]
  assert.ok(won.status === 'fulfilled' && lost.status === 'rejected')
  assert.match(String(lost.reason), /a process serves there already/)
  assert.deepEqual(readdirSync(folder), ['socket'])
  for await (const { pid } of inspections(path)) assert.equal(pid, process.pid)
  await won.value.close()
  assert.deepEqual(readdirSync(folder), [])
})

test('the socket of a living process is refused and left alone', posix, async (t) => {
  const path = join(await temporaryFolder(t), 'socket')
  await listener(t, path)
  const { ino } = lstatSync(path)
  await assert.rejects(serve(path), refusal(/: a process serves there already$/))
  assert.equal(lstatSync(path).ino, ino)
  await reach(path)
})

test('a socket whose process does not answer is refused and left alone', posix, async (t) => {
  const path = join(await temporaryFolder(t), 'socket')
  await listener(t, path, "process.kill(process.pid, 'SIGSTOP')")
  const sockets: Socket[] = []
  // Until its queue is full.
  for (let isFull = false; !isFull;) {
    const socket = connect(path)
    sockets.push(socket)
    isFull = await once(socket, 'connect').then(
      () => false,
      () => true,
    )
  }
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  await assert.rejects(
    serve(path),
    refusal(/a socket is there, and whether a process serves it cannot be told: EAGAIN$/),
  )
  assert.ok(lstatSync(path).isSocket())
})

test('at its end it removes its own socket, and nothing that others put there', posix, async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'socket')
  const first = await serve(path)
  rmSync(path)
  writeFileSync(path, 'of somebody else\n')
  await first.close()
  assert.equal(readFileSync(path, 'utf8'), 'of somebody else\n')
  rmSync(path)

  const second = await serve(path)
  rmSync(path)
  const other = createServer().listen(path)
  await once(other, 'listening')
  await second.close()
  await reach(path)
  other.close()

  const third = await serve(path)
  await third.close()
  const fourth = await serve(path)
  rmSync(path)
  await fourth.close()
  assert.deepEqual(readdirSync(folder), [])
})

test(
  'a process that ends without closing it removes its own socket, and nothing that others put there',
  posix,
  async (t) => {
    const path = join(await temporaryFolder(t), 'socket')
    const run = (then: string) =>
      execFileSync(process.execPath, [
        '--input-type=module',
        '-e',
        `import { boot } from ${JSON.stringify(import.meta.resolve('percpu'))}
       import { serveInspection } from ${JSON.stringify(import.meta.resolve('percpu-console'))}
       import { rmSync, writeFileSync } from 'node:fs'
       const path = ${JSON.stringify(path)}
       await serveInspection(boot({ cpus: 1 }), path)
       ${then}
       process.exit()`,
      ])
    run('')
    assert.ok(!existsSync(path))
    run("rmSync(path); writeFileSync(path, 'of somebody else')")
    assert.equal(readFileSync(path, 'utf8'), 'of somebody else')
  },
)

test('a path that is too long for a socket is refused, and not cut', posix, async (t) => {
  const folder = await temporaryFolder(t)
  await assert.rejects(
    serve(join(folder, 'x'.repeat(120))),
    refusal(/longer than the \d+ bytes that a socket's path may/),
  )
  await assert.rejects(serve(join(folder, 'none', 'socket')), refusal(/the folder .*none does not exist$/))
  assert.deepEqual(readdirSync(folder), [])
})
