/** What the process of the service is to the system: its number, its terminal, its processors. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { spawn, spawnSync } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { availableCpus, Terminal, usableCpus } from 'percpu-console'
import { percpu, ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'

const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))

test('the quota of a container counts, in either version of control groups', async (t) => {
  const folder = await temporaryFolder(t)
  const container = '0::/\n'
  const cases: readonly (readonly [files: Readonly<Record<string, string>>, quota: number | undefined])[] = [
    [{}, undefined],
    [{ 'proc/self/cgroup': container }, undefined],
    [{ 'proc/self/cgroup': container, 'sys/fs/cgroup/cpu.max': 'max 100000\n' }, undefined],
    [{ 'proc/self/cgroup': container, 'sys/fs/cgroup/cpu.max': '250000 100000\n' }, 2.5],
    [
      {
        'proc/self/cgroup': '0::/user/x\n',
        'sys/fs/cgroup/user/cpu.max': '50000 100000\n',
        'sys/fs/cgroup/user/x/cpu.max': '300000 100000\n',
      },
      0.5,
    ],
    // A path of the host, of which only the top is there.
    [{ 'proc/self/cgroup': '0::/docker/abc\n', 'sys/fs/cgroup/cpu.max': '400000 100000\n' }, 4],
    [
      {
        'proc/self/cgroup': '4:memory:/\n3:cpu,cpuacct:/docker/abc\n',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '150000\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
      1.5,
    ],
    [
      {
        'proc/self/cgroup': '3:cpu:/\n',
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      },
      undefined,
    ],
  ]
  for (const [i, [files, quota]] of cases.entries()) {
    const root = join(folder, String(i))
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    assert.deepEqual(availableCpus(root, 8), { cores: 8, quota })
  }
  assert.deepEqual(
    [undefined, 0.5, 1.5, 2.5, 99].map((quota) => usableCpus({ cores: 8, quota })),
    [8, 1, 1, 2, 8],
  )
})

test('a terminal is gone when none of its descriptors is one any more', () => {
  const terminals = new Set([0, 2])
  const terminal = new Terminal((descriptor) => terminals.has(descriptor))
  assert.equal(terminal.isGone, false)
  terminals.delete(0)
  assert.equal(terminal.isGone, false)
  terminals.clear()
  assert.equal(terminal.isGone, true)
  assert.equal(new Terminal(() => false).isGone, false)
})

const hasScript = spawnSync('script', ['--version']).status === 0
test('it stops when its terminal is closed', { skip: !hasScript && 'no terminal can be made' }, async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const file = join(folder, 'pid')
  const flags = `--port 0 --ipv4 ${ipv4} --ipv6 ${ipv6} --workers 1 --memory 64MiB --pid-file ${file}`
  const command = `'${process.execPath}' '${executable}' serve ${flags}`
  const terminal = spawn('script', ['-qc', command, join(folder, 'typescript')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => terminal.kill('SIGKILL'))
  let shown = ''
  for await (const piece of terminal.stdout.setEncoding('utf8') as AsyncIterable<string>)
    if (/listening/.test((shown += piece))) break
  assert.ok(existsSync(file), shown)
  terminal.kill('SIGKILL')
  while (existsSync(file)) await setTimeout(20)
})

test('the file of --pid-file has the number of the process that serves, and goes with it', async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const flags = ['--ipv4', ipv4, '--ipv6', ipv6, '--workers', '1', '--memory', '64MiB']
  const file = join(folder, 'pid')
  writeFileSync(file, '1\n')
  const serve = new ServeProcess(t, [...flags, '--pid-file', file])
  const loading = await serve.line(/^loading$/)
  assert.deepEqual([loading['workers'], Number(loading['cores']) > 0], [1, true])
  await serve.url()
  assert.equal(readFileSync(file, 'utf8'), `${serve.child.pid}\n`)
  assert.equal(loading['pid'], serve.child.pid)
  process.kill(Number(readFileSync(file, 'utf8')), 'SIGHUP')
  await serve.line(/^SIGHUP: reloading$/)
  assert.equal(await serve.stop('SIGTERM'), 0)
  assert.equal(existsSync(file), false)
  const { code, stderr } = await percpu(['serve', ...flags, '--pid-file', join(folder, 'no', 'pid')])
  assert.match(stderr, /^percpu: cannot write .*pid: ENOENT/)
  assert.equal(code, 1)
})

test('a service that cannot start leaves the file of the one that serves', async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const port = String((server.address() as AddressInfo).port)
  const file = join(folder, 'pid')
  const flags = ['--ipv4', ipv4, '--ipv6', ipv6, '--host', '127.0.0.1', '--port', port, '--pid-file', file]
  writeFileSync(file, '4711\n')
  const { code, stderr } = await percpu(['serve', '--workers', '1', '--memory', '64MiB', ...flags])
  assert.match(stderr, /EADDRINUSE/)
  assert.deepEqual([code, readFileSync(file, 'utf8')], [1, '4711\n'])
})
