/** The real `percpu lookup` and `percpu layout`, and the command line as such. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { percpu } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'

const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))

async function setUp(t: TestContext): Promise<{ folder: string; flags: string[] }> {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  return { folder, flags: ['--ipv4', ipv4, '--ipv6', ipv6, '--memory', '64MiB', '--workers', '2'] }
}

const answer1 =
  '{"address":"1.1.1.1","range":{"start":"1.1.1.0","end":"1.1.1.255"},"asn":13335,"organisation":"Cloudflare, Inc."}\n'
const answer8 =
  '{"address":"8.8.8.8","range":{"start":"8.8.8.0","end":"8.8.8.255"},"asn":15169,"organisation":"Google LLC"}\n'

function addressOf(i: number): string {
  return `8.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`
}

test('what a single address does not need is not loaded', async (t) => {
  const { folder, flags } = await setUp(t)
  const coverage = join(folder, 'coverage')
  const loaded = async (input: string) => {
    const { stdout } = await percpu(['lookup', ...flags], input, { NODE_V8_COVERAGE: coverage })
    assert.ok(stdout.startsWith(answer1))
    const urls = new Set<string>()
    for (const name of await readdir(coverage)) {
      const { result } = JSON.parse(await readFile(join(coverage, name), 'utf8')) as {
        readonly result: readonly { readonly url: string }[]
      }
      for (const { url } of result) urls.add(url)
    }
    await rm(coverage, { recursive: true })
    const has = (part: string) => [...urls].some((url) => url.includes(part))
    return ['/dist/percpu.js', '/csv-parse/', '/cli-progress/', '/lookup/answer.js'].map(has)
  }
  // The first one reads the CSV, and leaves the packed files.
  assert.deepEqual(await loaded('1.1.1.1'), [false, true, false, true])
  assert.deepEqual(await loaded('1.1.1.1'), [false, false, false, true])
  assert.deepEqual(await loaded('1.1.1.1\n'.repeat(200_000)), [true, false, false, true])
})

test('answers standard input and files, in order, to standard output or a file', async (t) => {
  const { folder, flags } = await setUp(t)
  const [one, two, out] = ['one.txt', 'two.txt', 'out.ndjson'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  await writeFile(one, '1.1.1.1')
  await writeFile(two, '8.8.8.8\n')
  const done = (stdout: string) => ({ code: 0, stdout, stderr: '' })
  assert.deepEqual(
    await percpu(['lookup', '--table', 'asn', ...flags], '1.1.1.1\n8.8.8.8\n'),
    done(answer1 + answer8),
  )
  assert.deepEqual(
    await percpu(['lookup', ...flags, one, '-', two], '8.8.8.8'),
    done(answer1 + answer8 + answer8),
  )
  assert.deepEqual(await percpu(['lookup', ...flags, two, '-o', out]), done(''))
  assert.equal(await readFile(out, 'utf8'), answer8)
  assert.deepEqual(await percpu(['lookup', ...flags], ''), done(''))
  assert.deepEqual(
    await percpu(['lookup', ...flags, '--format', 'json'], '["1.1.1.1",\n"8.8.8.8"]'),
    done(answer1 + answer8),
  )
})

test('a million addresses through a pipe are answered completely and in order', async (t) => {
  const { flags } = await setUp(t)
  const count = 1_000_000
  const perPiece = 10_000
  const input = Readable.from(
    (function* () {
      for (let i = 0; i < count; i += perPiece)
        yield Array.from({ length: perPiece }, (_, j) => `${addressOf(i + j)}\n`).join('')
    })(),
  )
  const { code, stdout, stderr } = await percpu(['lookup', ...flags], input)
  assert.deepEqual([code, stderr], [0, ''])
  const lines = stdout.split('\n')
  assert.equal(lines.length, count + 1)
  for (let i = 0; i < count; i++)
    if (!lines[i]?.startsWith(`{"address":"${addressOf(i)}",`)) assert.fail(`line ${i}: ${lines[i]}`)
})

test('a reader that has seen enough ends it quietly', async (t) => {
  const { folder, flags } = await setUp(t)
  const input = join(folder, 'many.txt')
  await writeFile(input, '1.1.1.1\n'.repeat(2_000_000))
  const lookup = spawn(process.execPath, [executable, 'lookup', ...flags, input], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  lookup.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const head = spawn('head', ['-n', '2'], { stdio: [lookup.stdout, 'pipe', 'inherit'] })
  lookup.stdout.destroy()
  let stdout = ''
  head.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  const [code] = (await once(lookup, 'close')) as [number]
  assert.deepEqual([code, stderr], [0, ''])
  if (head.exitCode === null) await once(head, 'close')
  assert.equal(stdout, answer1 + answer1)
})

test('input and output that cannot be used are told, with exit code 1', async (t) => {
  const { folder, flags } = await setUp(t)
  const cases = [
    [[join(folder, 'missing.txt')], /^percpu: cannot read .*missing\.txt: ENOENT.*\n$/],
    [['1.1.1.1'], /^percpu: cannot read 1\.1\.1\.1: ENOENT.*; .*echo 1\.1\.1\.1 \| percpu lookup\n$/],
    [[folder], /^percpu: cannot read .*: it is a directory\n$/],
    [['-', '-o', join(folder, 'no', 'out')], /^percpu: cannot write .*ENOENT.*\n$/],
    [['--format', 'json'], /^percpu: malformed JSON at byte 0: expected a JSON array.*\n$/],
  ] as const
  for (const [args, stderr] of cases) {
    const result = await percpu(['lookup', ...flags, ...args], '1.1.1.1\n')
    assert.match(result.stderr, stderr)
    assert.equal(result.code, 1)
  }
  const unknown = await percpu(['lookup', '--table', 'geo', ...flags], '')
  assert.match(
    unknown.stderr,
    /^percpu: option '--table <name>' argument 'geo' is invalid\. Allowed choices are asn\.\n$/,
  )
  assert.equal(unknown.code, 2)
})

test('an input that is not as its format has it is told with its name', async (t) => {
  const { folder, flags } = await setUp(t)
  const [good, bad] = [join(folder, 'good.ndjson'), join(folder, 'bad.ndjson')]
  await writeFile(good, '"1.1.1.1"\n')
  await writeFile(bad, '"1.1.1.1"\n{"ip":"1.1.1.1"}\n')
  const small = await percpu(['lookup', ...flags, '--format', 'ndjson', good, bad])
  assert.match(small.stderr, /^percpu: .*bad\.ndjson: line 2 is a JSON object, expected a string/m)
  assert.equal(small.code, 1)
  await writeFile(bad, `${'"1.1.1.1"\n'.repeat(2 ** 17)}5\n`)
  const large = await percpu(['lookup', ...flags, '--format', 'ndjson', bad, '-o', join(folder, 'out')])
  assert.match(large.stderr, /^percpu: .*bad\.ndjson: line 131073 is a JSON number, expected a string/m)
  assert.equal(large.code, 1)
})

test('input that is packed, or no UTF-8, is refused, and nothing is written', async (t) => {
  const { folder, flags } = await setUp(t)
  const long = Buffer.alloc(2 ** 20 + 1, '1.1.1.1\n')
  const out = join(folder, 'out.ndjson')
  for (const [name, bytes, message] of [
    ['in.gz', gzipSync('1.1.1.1\n'), /in\.gz is packed with gzip: .*`gunzip -c`/],
    ['long.gz', Buffer.concat([gzipSync('1.1.1.1\n'), long]), /long\.gz is packed with gzip/],
    ['wide.txt', Buffer.from('\ufeff1.1.1.1\n', 'utf16le'), /wide\.txt is written in UTF-16/],
  ] as const) {
    const file = join(folder, name)
    await writeFile(file, bytes)
    const result = await percpu(['lookup', ...flags, file, '-o', out])
    assert.match(result.stderr, message)
    assert.deepEqual([result.code, result.stdout], [1, ''])
    assert.ok(!(await readdir(folder)).includes('out.ndjson'))
  }
  const pieces = Readable.from([Buffer.from([0x1f]), Buffer.from([0x8b, 8]), long])
  const { code, stdout, stderr } = await percpu(['lookup', ...flags], pieces)
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^percpu: standard input is packed with gzip/m)
})

test('layout prints the structs that a module exports, as text and as JSON', async (t) => {
  const { folder } = await setUp(t)
  const file = join(folder, 'point.mjs')
  const library = import.meta.resolve('percpu')
  await writeFile(
    file,
    `import { struct, i32, u8 } from ${JSON.stringify(library)}
     export const Point = struct('Point', { kind: u8, x: i32, y: i32 })
     export const Line = struct('Line', { from: Point, to: Point })
     export const other = 1`,
  )
  const text = await percpu(['layout', file])
  assert.equal(text.code, 0, text.stderr)
  assert.match(text.stdout, /struct Point \{[^]*u8 +kind;[^]*hole[^]*i32 +x;[^]*size: 12/)
  assert.match(text.stdout, /struct Line \{[^]*size: 24/)
  const json = await percpu(['layout', '--json', file, 'Point'])
  const structs = JSON.parse(json.stdout) as {
    name: string
    size: number
    fields: { path: string; offset: number }[]
  }[]
  assert.deepEqual(
    structs.map(({ name, size }) => [name, size]),
    [['Point', 12]],
  )
  assert.deepEqual(
    structs[0]?.fields.map(({ path, offset }) => [path, offset]),
    [
      ['kind', 0],
      ['x', 4],
      ['y', 8],
    ],
  )
  await writeFile(join(folder, 'empty.mjs'), 'export const nothing = 1')
  for (const [args, code, stderr] of [
    [[join(folder, 'missing.mjs')], 1, /^percpu: cannot load .*missing\.mjs: there is no such file$/m],
    [[join(folder, 'empty.mjs')], 2, /^percpu: .*empty\.mjs exports no struct: expected/],
    [[file, 'Plane'], 2, /exports no struct Plane; it exports Line, Point\n$/],
  ] as const) {
    const result = await percpu(['layout', ...args])
    assert.match(result.stderr, stderr)
    assert.equal(result.code, code)
  }
})

test('--version and --help answer on standard output; nonsense is exit code 2', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  assert.deepEqual(await percpu(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
  const help = await percpu(['--help'])
  assert.equal(help.code, 0)
  for (const command of ['serve', 'lookup', 'layout'])
    assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'))
  assert.match((await percpu(['serve', '--help'])).stdout, /--body-limit <size>.*\(default: 1GiB\)/)
  const unknown = await percpu(['server'])
  assert.deepEqual([unknown.code, unknown.stdout], [2, ''])
  assert.match(unknown.stderr, /^percpu: unknown command 'server'\n\(Did you mean serve\?\)\n$/)
})
