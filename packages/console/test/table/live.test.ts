/** Tables that change while they are read: by reloads, and by single changes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import {
  AbortedError,
  answerBatch,
  AnswerWriter,
  loadTable,
  lookUp,
  openTable,
  parseAddress,
  publish,
  readTable,
  settle,
} from 'percpu-console'
import { csv, smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { testMachine, testPool, verifyTable } from '../helpers/machine.js'
import type { ModelEnd, ModelSetup } from '../helpers/model-worker.js'
import { rowsOfSeed } from '../helpers/model.js'
import { testService } from '../helpers/service.js'

function startModel(machine: Machine, setup: Omit<ModelSetup, 'handle'>): Worker {
  const workerData: ModelSetup = { handle: machine.handle, ...setup }
  const worker = new Worker(new URL('../helpers/model-worker.js', import.meta.url), { workerData })
  machine.supervise(worker)
  return worker
}

test('a reload in which three rows differ writes these', async (t) => {
  const { machine, name, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = rowsOfSeed(1)
  const first = await loadTable(machine, name, await writeTables(folder, csv(ipv4), csv(ipv6)))
  const maps = openTable(machine, name)
  assert.ok(maps.ipv4.report().nodes > 15)
  const { entries } = table.summary()
  const before = table.versions
  const other = ipv4.map((row, i) => ([10, 500, 1000].includes(i) ? { ...row, organisation: 'Other' } : row))
  // What is new lies beside what it replaces as long as somebody reads that.
  const used = machine.heap.memblock.report().used
  const { changed, generation } = await loadTable(
    machine,
    name,
    await writeTables(folder, csv(other), csv(ipv6)),
  )
  assert.deepEqual([first.changed > 1000, changed, generation], [true, 3, 2])
  assert.deepEqual(table.versions, { ipv4: before.ipv4 + 1, ipv6: before.ipv6 })
  assert.ok(table.summary().entries <= entries + 3)
  assert.ok(machine.heap.memblock.report().used - used < 2 ** 20)
  verifyTable(machine)
  const same = await loadTable(machine, name, await writeTables(folder, csv(other), csv(ipv6)))
  assert.equal(same.changed, 0)
  assert.deepEqual(table.versions, { ipv4: before.ipv4 + 1, ipv6: before.ipv6 })
})

test('while 100 tables replace each other, each thread is answered from whole ones', async (t) => {
  const { machine, name } = testMachine(t, '32 MiB')
  const folder = await temporaryFolder(t)
  const maps = openTable(machine, name)
  const load = async (seed: number): Promise<void> => {
    const { ipv4, ipv6 } = rowsOfSeed(seed)
    const rows = await readTable(await writeTables(folder, csv(ipv4), csv(ipv6)))
    publish(maps, rows)
    await settle(maps)
  }
  await load(1)
  const workers = [1, 2].map((seed) => startModel(machine, { seed }))
  const failed = new Promise<never>((_, reject) => workers.forEach((worker) => worker.once('error', reject)))
  failed.catch(() => undefined)
  await Promise.race([failed, Promise.all(workers.map((worker) => once(worker, 'message')))])
  for (let seed = 2; seed <= 100; seed++) await Promise.race([failed, load(seed)])
  for (const worker of workers) {
    const ended = once(worker, 'message') as Promise<[ModelEnd]>
    const left = once(worker, 'exit')
    worker.postMessage('stop')
    const [{ checks, versions }] = await Promise.race([failed, ended])
    await left
    assert.ok(checks > versions / 2 && versions > 5, `${checks} checks of ${versions} versions`)
  }
  assert.deepEqual([maps.ipv4.version, maps.ipv6.version], [100, 100])
  verifyTable(machine)
})

test('a range that another thread changes is answered anew, and a reload takes it back', async (t) => {
  const { service, url } = await testService(t)
  const asnOf = async (address: string) =>
    ((await (await fetch(`${url}/lookup/${address}`)).json()) as { asn?: number }).asn
  const batch = async (address: string) =>
    (await (
      await fetch(`${url}/lookup`, {
        method: 'POST',
        body: address,
        headers: { 'content-type': 'text/plain' },
      })
    ).json()) as { asn: number; range: unknown }
  const change = { from: 0x01010180, to: 0x01010203, as: 0x08080808 }
  assert.equal(await asnOf('1.1.2.1'), undefined)
  const left = once(startModel(service.machine, { seed: 0, change }), 'exit')
  await left
  assert.deepEqual(await Promise.all(['1.1.1.127', '1.1.1.128', '1.1.2.3'].map(asnOf)), [13335, 15169, 15169])
  assert.equal((await batch('1.1.1.128')).asn, 15169)
  assert.deepEqual((await batch('1.1.1.1')).range, { start: '1.1.1.0', end: '1.1.1.127' })
  const { table } = await service.reload('test')
  assert.equal(table?.changed, 2)
  assert.deepEqual(await Promise.all(['1.1.1.128', '1.1.2.3'].map(asnOf)), [13335, undefined])
})

test('a pair that a changed range needs stays, and one that is gone is told as unknown', async (t) => {
  const { machine, name, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const { one, two } = smallTables
  await loadTable(machine, name, await writeTables(folder, one.ipv4, one.ipv6))
  const maps = openTable(machine, name)
  const value = maps.ipv4.lookup(0x01010101) ?? assert.fail()
  const before = table.pair(value >>> 1)
  publish(maps, await readTable(await writeTables(folder, two.ipv4, two.ipv6)))
  // Another thread comes between what is published and what is deleted.
  maps.ipv4.set(0x0b000000, 0x0b0000ff, value)
  await settle(maps)
  assert.deepEqual(table.pair(table.find4(0x0b000001)), before)
  verifyTable(machine)
  // It has kept a number for too long.
  maps.ipv4.set(0x0c000000, 0x0c0000ff, 123_456 * 2)
  const answer = lookUp(table, '12.0.0.1', parseAddress('12.0.0.1') ?? assert.fail())
  assert.deepEqual(answer, {
    address: '12.0.0.1',
    range: { start: '12.0.0.0', end: '12.0.0.255' },
    asn: null,
    organisation: null,
  })
  const { buffer, length } = answerBatch(new AnswerWriter(table), Buffer.from('12.0.0.1\n'), 'text')
  assert.deepEqual(JSON.parse(Buffer.from(buffer, 0, length).toString()), answer)
})

test('a first table has nothing to settle, and counts its memory as settling would', async (t) => {
  const { machine, name, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const { one, two } = smallTables
  const maps = openTable(machine, name)
  const first = publish(maps, await readTable(await writeTables(folder, one.ipv4, one.ipv6)))
  assert.equal(first.isSettled, true)
  const { bytes } = table.summary()
  await settle(maps)
  assert.ok(bytes > 0)
  assert.equal(table.summary().bytes, bytes)
  // Pairs of the one before are deleted when nobody needs them any more.
  const next = publish(maps, await readTable(await writeTables(folder, two.ipv4, two.ipv6)))
  assert.equal(next.isSettled, false)
  await settle(maps)
  verifyTable(machine)
})

test('a load whose thread is ended at any moment leaves a whole table', async (t) => {
  const { machine, name, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const filesOf = async (seed: number) => {
    const { ipv4, ipv6 } = rowsOfSeed(seed)
    return writeTables(folder, csv(ipv4), csv(ipv6))
  }
  await loadTable(machine, name, await filesOf(1))
  await testPool(t, machine, 1)
  for (let delay = 0; delay < 12; delay++) {
    const abort = new AbortController()
    const before = table.versions
    const loading = loadTable(machine, name, await filesOf(2 + delay), {
      signal: abort.signal,
      onProgress: ({ bytes, total }) => {
        if (bytes === total) setTimeout(() => abort.abort(), delay * 4)
      },
    })
    const error: unknown = await loading.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error === undefined) continue
    assert.ok(error instanceof AbortedError)
    const { ipv4, ipv6 } = table.versions
    assert.ok(ipv4 - before.ipv4 <= 1 && ipv6 - before.ipv6 <= ipv4 - before.ipv4)
    openTable(machine, name).ipv4.verify()
    openTable(machine, name).ipv6.verify()
    openTable(machine, name).pairs.verify({ quiet: true })
  }
  await loadTable(machine, name, await filesOf(1))
  verifyTable(machine)
})
