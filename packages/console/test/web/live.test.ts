/** What the page asks for: its files, and what it is told every second. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fastify } from 'fastify'
import { boot, type Machine } from 'percpu'
import { addWebRoutes, machineSource, serveInspection, socketSource, type LiveSource } from 'percpu-console'

interface Event {
  readonly event: string
  readonly data: Record<string, unknown>
}

/** The events that a response brings. */
async function* events(response: Response): AsyncGenerator<Event, void> {
  assert.ok(response.body)
  let text = ''
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (text + piece).split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) {
      const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/m.exec(part) ?? []
      yield { event, data: JSON.parse(data) as Record<string, unknown> }
    }
  }
}

/** The first of these events of a source. */
async function told(source: LiveSource, is: (told: object) => boolean): Promise<object> {
  return new Promise((resolve) => {
    const stop = source.watch((event) => {
      if (!is(event)) return
      resolve(event)
      // It may be told at once.
      queueMicrotask(() => stop())
    })
  })
}

describe('the files of the page', () => {
  const app = fastify()
  before(() =>
    addWebRoutes(app, {
      source: { watch: () => () => undefined, spaces: () => Promise.reject(new Error()) },
    }),
  )
  after(() => app.close())

  it('are sent once, and may run nothing but the scripts of the service', async () => {
    const page = await app.inject('/')
    assert.equal(page.statusCode, 200)
    assert.match(String(page.headers['content-type']), /^text\/html/)
    const policy = String(page.headers['content-security-policy'])
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/)
    assert.doesNotMatch(policy, /unsafe|\*/)
    assert.equal(page.headers['x-content-type-options'], 'nosniff')
    assert.doesNotMatch(page.body, /<script>|<style|style=|onclick/)
    const { etag } = page.headers
    assert.match(String(etag), /^"[\w-]{22}"$/)
    const again = await app.inject({ url: '/', headers: { 'if-none-match': `"other", W/${String(etag)}` } })
    assert.equal(again.statusCode, 304)
    assert.equal(again.body, '')
  })

  it('are those that the page names, and no others', async () => {
    const { body } = await app.inject('/')
    const named = [...body.matchAll(/(?:href|src)="(page\/[^"]+)"/g)].map(([, name]) => `/${name ?? ''}`)
    assert.ok(named.length > 5)
    for (const name of named) {
      const { statusCode, headers, body: text } = await app.inject(name)
      assert.equal(statusCode, 200, name)
      assert.equal(headers['x-content-type-options'], 'nosniff')
      for (const [, other] of text.matchAll(/^import .* from '\.\/(.*)'$/gm))
        assert.ok(
          named.includes(`/page/${other ?? ''}`),
          `${name} imports ${other ?? ''}, which is not preloaded`,
        )
    }
    assert.equal((await app.inject('/page/..%2Fpackage.json')).statusCode, 404)
    assert.equal((await app.inject('/page/')).statusCode, 404)
  })
})

describe('the stream of a machine', () => {
  let machine: Machine
  let watched = 0
  const watching = new EventEmitter()
  let url: string
  const app = fastify({ forceCloseConnections: true })
  before(async () => {
    machine = boot({ memory: '16 MiB', cpus: 3 })
    const source = machineSource(machine)
    const counting: LiveSource = {
      ...source,
      watch(tell) {
        watched++
        const stop = source.watch(tell)
        return () => {
          watched--
          stop()
          watching.emit('stop')
        }
      },
    }
    const lookups = () => Promise.resolve([{ name: 'requests', cpu: 0, count: 7 }])
    addWebRoutes(app, { source: counting, lookups, attribution: ['someone'] })
    app.get('/lookup/:address', () => '')
    url = await app.listen({ port: 0 })
  })
  after(async () => {
    await app.close()
    await machine.offline()
  })

  it('tells what there is, and every second what each CPU does', async () => {
    const seen: Event[] = []
    const response = await fetch(`${url}/live`)
    assert.match(String(response.headers.get('content-type')), /^text\/event-stream/)
    machine.srcu('a\u202eb').section().end()
    await machine.srcu('a\u202eb').synchronize()
    // A CPU has measured itself when it was asked twice.
    for await (const event of events(response)) {
      seen.push(event)
      const [cpu] = (event.data['cpus'] ?? []) as { busy?: number }[]
      if (cpu?.busy !== undefined) break
    }
    assert.deepEqual(seen[0], {
      event: 'hello',
      data: { lookup: true, tables: false, attribution: ['someone'] },
    })
    const { event, data } = seen.at(-1) ?? assert.fail()
    assert.equal(event, 'frame')
    assert.equal(data['pid'], process.pid)
    assert.equal(data['offline'], 2)
    const [cpu] = data['cpus'] as Record<string, unknown>[]
    assert.equal(cpu?.['activity'], 'live')
    assert.deepEqual(data['lookups'], [{ name: 'requests', cpu: 0, count: 7 }])
    const domains = (data['gracePeriods'] as { name: string }[]).map(({ name }) => name)
    assert.deepEqual(domains, ['rcu', 'a\\u202eb'])
    const { total, used, stretches } = data['memory'] as {
      total: number
      used: number
      stretches: { bytes: number }[]
    }
    assert.equal(total, 16 * 2 ** 20)
    assert.equal(
      stretches.reduce((sum, { bytes }) => sum + bytes, 0),
      used,
    )
  })

  it('is made once for all viewers, of whom there is a limit, and not without any', async () => {
    const ends = new AbortController()
    const look = () => fetch(`${url}/live`, { signal: ends.signal })
    const viewers = await Promise.all(Array.from({ length: 32 }, look))
    assert.ok(viewers.every(({ status }) => status === 200))
    assert.equal(watched, 1)
    const refused = await look()
    assert.equal(refused.status, 503)
    assert.equal(((await refused.json()) as { code: string }).code, 'BUSY')
    const stopped = once(watching, 'stop')
    ends.abort()
    await stopped
  })

  it('draws the page tables', async () => {
    const { headers, body } = await app.inject('/maps.svg')
    assert.equal(headers['content-type'], 'image/svg+xml')
    assert.match(body, /^<svg/)
  })

  it('ends when the server closes', { timeout: 20_000 }, async () => {
    const other = fastify()
    addWebRoutes(other, { source: machineSource(machine) })
    const response = await fetch(`${await other.listen({ port: 0 })}/live`)
    const reading = (async () => {
      let last = ''
      for await (const { event } of events(response)) last = event
      return last
    })()
    await other.close()
    assert.match(await reading, /hello|frame/)
  })
})

describe('a viewer that does not read', () => {
  it('gets no more than what its connection holds', async () => {
    const app = fastify()
    let tell: Parameters<LiveSource['watch']>[0] = () => undefined
    const watch: LiveSource['watch'] = (given) => {
      tell = given
      return () => undefined
    }
    addWebRoutes(app, { source: { watch, spaces: () => Promise.reject(new Error()) } })
    const url = new URL(await app.listen({ port: 0 }))
    const socket = connect(Number(url.port), url.hostname)
    let written = 0
    const connected = once(app.server, 'connection')
    socket.write(`GET /live HTTP/1.1\r\nhost: ${url.host}\r\n\r\n`)
    await once(socket, 'data')
    socket.pause()
    const [served] = (await connected) as [Socket]
    for (let i = 0; i < 40; i++) {
      tell({ error: 'x'.repeat(1 << 20) })
      await new Promise((resolve) => setImmediate(resolve))
      written = Math.max(written, served.writableLength)
    }
    assert.ok(written < 4 << 20, `${written} bytes wait`)
    socket.destroy()
    await app.close()
  })
})

describe('a machine behind a socket', () => {
  it('is watched, tells that it has ended, and is found again', async () => {
    const machine = boot({ memory: '16 MiB', cpus: 1 })
    const file = path.join(tmpdir(), `percpu-live-${process.pid}.sock`)
    const source = socketSource(file)
    assert.match(JSON.stringify(await told(source, () => true)), /no such socket/)
    let server = await serveInspection(machine, file)
    const ended = told(
      source,
      (event) => 'error' in event && /has ended|cannot watch/.test(String(event.error)),
    )
    const report = await told(source, (event) => 'inspection' in event)
    assert.ok('memory' in report)
    await server.close()
    await ended
    const found = told(source, (event) => 'inspection' in event)
    server = await serveInspection(machine, file)
    await found
    assert.deepEqual((await source.spaces()).spaces, [])
    await showsPage(file)
    await server.close()
    await machine.offline()
  })
})

/** `percpu top --web` has the page for it, until it is interrupted. */
async function showsPage(file: string): Promise<void> {
  const command = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))
  const child = spawn(process.execPath, [command, 'top', file, '--web'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const url = /^.*, process \d+: (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1] ?? assert.fail(line)
  assert.match(await (await fetch(url)).text(), /<title>percpu</)
  let hello: Event | undefined
  for await (const event of events(await fetch(`${url}/live`))) {
    hello ??= event
    if (event.event === 'frame' && event.data['pid'] === process.pid) break
  }
  assert.deepEqual(hello?.data, { lookup: false, tables: false, attribution: [] })
  child.kill('SIGINT')
  assert.deepEqual(await ended, [0, null])
}
