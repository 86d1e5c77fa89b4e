/** The real `percpu serve`: its start, signals, changed files, and its end. */
import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { TableFiles } from 'percpu-console'
import { percpu, ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { metric, writeSmallTable } from '../helpers/service.js'

async function smallFiles(t: TestContext): Promise<TableFiles> {
  return writeTables(await temporaryFolder(t), smallTables.one.ipv4, smallTables.one.ipv6)
}
function flags({ ipv4, ipv6 }: TableFiles): string[] {
  return ['--ipv4', ipv4, '--ipv6', ipv6, '--workers', '2', '--memory', '64MiB']
}
async function asnOf(url: string): Promise<number> {
  return ((await (await fetch(`${url}/lookup/1.1.1.1`)).json()) as { asn: number }).asn
}

test('without options it serves the packaged tables on all cores, and says whom they are owed to', async (t) => {
  const serve = new ServeProcess(t, [])
  const loading = await serve.line(/^loading$/)
  assert.match(String(loading['ipv4']), /ip-location-db.*asn-ipv4.csv/)
  // A table file has it listen first.
  const published = await serve.said(/^table published$/)
  assert.deepEqual([published['ipv4'], published['ipv6'], published['generation']], [411_961, 103_197, 1])
  const listening = await serve.said(/^listening$/)
  assert.match(String(listening['attribution']), /DB-IP, https:\/\/db-ip.com.*CC BY 4.0/)
  const url = String(listening['url'])
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(await asnOf(url), 13335)
  const warnings = serve.lines.filter((line) => line.level >= 40 && line['worker'] === undefined)
  assert.deepEqual(warnings, [], 'who reads a table may compute for long')
  assert.equal(await serve.stop('SIGINT'), 0)
  assert.equal(serve.stderr, '')
})

test('SIGHUP reloads; a broken file is refused with its lines, and the old table goes on serving', async (t) => {
  const files = await smallFiles(t)
  const serve = new ServeProcess(t, [...flags(files), '--no-watch'])
  const url = await serve.url()
  await writeSmallTable(files, 'two')
  serve.child.kill('SIGHUP')
  assert.equal((await serve.line(/^table published$/))['generation'], 2)
  assert.equal(await asnOf(url), 64501)
  await writeFile(files.ipv4, 'no,table,at all\n1.1.1.0,1.1.0.0,1,X\n')
  serve.child.kill('SIGHUP')
  const refused = await serve.line(/^table refused/)
  assert.equal(refused.level, 50)
  assert.match(refused.msg, /2 problems.*\n.*ipv4\.csv:1: has 3 columns.*\n.*ipv4\.csv:2: the range ends/)
  assert.equal(await asnOf(url), 64501)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('a changed file is reloaded, also one that was replaced by renaming', async (t) => {
  const files = await smallFiles(t)
  const serve = new ServeProcess(t, flags(files))
  const url = await serve.url()
  await writeFile(files.ipv4, smallTables.two.ipv4)
  assert.match(String((await serve.line(/^table published$/))['reason']), /ipv4\.csv changed/)
  assert.equal(await asnOf(url), 64501)
  await writeFile(`${files.ipv4}.new`, smallTables.one.ipv4)
  await rename(`${files.ipv4}.new`, files.ipv4)
  await serve.line(/^table published$/)
  assert.equal(await asnOf(url), 13335)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('SIGTERM: requests in flight are finished, nothing new is accepted, and the exit code is 0', async (t) => {
  const serve = new ServeProcess(t, flags(await smallFiles(t)))
  const url = new URL(await serve.url())
  const outgoing = request(new URL('/lookup', url), {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
  })
  outgoing.write('1.1.1.1\n')
  const text = await new Promise<string>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', (incoming) => {
      let answers = ''
      incoming.setEncoding('utf8').on('data', (piece: string) => {
        answers += piece
        if (answers.split('\n').length !== 2) return
        serve.child.kill('SIGTERM')
        void serve.line(/^stopping$/).then(() => outgoing.end('8.8.8.8\n'))
      })
      incoming.once('end', () => resolve(answers))
    })
  })
  assert.deepEqual(
    text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { asn: number }).asn),
    [13335, 15169],
  )
  await serve.line(/^stopped$/)
  const refused = new Promise((resolve) => connect(Number(url.port), url.hostname).once('error', resolve))
  assert.match(String(await refused), /ECONNREFUSED/)
  assert.equal(await serve.ended(), 0)
})

test('2 million addresses stream through a process whose heap would not hold them', async (t) => {
  const serve = new ServeProcess(t, flags(await smallFiles(t)), ['--max-old-space-size=48'])
  const url = await serve.url()
  const count = 2_000_000
  const perPiece = 5000
  const addressOf = (i: number) => `8.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(
        Buffer.from(Array.from({ length: perPiece }, (_, i) => `${addressOf(sent + i)}\n`).join('')),
      )
      sent += perPiece
      if (sent === count) controller.close()
    },
  })
  const before = await metric(url, 'process_resident_memory_bytes')
  const response = await fetch(`${url}/lookup`, {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { 'content-type': 'text/plain' },
  })
  assert.ok(response.body)
  let line = 0
  let bytes = 0
  let rest = ''
  let highest = 0
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    bytes += piece.length
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    for (const answer of lines) {
      if (!answer.startsWith(`{"address":"${addressOf(line)}",`)) assert.fail(`line ${line}: ${answer}`)
      line++
      if (line % 250_000 === 0)
        highest = Math.max(highest, await metric(url, 'process_resident_memory_bytes'))
    }
  }
  assert.equal(line, count)
  // 130 MB of answers; what grows is buffers under way and the young heaps of three threads.
  assert.ok(bytes > 120e6)
  assert.ok(highest - before < 100e6, `grew by ${highest - before} bytes`)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('it goes on answering, and stops in order, when nobody reads its log any more', async (t) => {
  const files = await smallFiles(t)
  const serve = new ServeProcess(t, [...flags(files), '--no-watch'])
  const url = await serve.url()
  serve.child.stdout?.destroy()
  await writeSmallTable(files, 'two')
  serve.child.kill('SIGHUP')
  while ((await asnOf(url)) !== 64501);
  assert.equal(await serve.stop('SIGTERM'), 0)
  assert.equal(serve.stderr, '')
})

test('a port in use is told before the table is loaded', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.after(() => other.close())
  const { port } = other.address() as AddressInfo
  const { code, stdout, stderr } = await percpu(['serve', '--port', String(port)])
  assert.match(stderr, /^percpu: listen EADDRINUSE.*; choose another one with --port\n$/)
  assert.deepEqual([code, stdout], [1, ''])
})

test('what cannot be served is told in a line, with exit code 1 or 2', async (t) => {
  const files = await smallFiles(t)
  const cases = [
    [['--ipv4', '/nowhere/asn.csv'], 1, /^percpu: cannot read \/nowhere\/asn\.csv: ENOENT.*\n$/],
    [
      ['--port', '80x'],
      2,
      /^percpu: option '--port <number>' argument '80x' is invalid\. Expected a whole number from 0 to 65535\.\n$/,
    ],
    [['--patience', '0'], 2, /Expected seconds, from 0\.1 to 86400/],
    [
      [...flags(files), '--inspect', '/nowhere/inspect.sock'],
      1,
      /^percpu: cannot serve inspections on \/nowhere\/inspect\.sock: .*\n$/,
    ],
    [['--workers', '0'], 2, /whole number from 1 to 240/],
    [['--body-limit', '-1'], 2, /Expected a size such as/],
    [['--log-level', 'loud'], 2, /Allowed choices are/],
    [['--frobnicate'], 2, /^percpu: unknown option '--frobnicate'\n$/],
    [[...flags(files), '--memory', '4KiB'], 1, /^percpu: memory: /],
    [[...flags(files), '--port', '0', '--host', '203.0.113.1'], 1, /^percpu: listen EADDRNOTAVAIL.*\n$/],
  ] as const
  for (const [args, code, stderr] of cases) {
    const result = await percpu(['serve', '--log-level', 'silent', ...args])
    assert.match(result.stderr, stderr)
    assert.equal(result.code, code, args.join(' '))
  }
})
