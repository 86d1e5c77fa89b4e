/**
 * `percpu top`: a machine is watched over a local socket, also while one of its workers is stuck.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { renameSync } from 'node:fs'
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

  it('that goes offline says so to its clients, and ends nothing else', async () => {
    const machine = boot({ cpus: 2 })
    const server = await serveInspection(machine, freshPath())
    const seen: Report[] = []
    const watched = (async () => {
      for await (const report of inspections(server.path, 50)) {
        if (seen.push(report) === 1) await machine.offline()
      }
    })()
    const message = /could not tell: .*offline/
    await assert.rejects(watched, { code: 'PERCPU_FILE', message })
    assert.ok(seen.length > 0)
    await assert.rejects(run(server.path, '--once'), { code: 1, stderr: message })
    await assert.rejects(run(server.path), { code: 1, stderr: message })
    await server.close()
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
    await assert.rejects(run(path, '--once'), { code: 1, stderr: /^percpu: cannot watch .*: no such socket/ })
    const left = createServer().listen(path)
    await once(left, 'listening')
    renameSync(path, `${path}.left`)
    left.close()
    await assert.rejects(run(`${path}.left`, '--once'), {
      code: 1,
      stderr: /nobody serves inspections there/,
    })
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
      gracePeriods: [],
      waits: { rcu: undefined, srcu: undefined },
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

describe('grace periods', () => {
  it('are shown with what happened since the inspection before', async () => {
    const machine = boot({ cpus: 2, debugRcu: true })
    const srcu = machine.srcu('config')
    machine.srcu('never used')
    const report = (): Report => {
      const inspection = machine.watch.inspect()
      return { protocol: 1, pid: 1, title: 'x', inspection }
    }
    await srcu.synchronize()
    const first = report()
    const token = srcu.readLock()
    const waiting = srcu.synchronize()
    await srcu.call(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const second = report()
    const text = render(second, { color: false }, first.inspection)
    const row = text.split('\n').find((line) => /│ config /.test(line)) ?? ''
    const cells = row.split('│').map((cell) => cell.trim())
    assert.equal(cells[4], '1', text)
    assert.equal(cells[5], 'CPU 0', text)
    assert.match(cells[6] ?? '', /ms by CPU 0$/, text)
    assert.match(cells[7] ?? '', /ms, CPU 0$/, text)
    assert.equal(cells[8], '1', text)
    assert.match(text, /1 more domains/)
    assert.match(text, /waits for grace periods p50\/p99: rcu .* domains [\d.]+ /)
    srcu.readUnlock(token)
    await waiting
    await srcu.barrier()
    const rate = render(report(), { color: false }, second.inspection)
    const ended = (rate.split('\n').find((line) => /│ config /.test(line)) ?? '').split('│')[3]
    assert.ok(Number(ended) > 0, rate)
  })

  it('are gauges', async () => {
    const machine = boot({ cpus: 2, debugRcu: true })
    const srcu = machine.srcu('config', { flavour: 'normal' })
    await srcu.synchronize()
    const token = srcu.readLock()
    const waiting = srcu.synchronize()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const registry = new Registry()
    inspectionMetrics(registry, machine)
    const text = await registry.metrics()
    assert.match(text, /percpu_rcu_grace_periods\{domain="config",flavour="normal"\} 1\n/)
    assert.match(text, /percpu_rcu_grace_periods\{domain="",flavour="sched"\} \d/)
    assert.match(text, /percpu_rcu_sections\{domain="config",flavour="normal"\} 1\n/)
    assert.match(text, /percpu_rcu_holding_up\{domain="config",flavour="normal"\} 1\n/)
    assert.match(text, /percpu_rcu_waiting_seconds\{domain="config",flavour="normal"\} 0\.[0-9]+\n/)
    assert.match(text, /percpu_rcu_oldest_section_seconds\{domain="config",flavour="normal"\} 0\.[0-9]+\n/)
    assert.match(text, /percpu_rcu_wait_seconds\{kind="srcu",percentile="99"\} 0\.[0-9]+\n/)
    srcu.readUnlock(token)
    await waiting
  })
})

describe('names and labels with odd characters', () => {
  it('move no cursor, and break no line', async () => {
    const odd = 'a\0b\nc\u001b[2Jd\u202ee'
    const machine = boot({ cpus: 2 })
    machine.srcu(odd).section().end()
    await machine.srcu(odd).synchronize()
    const guard = machine.locks.mutex(odd).lock()
    const text = machine.run(odd, () =>
      render({ protocol: 1, pid: 1, title: odd, inspection: machine.watch.inspect() }, { color: false }),
    )
    guard.unlock()
    for (const unseen of ['\0', '\u001b', '\u202e', 'b\nc']) assert.ok(!text.includes(unseen), text)
    assert.equal(text.split('\\u001b').length, 5, text)
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
