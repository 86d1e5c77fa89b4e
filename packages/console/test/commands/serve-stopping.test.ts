/**
 * The real `percpu serve`, which is told to stop while it is in the middle of something: it always
 * stops within its limit.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { TableFiles } from 'percpu-console'
import { ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { untilMetric } from '../helpers/service.js'

const posix = { skip: process.platform === 'win32' && 'there are no named pipes' }
const hungDisk = ['--import', new URL('../helpers/hung-disk.js', import.meta.url).href]

interface Files {
  readonly tables: TableFiles
  /** A named pipe without a writer. */
  readonly pipe: string
}
async function makeFiles(t: TestContext): Promise<Files> {
  const folder = await temporaryFolder(t)
  const tables = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const pipe = path.join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  return { tables, pipe }
}
function flags({ ipv4, ipv6 }: TableFiles): string[] {
  return ['--ipv4', ipv4, '--ipv6', ipv6, '--workers', '1', '--memory', '64MiB', '--no-watch']
}
async function replaceByPipe(file: string): Promise<void> {
  await rm(file)
  execFileSync('mkfifo', [file])
}

test('SIGTERM while the first table is loaded gives that up, and exits with 0', posix, async (t) => {
  const { tables, pipe } = await makeFiles(t)
  // With 20 heartbeats a second the loader's death is seen before the process has stopped. A thread
  // may miss one of them on a busy machine.
  const serve = new ServeProcess(t, [...flags({ ...tables, ipv4: pipe }), '--patience', '0.1'])
  await serve.line(/^loading$/)
  // The loader waits for the pipe by then.
  await setTimeout(500)
  assert.equal(await serve.stop('SIGTERM'), 0)
  assert.deepEqual(
    serve.lines.map(({ msg }) => msg).filter((msg) => !/stuck/.test(msg)),
    ['loading', 'stopping', 'loading was given up', 'stopped'],
  )
  assert.equal(serve.stderr, '')
})

test(
  'SIGTERM during a reload gives that up; requests in flight are finished, SIGHUP does nothing more',
  posix,
  async (t) => {
    const { tables } = await makeFiles(t)
    const serve = new ServeProcess(t, flags(tables))
    const url = new URL(await serve.url())
    const outgoing = request(new URL('/lookup', url), {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
    })
    outgoing.write('1.1.1.1\n')
    const text = new Promise<string>((resolve, reject) => {
      outgoing.once('error', reject)
      outgoing.once('response', (incoming) => {
        let answers = ''
        incoming.setEncoding('utf8').on('data', (piece: string) => (answers += piece))
        incoming.once('end', () => resolve(answers))
      })
    })
    await replaceByPipe(tables.ipv6)
    serve.child.kill('SIGHUP')
    await serve.line(/^SIGHUP: reloading$/)
    serve.child.kill('SIGTERM')
    await serve.line(/^loading was given up$/)
    const before = serve.lines.length
    serve.child.kill('SIGHUP')
    await setTimeout(100)
    outgoing.end('8.8.8.8\n')
    assert.match(await text, /"asn":13335.*\n.*"asn":15169/)
    assert.equal(await serve.ended(), 0)
    assert.deepEqual(
      serve.lines
        .slice(before)
        .map(({ msg }) => msg)
        .filter((msg) => !/stuck/.test(msg)),
      ['stopped'],
    )
  },
)

test('a table that is a named pipe is taken from its writer, however late that comes', posix, async (t) => {
  const { tables, pipe } = await makeFiles(t)
  const serve = new ServeProcess(t, flags({ ...tables, ipv4: pipe }))
  await serve.line(/^loading$/)
  await setTimeout(200)
  await writeFile(pipe, smallTables.one.ipv4)
  assert.equal((await serve.line(/^table published$/))['ipv4'], 3)
  await serve.url()
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test(
  'a thread that waits for a disk is killed with the process: at the limit, or by a second signal',
  posix,
  async (t) => {
    const { tables, pipe } = await makeFiles(t)
    process.env['HUNG_DISK'] = pipe
    t.after(() => delete process.env['HUNG_DISK'])
    const limited = new ServeProcess(t, flags(tables), hungDisk)
    const askedTwice = new ServeProcess(t, flags(tables), hungDisk)
    await Promise.all([limited.line(/^loading$/), askedTwice.line(/^loading$/)])
    // The loaders have joined, and wait.
    await setTimeout(1000)
    askedTwice.child.kill('SIGTERM')
    await askedTwice.line(/^stopping$/)
    assert.equal(await askedTwice.stop('SIGTERM'), null)
    assert.equal(askedTwice.child.signalCode, 'SIGKILL')
    assert.equal(await limited.stop('SIGTERM'), null)
    assert.equal(limited.child.signalCode, 'SIGKILL')
    assert.match(limited.lines.at(-1)?.msg ?? '', /^a thread has not ended after 15 s: killed$/)
  },
)

test('a log that nobody reads holds up neither answers nor the end', posix, async (t) => {
  const folder = path.join(await temporaryFolder(t), ...Array.from({ length: 18 }, () => 'x'.repeat(200)))
  await mkdir(folder, { recursive: true })
  const tables = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const serve = new ServeProcess(t, flags(tables), hungDisk)
  const url = await serve.url()
  // What it writes from here on stays in the pipe.
  serve.child.stdout?.removeAllListeners().pause()
  // Each refusal names the long path 20 times.
  await writeFile(tables.ipv4, 'no table\n'.repeat(30))
  for (let refused = 1; refused <= 3; refused++) {
    serve.child.kill('SIGHUP')
    await untilMetric(url, 'percpu_table_loads_total{result="refused"}', refused)
  }
  assert.equal((await fetch(`${url}/lookup/1.1.1.1`)).status, 200)
  serve.child.kill('SIGTERM')
  await serve.ended()
})
