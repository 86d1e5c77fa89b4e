/**
 * `percpu lookup -o FILE`: the output is all answers or what it was before, and none of the files
 * that are read.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { percpu } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'

const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))
const posix = { skip: process.platform === 'win32' ? 'modes, signals and devices of POSIX' : false }
const addresses = '1.1.1.1\n8.8.8.8\n'
const answers = /^\{"address":"1\.1\.1\.1",.*\}\n\{"address":"8\.8\.8\.8",.*\}\n$/

interface Place {
  readonly folder: string
  readonly input: string
  readonly ipv4: string
  readonly flags: readonly string[]
  /** An output of yesterday. */
  readonly old: string
}

async function setUp(t: TestContext): Promise<Place> {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const input = join(folder, 'in.txt')
  writeFileSync(input, addresses)
  const old = join(folder, 'old.ndjson')
  writeFileSync(old, 'of yesterday\n')
  return {
    folder,
    input,
    ipv4,
    old,
    flags: ['--ipv4', ipv4, '--ipv6', ipv6, '--memory', '64MiB', '--workers', '1', '--no-table-file'],
  }
}

test('an output that is read as well is refused', async (t) => {
  const { input, ipv4, flags } = await setUp(t)
  const table = readFileSync(ipv4, 'utf8')
  for (const [output, name] of [
    [input, 'in.txt'],
    [ipv4, 'ipv4.csv'],
  ] as const) {
    const { code, stdout, stderr } = await percpu(['lookup', ...flags, input, '-o', output])
    assert.match(
      stderr,
      new RegExp(`^percpu: .* is the same file as .*${name}, which is read: write to another one\\n$`),
    )
    assert.deepEqual([code, stdout], [2, ''])
  }
  assert.equal(readFileSync(ipv4, 'utf8'), table)
  assert.equal(readFileSync(input, 'utf8'), addresses)
})

test('standard input and output count as well', posix, async (t) => {
  const { input, flags } = await setUp(t)
  const run = (args: readonly string[], stdin: number, stdout: number | 'pipe') =>
    spawnSync(process.execPath, [executable, 'lookup', ...flags, ...args], {
      stdio: [stdin, stdout, 'pipe'],
      encoding: 'utf8',
    })
  const toFile = run(['-o', input], openSync(input, 'r'), 'pipe')
  assert.match(toFile.stderr, /in\.txt is the same file as standard input, which is read/)
  const appended = run([input], openSync('/dev/null', 'r'), openSync(input, 'a'))
  assert.match(appended.stderr, /^percpu: standard output is the same file as .*in\.txt, which is read/)
  assert.deepEqual([toFile.status, appended.status], [2, 2])
  assert.equal(readFileSync(input, 'utf8'), addresses)
})

test('whatever fails, an output from before stays, and a new one is not begun', async (t) => {
  const { folder, input, flags, old } = await setUp(t)
  const broken = join(folder, 'broken.csv')
  writeFileSync(broken, 'no,table\n')
  const array = join(folder, 'array.json')
  writeFileSync(array, `["1.1.1.1",${'"8.8.8.8",'.repeat(200_000)}oops`)
  const many = join(folder, 'many.txt')
  writeFileSync(many, '8.8.8.8\n'.repeat(200_000))
  const cases = [
    [[input, '--ipv4', broken], 1, /table refused/],
    [[input, '--ipv6', join(folder, 'missing.csv')], 1, /cannot read .*missing\.csv/],
    [[join(folder, 'missing.txt')], 1, /cannot read .*missing\.txt/],
    [['--format', 'json', array], 1, /malformed JSON at byte/],
    [[many, '--memory', '4KiB'], 1, /memory/],
    [[input, '--workers', '0'], 2, /whole number/],
  ] as const
  const before = readdirSync(folder)
  for (const [i, [args, expected, message]] of cases.entries()) {
    // One that is there, and one that is not.
    const output = i % 2 === 0 ? old : join(folder, 'new.ndjson')
    const { code, stderr } = await percpu(['lookup', ...flags, ...args, '-o', output])
    assert.match(stderr, message)
    assert.equal(code, expected)
    assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n', args.join(' '))
    assert.deepEqual(readdirSync(folder), before, args.join(' '))
  }
})

test('a named pipe is opened once, and what its writer wrote is answered', posix, async (t) => {
  const { folder, flags, old } = await setUp(t)
  const pipe = join(folder, 'pipe')
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0)
  const command = ['-c', 'printf "1.1.1.1\\n8.8.8.8\\n" > "$1"', 'sh', pipe]
  const writer = spawn('sh', command, { stdio: 'ignore' })
  t.after(() => writer.kill())
  const { code, stderr } = await percpu(['lookup', ...flags, pipe, '-o', old])
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(readFileSync(old, 'utf8'), answers)
})

test('a disk that is full leaves an output from before', posix, async (t) => {
  const { folder, flags, old } = await setUp(t)
  const input = join(folder, 'many.txt')
  writeFileSync(input, addresses.repeat(10_000))
  const before = readdirSync(folder)
  // No file may have more than 100 blocks: as on a full disk, writing fails in the middle.
  const command = ['-c', 'ulimit -f 100; exec "$@"', 'sh', process.execPath, executable]
  const { status, stderr } = spawnSync('sh', [...command, 'lookup', ...flags, input, '-o', old], {
    encoding: 'utf8',
  })
  assert.match(stderr, /^percpu: cannot write .*old\.ndjson: EFBIG/)
  assert.equal(status, 1)
  assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
  assert.deepEqual(readdirSync(folder), before)
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  test(`${signal} leaves an output from before, and ends the process`, posix, async (t) => {
    const { folder, flags, old } = await setUp(t)
    const before = readdirSync(folder)
    const child = spawn(process.execPath, [executable, 'lookup', ...flags, '-o', old], {
      stdio: ['pipe', 'inherit', 'inherit'],
    })
    child.stdin.on('error', () => undefined)
    child.stdin.write(addresses)
    const aside = () => readdirSync(folder).find((name) => !before.includes(name))
    // It has been begun, and answers have been written to it.
    while (statSync(join(folder, aside() ?? 'in.txt')).size <= addresses.length)
      await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill(signal)
    assert.deepEqual(await once(child, 'exit'), [null, signal])
    assert.equal(readFileSync(old, 'utf8'), 'of yesterday\n')
    assert.deepEqual(readdirSync(folder), before)
  })

test('open descriptors are written to as they are: what was written before stays', posix, async (t) => {
  const { folder, input, flags } = await setUp(t)
  const lookup = ['lookup', ...flags, input, '-o']
  const log = join(folder, 'log')
  for (const [name, descriptor, redirection] of [
    ['/dev/stdout', 1, '>> "$LOG"'],
    ['/dev/fd/3', 3, '3> "$LOG"'],
  ] as const) {
    writeFileSync(log, 'head\n')
    const text = `{ echo head >&${descriptor}; exec "$@" ${name}; } ${redirection}`
    const { status, stderr } = spawnSync('sh', ['-c', text, 'sh', process.execPath, executable, ...lookup], {
      env: { ...process.env, LOG: log },
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''], name)
    const written = readFileSync(log, 'utf8')
    assert.match(written, /^head\n/, name)
    assert.match(written.replace(/^(head\n)+/, ''), answers, name)
  }
  const { code, stdout } = await percpu([...lookup, '/dev/stdout'])
  assert.equal(code, 0)
  assert.match(stdout, answers)
})
