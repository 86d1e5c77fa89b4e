/** What is kept in a data directory, over restarts and kills. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { tableSources } from 'percpu-console'
import { drop } from '../../dist/commands/log-drop.js'
import { percpu } from '../helpers/command.js'
import { temporaryFolder } from '../helpers/files.js'
import { ask, CSV_FORMAT, lines, ndjson, startTables, USERS } from '../helpers/tables.js'

/** How many times the service is killed. 100: the long form. */
const KILLS = Number(process.env['PERCPU_KILLS'] ?? 4)
const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))

test('tables, versions and the token are the same after a restart', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'users.csv'), USERS)
  const sources = tableSources([join(folder, 'users.csv')], ['id'], [], CSV_FORMAT)
  const data = join(folder, 'data')
  const options = { sources, data, tokenFile: join(data, 'token') }
  await mkdir(data)
  const first = await startTables(t, folder, options)
  assert.ok(
    first.log.some(({ token }) => token === first.token),
    'printed at the first start',
  )
  assert.equal((await stat(options.tokenFile)).mode & 0o777, 0o600)
  await first.ask('PUT', '/tables/users/dan', '{"a":[1,2]}')
  await first.ask('PUT', '/tables/users/eve', '5')
  await first.ask('DELETE', '/tables/users/bob')
  await first.ask(
    'POST',
    '/tables/users?atomic',
    ndjson([
      { key: 'x', value: 1 },
      { key: 'eve', delete: true },
    ]),
  )
  const before = (await first.ask('GET', '/tables/users')).text
  const sequence = (await first.ask('GET', '/tables')).json
  await first.service.close()

  await writeFile(join(folder, 'users.csv'), 'id,name\nother,Other\n')
  const second = await startTables(t, folder, options)
  assert.equal((await second.ask('GET', '/tables/users')).text, before)
  assert.deepEqual((await second.ask('GET', '/tables')).json, sequence)
  assert.equal(second.token, first.token)
  assert.ok(!second.log.some(({ token }) => token !== undefined), 'not printed again')
  const { version } = (await second.ask('PUT', '/tables/users/dan', '1')).json as { version: number }
  assert.equal(version, ((sequence as { sequence: number }[])[0]?.sequence ?? NaN) + 1)
  assert.equal((await second.ask('GET', '/tables/users/other')).status, 404, 'the file is not read again')
  await second.service.close()
  // Nothing but its data.
  const third = await startTables(t, folder, { ...options, sources: [] })
  assert.equal((await third.ask('GET', '/tables/users/dan')).text, '1')
})

test('memory that was enough for the changes is enough to recover them', async (t) => {
  const folder = await temporaryFolder(t)
  const row = (key: number) => ({ key: String(key), text: 'x'.repeat(500_000) })
  await writeFile(join(folder, 'k.ndjson'), ndjson(Array.from({ length: 11 }, (_, i) => row(i))))
  const sources = tableSources([join(folder, 'k.ndjson')], ['key'], [], CSV_FORMAT)
  const options = { sources, data: join(folder, 'data'), memory: '9 MiB' }
  const first = await startTables(t, folder, options)
  for (let i = 0; i < 22; i++)
    assert.equal((await first.ask('PUT', `/tables/k/${i % 11}`, JSON.stringify(row(i)))).status, 200)
  await first.service.close()
  const second = await startTables(t, folder, options)
  assert.equal((await second.ask('GET', '/tables/k/10')).text, JSON.stringify(row(21)))
})

test('changes that had room in their order have it in that of their keys', async (t) => {
  const folder = await temporaryFolder(t)
  const row = (key: string) => ({ key, text: 'x'.repeat(500_000) })
  await writeFile(join(folder, 'k.ndjson'), ndjson(Array.from({ length: 11 }, (_, i) => row(`m${i}`))))
  const sources = tableSources([join(folder, 'k.ndjson')], ['key'], [], CSV_FORMAT)
  const options = { sources, data: join(folder, 'data'), memory: '9 MiB' }
  const first = await startTables(t, folder, options)
  for (let i = 0; i < 9; i++) {
    assert.equal((await first.ask('DELETE', `/tables/k/m${i}`)).status, 200)
    assert.equal((await first.ask('PUT', `/tables/k/a${i}`, JSON.stringify(row('a')))).status, 201)
  }
  await first.service.close()
  const second = await startTables(t, folder, options)
  const { json } = await second.ask('GET', '/health')
  assert.equal((json as { tables: { entries: number }[] }).tables[0]?.entries, 11)
  assert.equal((await second.ask('GET', '/tables/k/a8')).status, 200)
  assert.equal((await second.ask('GET', '/tables/k/m8')).status, 404)
})

test('of changes that follow each other the last one is recovered, and all are told', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'k.csv'), 'key,value\na,0\nb,0\nc,0\n')
  await writeFile(join(folder, 'r.csv'), 'from,to,value\n10,20,0\n')
  const sources = tableSources(
    [join(folder, 'k.csv'), join(folder, 'r.csv')],
    ['k:key'],
    ['r:from,to'],
    CSV_FORMAT,
  )
  const data = join(folder, 'data')
  const first = await startTables(t, folder, { sources, data })
  for (const value of ['1', '2', '3']) {
    await first.ask('PUT', '/tables/k/z', value)
    await first.ask('PUT', '/tables/r/12-15', value)
    await first.ask('PUT', '/tables/r/15-18', `"${value}"`)
    await first.ask('PUT', '/tables/k/a', value)
    await first.ask('DELETE', '/tables/k/b')
    if (value !== '3') await first.ask('PUT', '/tables/k/b', value)
  }
  await first.ask('DELETE', '/tables/k/nothing')
  const told = async ({ service }: typeof first) => {
    const { body } = await fetch(`${service.url}/changes?after=2`)
    let text = ''
    for await (const chunk of (body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (text.includes('id: 19\n')) break
    }
    return text
  }
  const pages = async ({ ask: get }: typeof first) =>
    [await get('GET', '/tables/k'), await get('GET', '/tables/r')].map(({ text }) => text)
  const [before, events] = [await pages(first), await told(first)]
  await first.service.close()
  const second = await startTables(t, folder, { sources, data })
  assert.deepEqual(await pages(second), before)
  assert.equal(await told(second), events)
})

test('who follows is told of a table that came while nobody listened', async (t) => {
  const folder = await temporaryFolder(t)
  for (const name of ['a', 'b']) await writeFile(join(folder, name), USERS)
  const data = join(folder, 'data')
  const sources = tableSources([join(folder, 'a'), join(folder, 'b')], ['id'], [], CSV_FORMAT)
  const first = await startTables(t, folder, { sources: sources.slice(0, 1), data })
  const { version } = (await first.ask('PUT', '/tables/a/x', '1')).json as { version: number }
  await first.service.close()
  await (await startTables(t, folder, { sources, data })).service.close()
  const third = await startTables(t, folder, { sources, data })
  const { body } = await fetch(`${third.service.url}/changes?after=${version}`)
  const { value } = await (body as ReadableStream<Uint8Array>).getReader().read()
  assert.match(String(Buffer.from(value ?? [])), /^event: reset\n/)
})

test('a token that is none is found before anything is read', async (t) => {
  const folder = await temporaryFolder(t)
  const tokenFile = join(folder, 'short')
  await writeFile(tokenFile, 'too short\n')
  // There is no such file: it would be told if it were read.
  const sources = tableSources([join(folder, 'none.csv')], ['id'], [], CSV_FORMAT)
  await assert.rejects(startTables(t, folder, { sources, tokenFile }), {
    code: 'PERCPU_FILE',
    message: /holds no token/,
  })
})

test('a data directory with another kind of table is refused', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'users.csv'), USERS)
  const file = join(folder, 'users.csv')
  const data = join(folder, 'data')
  const first = await startTables(t, folder, { sources: tableSources([file], ['id'], [], CSV_FORMAT), data })
  await assert.rejects(
    startTables(t, folder, { sources: tableSources([file], ['id'], [], CSV_FORMAT), data }),
    { code: 'PERCPU_STORE_BUSY' },
  )
  await first.service.close()
  const asked: [keys: string[], ranges: string[], shown: string][] = [
    [[], ['id,name'], '--range id,name'],
    [['name'], [], '--key name'],
  ]
  for (const [keys, ranges, shown] of asked)
    await assert.rejects(
      startTables(t, folder, { sources: tableSources([file], keys, ranges, CSV_FORMAT), data }),
      {
        code: 'PERCPU_USAGE',
        message: new RegExp(
          `table users was read with --key id, and is asked for with ${shown}: .*percpu log drop`,
        ),
        details: { directory: data, table: 'users', kept: '--key id', asked: shown },
      },
    )
})

test('a table that was dropped is read from its file again, with other keys', async (t) => {
  const folder = await temporaryFolder(t)
  const [file, other] = [join(folder, 'users.csv'), join(folder, 'other.csv')]
  await writeFile(file, USERS)
  await writeFile(other, 'key,value\na,1\n')
  const data = join(folder, 'data')
  const first = await startTables(t, folder, {
    sources: tableSources([file, other], ['users:id', 'other:key'], [], CSV_FORMAT),
    data,
  })
  await assert.rejects(drop(data, 'users'), { code: 'PERCPU_STORE_BUSY' })
  await first.ask('PUT', '/tables/users/gone', '1')
  await first.ask('PUT', '/tables/other/kept', '2')
  const { sequence } = (await first.ask('GET', '/health')).json as { sequence: number }
  await first.service.close()

  await assert.rejects(drop(join(folder, 'none'), 'users'), { code: 'PERCPU_FILE' })
  await assert.rejects(drop(data, 'nobody'), { code: 'PERCPU_USAGE', message: /there is other, users$/ })
  const { stdout, code } = await percpu(['log', 'drop', data, 'users'])
  assert.deepEqual([code, stdout], [0, 'dropped table users: the next start of the service reads its file\n'])
  await assert.rejects(drop(data, 'users'), { code: 'PERCPU_USAGE', message: /there is other$/ })

  await writeFile(file, 'from,to,name\n1,5,One\n')
  const sources = tableSources([file], [], ['from,to'], CSV_FORMAT)
  for (let start = 0; start < 2; start++) {
    const next = await startTables(t, folder, { sources, data })
    assert.equal((await next.ask('GET', '/tables/users/3')).text, '{"name":"One"}')
    assert.equal((await next.ask('GET', '/tables/other/kept')).text, '2')
    assert.ok(((await next.ask('GET', '/health')).json as { sequence: number }).sequence > sequence)
    await next.service.close()
  }
})

test('the number of a table without rows is given to no change after a restart', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'a'), USERS)
  for (const name of ['b', 'c']) await writeFile(join(folder, name), 'id\n')
  const data = join(folder, 'data')
  const sources = tableSources(
    ['a', 'b', 'c'].map((name) => join(folder, name)),
    ['id'],
    [],
    CSV_FORMAT,
  )
  const first = await startTables(t, folder, { sources, data })
  const { sequence } = (await first.ask('GET', '/health')).json as { sequence: number }
  await first.service.close()
  const second = await startTables(t, folder, { sources, data })
  assert.deepEqual((await second.ask('GET', '/tables/b')).text, '{"entries":[]}')
  const { version } = (await second.ask('PUT', '/tables/c/x', '1')).json as { version: number }
  assert.ok(version > sequence, `${version} after ${sequence}`)
  await second.service.close()
  const third = await startTables(t, folder, { sources: [], data })
  assert.equal((await third.ask('GET', '/tables/c/x')).text, '1')
  assert.equal((await third.ask('GET', '/tables/b')).status, 200)
})

test('a table that comes when nothing was changed is kept, with its changes', async (t) => {
  const folder = await temporaryFolder(t)
  for (const name of ['a', 'b']) await writeFile(join(folder, name), USERS)
  const data = join(folder, 'data')
  const sources = tableSources([join(folder, 'a'), join(folder, 'b')], ['id'], [], CSV_FORMAT)
  await (await startTables(t, folder, { sources: sources.slice(0, 1), data })).service.close()
  const second = await startTables(t, folder, { sources, data })
  assert.equal((await second.ask('PUT', '/tables/b/x', '1')).status, 201)
  await second.service.close()
  const third = await startTables(t, folder, { sources: [], data })
  assert.equal((await third.ask('GET', '/tables/b/x')).text, '1')
  assert.equal((await third.ask('GET', '/tables/b/ann')).status, 200)
})

test(`killed ${KILLS} times under changes, it has all that it acknowledged, in order`, async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'k.csv'), 'key,value\nseed,0\n')
  const data = join(folder, 'data')
  /** What is certain of each key: the last acknowledged, and what was asked for since. */
  const acknowledged = new Map<string, number>()
  const asked = new Map<string, Set<number>>()
  let [next, lastVersion] = [1, 0]
  for (let kill = 0; kill <= KILLS; kill++) {
    const child = spawn(
      process.execPath,
      [
        executable,
        'serve',
        join(folder, 'k.csv'),
        '--key',
        'key',
        '--data',
        data,
        '--port',
        '0',
        '--sync',
        kill % 2 === 0 ? 'always' : '1',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    t.after(() => child.kill('SIGKILL'))
    let url = ''
    for await (const line of createInterface(child.stdout)) {
      const { msg, url: where } = JSON.parse(line) as { msg: string; url?: string }
      if (msg === 'listening') {
        url = String(where)
        break
      }
    }
    child.stdout.resume()
    assert.notEqual(url, '', 'it starts')
    const token = (await readFile(join(data, 'token'), 'utf8')).trim()
    const { entries } = (await ask(url, token, 'GET', '/tables/k?limit=10000')).json as {
      entries: { key: string; value: number; version: number }[]
    }
    const found = new Map(entries.map(({ key, value }) => [key, value]))
    for (const [key, value] of acknowledged) {
      const there = found.get(key)
      assert.ok(
        there === value || asked.get(key)?.has(there ?? -1),
        `${key}: acknowledged ${value}, found ${there}, asked for ${[...(asked.get(key) ?? [])].join()}`,
      )
    }
    assert.ok(Math.max(...entries.map(({ version }) => version)) >= lastVersion)
    if (kill === KILLS) break
    for (const [key, values] of asked) {
      const there = found.get(key)
      if (there !== undefined) acknowledged.set(key, there)
      values.clear()
    }
    const exited = once(child, 'exit')
    let isOver = false
    let told: () => void = () => undefined
    const answered = new Promise<void>((resolve) => (told = resolve))
    const client = async (name: string) => {
      for (let i = 0; !isOver; i++) {
        const batch = Array.from({ length: i % 3 === 0 ? 20 : 1 }, (_, at) => ({
          key: `${name}${(i + at) % 25}`,
          value: next++,
        }))
        for (const { key, value } of batch) asked.set(key, (asked.get(key) ?? new Set()).add(value))
        try {
          const isAtomic = i % 2 === 0
          const { text, status } = await ask(
            url,
            token,
            'POST',
            `/tables/k${isAtomic ? '?atomic' : ''}`,
            ndjson(batch),
          )
          if (status !== 200) continue
          told()
          for (const answer of lines(text) as { key: string; version?: number }[]) {
            const change = batch.findLast(({ key }) => key === answer.key)
            if (!change) continue
            acknowledged.set(change.key, change.value)
            lastVersion = Math.max(lastVersion, answer.version ?? 0)
          }
          for (const { key, value } of batch) {
            const values = asked.get(key)
            for (const one of values ?? []) if (one <= value) values?.delete(one)
          }
        } catch (error) {
          // Killed in the middle: what was asked for is there, or not.
          if (!(error instanceof TypeError)) throw error
        }
      }
    }
    const clients = ['a', 'b', 'c'].map(client)
    // A fresh process may take long to its first answer. From then on any moment will do.
    await Promise.race([answered, exited])
    assert.equal(child.exitCode, null, 'it runs until it is killed')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 250))
    child.kill('SIGKILL')
    await exited
    isOver = true
    await Promise.all(clients)
  }
  assert.ok(lastVersion > 0, 'something was acknowledged')
})
