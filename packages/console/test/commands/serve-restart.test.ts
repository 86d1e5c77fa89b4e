/**
 * The real `percpu serve` with a table file: it answers single addresses before its first table is
 * published. Once more in a Node in which several threads can listen.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { open, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { canSharePort, type TableFiles } from 'percpu-console'
import { isSabotaged, NEWER_NODE, NEWER_NODE_FROM, runAgain } from '../helpers/again.js'
import { percpu, ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { missing } from '../helpers/programs.js'
import { metric, untilMetric } from '../helpers/service.js'

const posix = { skip: process.platform === 'win32' && 'there are no named pipes' }
const hungDisk = ['--import', new URL('../helpers/hung-disk.js', import.meta.url).href]

function flags({ ipv4, ipv6 }: TableFiles, memory = '64MiB'): string[] {
  return ['--ipv4', ipv4, '--ipv6', ipv6, '--workers', '2', '--memory', memory]
}

/** A service whose table files are there, and whose loader waits until it is let go. */
async function restarted(t: TestContext, more: readonly string[] = []) {
  const folder = await temporaryFolder(t)
  const files = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const { ipv4, ipv6 } = files
  assert.equal((await percpu(['lookup', '--ipv4', ipv4, '--ipv6', ipv6], '1.1.1.1\n')).code, 0)
  const pipe = path.join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  process.env['HUNG_DISK'] = pipe
  t.after(() => delete process.env['HUNG_DISK'])
  const serve = new ServeProcess(t, [...flags(files), ...more], hungDisk)
  const url = await serve.url()
  // From now on it has a writer: this opening itself waits for no reader.
  const letGo = async () => {
    const writer = await open(pipe, 'r+')
    t.after(() => writer.close())
  }
  return { serve, files, url, letGo }
}
async function asnOf(url: string, address: string): Promise<unknown> {
  return ((await (await fetch(`${url}/lookup/${address}`)).json()) as { asn: unknown }).asn
}
async function healthOf(url: string): Promise<readonly unknown[]> {
  const response = await fetch(`${url}/health`)
  const { status, generation, rows } = (await response.json()) as Readonly<Record<string, unknown>>
  return [response.status, status, generation, rows]
}
function post(url: string): Promise<string> {
  const headers = { 'content-type': 'text/plain' }
  return fetch(`${url}/lookup`, { method: 'POST', headers, body: '1.1.1.1\n8.8.8.8\n' }).then((response) =>
    response.text(),
  )
}
const ROWS = { ipv4: 3, ipv6: 1 }

test('single addresses are answered before the table is published, batches after it', posix, async (t) => {
  const { serve, url, letGo } = await restarted(t)
  const batch = post(url)
  assert.deepEqual(
    [await asnOf(url, '1.1.1.1'), await asnOf(url, '8.8.8.8'), await asnOf(url, '2001:db8::1')],
    [13335, 15169, 64500],
  )
  assert.equal((await fetch(`${url}/lookup/10.0.0.1`)).status, 404)
  // Written in a way that the framework answers.
  assert.equal(await asnOf(url, '1.1.1%2E1'), 13335)
  assert.deepEqual(await healthOf(url), [200, 'starting', 0, ROWS])
  assert.equal(await metric(url, 'percpu_table_generation'), 0)
  assert.equal(await metric(url, 'percpu_table_rows{family="4"}'), 3)
  assert.equal(await Promise.race([batch, asnOf(url, '1.1.1.1')]), 13335)
  assert.ok(!serve.lines.some(({ msg }) => msg === 'table published'))
  await letGo()
  assert.equal((await serve.line(/^table published$/))['generation'], 1)
  assert.deepEqual(
    (await batch)
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { asn: number }).asn),
    [13335, 15169],
  )
  assert.deepEqual(
    [await asnOf(url, '1.1.1.1'), await asnOf(url, '8.8.8.8'), await asnOf(url, '2001:db8::1')],
    [13335, 15169, 64500],
  )
  await untilMetric(url, 'percpu_workers_ready', 2)
  assert.deepEqual(await healthOf(url), [200, 'ok', 1, ROWS])
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('a file that changes before the table is published is reloaded after it', posix, async (t) => {
  const { serve, files, url, letGo } = await restarted(t)
  await writeFile(files.ipv4, smallTables.two.ipv4)
  await letGo()
  assert.equal((await serve.line(/^table published$/))['reason'], 'start')
  assert.match(String((await serve.line(/^table published$/))['reason']), /ipv4\.csv changed/)
  assert.equal(await asnOf(url, '1.1.1.1'), 64501)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('SIGTERM before the table is published gives up the batches that wait for it', posix, async (t) => {
  const { serve, url, letGo } = await restarted(t, ['--no-watch'])
  const batch = post(url)
  assert.equal(await asnOf(url, '1.1.1.1'), 13335)
  // It has arrived.
  await untilMetric(url, 'percpu_batches_queued', 1)
  serve.child.kill('SIGTERM')
  await serve.line(/^stopping$/)
  await letGo()
  assert.match(await batch, /"code":"ABORTED"/)
  assert.equal(await serve.ended(), 0)
})

test('a table that finds no memory ends the service, with the reason', async (t) => {
  const folder = await temporaryFolder(t)
  const lines = Array.from({ length: 20_000 }, (_, i) => {
    const net = `${20 + (i >>> 16)}.${(i >>> 8) & 255}.${i & 255}`
    return `${net}.0,${net}.9,${i},${'x'.repeat(400)}${i}\n`
  })
  const { ipv4, ipv6 } = await writeTables(folder, lines.join(''), smallTables.one.ipv6)
  assert.equal((await percpu(['lookup', '--ipv4', ipv4, '--ipv6', ipv6], '20.0.0.1\n')).code, 0)
  const serve = new ServeProcess(t, flags({ ipv4, ipv6 }, '8MiB'))
  assert.equal(await serve.ended(), 1)
  assert.match(serve.stderr, /the table could not be loaded: .*memory/)
})

const inNewer = { skip: isSabotaged || canSharePort() ? 'this is one' : missing(NEWER_NODE, NEWER_NODE_FROM) }

test('several threads answer so, in a Node in which they can', inNewer, async () => {
  const again = await runAgain(NEWER_NODE, import.meta.url)
  assert.deepEqual(again, { passed: 4, failed: [] })
})
