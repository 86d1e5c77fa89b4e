/**
 * `percpu top`: a machine is watched over a local socket, also while one of its workers is stuck.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { boot, type Inspection } from 'percpu'
import {
  duration,
  inspectionMetrics,
  inspections,
  render,
  serveInspection,
  type Report,
} from 'percpu-console'
import { Registry } from 'prom-client'

const folder = await mkdtemp(path.join(tmpdir(), 'percpu-top-'))
after(() => rm(folder, { recursive: true }))
let sockets = 0
const freshPath = () => path.join(folder, `${String(sockets++)}.sock`)
const command = new URL('../../bin/percpu.js', import.meta.url).pathname

const run = (...args: readonly string[]) => promisify(execFile)(process.execPath, [command, 'top', ...args])

describe('a served machine', () => {
  it('is printed once, as text and as JSON', async () => {
    const machine = boot({ cpus: 3 })
    const server = await serveInspection(machine, freshPath())
    const { stdout } = await run(server.path, '--once', '--json')
    const report = JSON.parse(stdout) as Report
    assert.equal(report.pid, process.pid)
    assert.deepEqual(
      report.inspection.cpus.map(({ activity }) => activity),
      ['live', 'offline', 'offline'],
    )
    const text = (await run(server.path, '--once')).stdout
    assert.match(text, new RegExp(`process ${String(process.pid)}.*: 1 CPUs, 2 offline`))
    assert.match(text, /0\.1/)
    await server.close()
    await assert.rejects(access(server.path))
  })

  it('shows a stuck worker and what it is stuck in, to clients that stay', async () => {
    const machine = boot({ cpus: 2 })
    const worker = new Worker(new URL('../helpers/stuck-worker.js', import.meta.url), {
      workerData: machine.handle,
    })
    const { reaped } = machine.supervise(worker)
    const server = await serveInspection(machine, freshPath())
    const enough = new AbortController()
    try {
      await once(worker, 'message')
      const seen: string[] = []
      for await (const report of inspections(server.path, 50, enough.signal)) {
        if (seen.length === 0) worker.postMessage('stick')
        const cpu = report.inspection.cpus[1]
        seen.push(cpu?.work?.label ?? '')
        if (cpu?.silentFor === undefined || cpu.work?.label !== 'render /about') continue
        if (cpu.activity !== 'blocked') continue
        assert.match(render(report, { color: false }), /BLOCKED .*render \/about/)
        break
      }
      assert.ok(seen.includes('render /about'))
    } finally {
      enough.abort()
      await worker.terminate()
      await reaped
      await server.close()
    }
  })

  it('ends the connection of a client that stays when that has sent its last', async () => {
    const server = await serveInspection(boot({ cpus: 1 }), freshPath())
    try {
      const socket = connect({ path: server.path, allowHalfOpen: true })
      socket.write('{"every":60000}\n')
      await once(socket, 'data')
      const ended = once(socket, 'end', { signal: AbortSignal.timeout(10_000) })
      socket.end()
      await ended
      socket.destroy()
    } finally {
      await server.close()
    }
  })

  it('cuts off clients that ask for nonsense', async () => {
    const server = await serveInspection(boot({ cpus: 1 }), freshPath())
    for (const request of ['nonsense\n', '{"every":1}\n', '[]\n', 'x'.repeat(2000)]) {
      const socket = connect(server.path)
      socket.on('error', () => undefined)
      socket.write(request)
      let received = ''
      socket.on('data', (piece) => (received += String(piece)))
      await once(socket, 'close')
      assert.equal(received, '')
    }
    await server.close()
  })
})

describe('percpu top', () => {
  it('says that nobody serves there, or something else', async () => {
    const path = freshPath()
    await assert.rejects(run(path, '--once'), { code: 1, stderr: /^percpu: cannot watch / })
    const server = createServer((socket) => socket.end('hello\n')).listen(path)
    await once(server, 'listening')
    await assert.rejects(run(path, '--once'), { code: 1, stderr: /does not serve inspections/ })
    server.close()
    await assert.rejects(run(path, '--interval', '1'), { code: 2 })
  })

  it('names deadlocks, and writes durations as people do', () => {
    const lock = (name: string, owner: number) => ({ address: 64, name, owner, blocking: true })
    const inspection: Inspection = {
      at: 1000,
      unix: 0,
      cpus: [],
      deadlocks: [{ cpus: [0, 1], locks: [lock('a', 1), lock('b', 0)], certain: true }],
    }
    const text = render({ protocol: 1, pid: 1, title: 'x', inspection }, { color: false })
    assert.match(text, /DEADLOCK: CPU 0 waits for a of CPU 1 waits for b of CPU 0/)
    assert.deepEqual([0.0204, 12.34, 480.2, 4000, 200_000, 1e7].map(duration), [
      '20 µs',
      '12.3 ms',
      '480 ms',
      '4.0 s',
      '3 min',
      '2 h',
    ])
  })
})

describe('metrics', () => {
  it('show every CPU that has a thread', async () => {
    const machine = boot({ cpus: 3 })
    const registry = new Registry()
    inspectionMetrics(registry, machine)
    machine.run('work', () => undefined)
    const text = await registry.metrics()
    assert.match(text, /percpu_cpu_activity\{cpu="0",activity="live"\} 1/)
    assert.match(text, /percpu_cpu_activity\{cpu="0",activity="blocked"\} 0/)
    assert.match(text, /percpu_cpu_runs\{cpu="0"\} 1/)
    assert.doesNotMatch(text, /cpu="1"/)
  })
})
