/** Reloads of a running service. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { smallTables } from '../helpers/files.js'
import { verifyTable } from '../helpers/machine.js'
import { metric, testService, untilMetric, writeSmallTable } from '../helpers/service.js'

async function asnOf(url: string, address = '1.1.1.1'): Promise<number> {
  return ((await (await fetch(`${url}/lookup/${address}`)).json()) as { asn: number }).asn
}

test('a reload changes the answers of all threads; the old table is freed', async (t) => {
  const { service, files, url } = await testService(t)
  await writeSmallTable(files, 'two')
  const { table, error } = await service.reload('test')
  assert.equal(error, undefined)
  assert.equal(table?.generation, 2)
  assert.equal(await asnOf(url), 64501)
  const body = Array.from({ length: 50_000 }, () => '1.1.1.1').join('\n')
  const answers = await (
    await fetch(`${url}/lookup`, { method: 'POST', body, headers: { 'content-type': 'text/plain' } })
  ).text()
  assert.deepEqual([...new Set(answers.split('\n'))].length, 2)
  assert.match(answers, /"asn":64501/)
  verifyTable(service.machine)
})

test('a broken file is refused with its lines, and the table before goes on answering', async (t) => {
  const { service, files, url, log } = await testService(t)
  await writeFile(files.ipv4, `${smallTables.two.ipv4}1.1.2.0,1.1.3.0,1,Overlap\nx,y,z\n`)
  const { table, error, problems } = await service.reload('test')
  assert.equal(table, undefined)
  assert.deepEqual(
    problems.map(({ line }) => line),
    [3, 4],
  )
  assert.match(error?.message ?? '', /ipv4.csv:4: has 3 columns/)
  assert.equal(await asnOf(url), 13335)
  assert.equal(await metric(url, 'percpu_table_loads_total{result="refused"}'), 1)
  const health = (await (await fetch(`${url}/health`)).json()) as {
    status: string
    generation: number
    lastLoad: { published: boolean; error: string }
  }
  assert.deepEqual([health.status, health.generation, health.lastLoad.published], ['degraded', 1, false])
  assert.match(health.lastLoad.error, /has 3 columns/)
  assert.ok(log.some(({ msg, level }) => level === 50 && msg.includes('ipv4.csv:4')))
  await writeSmallTable(files, 'two')
  await service.reload('repaired')
  assert.equal(await asnOf(url), 64501)
})

test('reloads that are asked for while one runs become one more, which sees the newest files', async (t) => {
  const { service, files, url } = await testService(t)
  const first = service.reload('first')
  await writeSmallTable(files, 'two')
  const others = [service.reload('second'), service.reload('third'), service.reload('fourth')]
  const [a, ...rest] = await Promise.all([first, ...others])
  assert.equal(a.table?.generation, 2)
  for (const { table } of rest) assert.equal(table?.generation, 3)
  assert.equal(await asnOf(url), 64501)
  assert.equal(await metric(url, 'percpu_table_generation'), 3)
})

test('changed files are reloaded by themselves', async (t) => {
  const { files, url } = await testService(t, { watch: true })
  await writeSmallTable(files, 'two')
  // Two files changed: one load, or two.
  while ((await asnOf(url)) !== 64501 || (await asnOf(url, '2001:db8::1')) !== 64502);
  await writeFile(files.ipv4, smallTables.one.ipv4)
  while ((await asnOf(url)) !== 13335);
})

test('lookups go on during reloads: every answer is that of one table or the other', async (t) => {
  const { service, files, url } = await testService(t)
  const state = { reloading: true }
  const reloads = (async () => {
    for (const name of ['two', 'one', 'two', 'one', 'two', 'one', 'two', 'one'] as const) {
      await writeSmallTable(files, name)
      const { error } = await service.reload(name)
      assert.equal(error, undefined)
    }
    state.reloading = false
  })()
  const seen = new Set<string>()
  let batches = 0
  const body = '1.1.1.1\n'.repeat(5000)
  while (state.reloading) {
    const text = await (
      await fetch(`${url}/lookup`, { method: 'POST', body, headers: { 'content-type': 'text/plain' } })
    ).text()
    const lines = text.trimEnd().split('\n')
    assert.equal(lines.length, 5000)
    for (const line of lines) seen.add(line)
    seen.add(await (await fetch(`${url}/lookup/1.1.1.1`)).text())
    batches++
  }
  await reloads
  assert.ok(batches > 0)
  const one =
    '{"address":"1.1.1.1","range":{"start":"1.1.1.0","end":"1.1.1.255"},"asn":13335,"organisation":"Cloudflare, Inc."}'
  const two =
    '{"address":"1.1.1.1","range":{"start":"1.1.1.0","end":"1.1.2.255"},"asn":64501,"organisation":"Second"}'
  for (const line of seen) assert.ok(line === one || line === two, line)
  await untilMetric(url, 'percpu_table_generation', 9)
})
