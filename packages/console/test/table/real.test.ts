/**
 * The packaged tables: each of their 515,158 ranges in one thread, every fourth in another, before,
 * during and after reloads.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test, type TestContext } from 'node:test'
import { loadTable, packagedFiles, type FlatTable, type TableFiles } from 'percpu-console'
import { csv, readRows, smallTables, temporaryFolder, writeTables, type Row } from '../helpers/files.js'
import { testMachine } from '../helpers/machine.js'
import { Verifier } from '../helpers/verifier.js'
import { canonicalRow, changedRow, checkLines, Expectation } from '../helpers/verify.js'

function changed(rows: readonly Row[]): Row[] {
  return rows.flatMap((row, i) => changedRow(row, i) ?? [])
}

async function writeChanged(
  t: TestContext,
  rows4: readonly Row[],
  rows6: readonly Row[],
): Promise<TableFiles> {
  return writeTables(await temporaryFolder(t), csv(changed(rows4)), csv(changed(rows6)))
}

test('every range answers as the CSV says, before, during and after a reload, in another thread too', async (t) => {
  const files = packagedFiles()
  const rows4 = await readRows(files.ipv4)
  const rows6 = (await readRows(files.ipv6)).map(canonicalRow)
  assert.deepEqual([rows4.length, rows6.length], [411_961, 103_197])
  const other = await writeChanged(t, rows4, rows6)
  const { machine, root, table } = testMachine(t)
  await loadTable(machine, root, files)
  const verifiers = [await Verifier.start(t, machine, files)]
  const expectation = new Expectation(rows4, rows6)
  const rows = 515_158
  for (const next of [other, undefined]) {
    table.enter()
    const { generation } = table
    // The other thread looks at all of them.
    assert.ok(expectation.check(table, generation, 4) > rows / 4 - 2)
    checkLines(table, rows4)
    checkLines(table, rows6)
    const checked = await Promise.all(verifiers.map((verifier) => verifier.checkAll()))
    for (const result of checked) assert.deepEqual(result, { type: 'checked all', generation, rows })
    if (next) await loadTable(machine, root, next)
  }
  for (const verifier of verifiers) {
    const { generations } = await verifier.stop()
    assert.deepEqual(generations, [1, 2])
  }
})

test('while tables of 6,000 ranges replace each other, every answer belongs to one of the two, in each thread', async (t) => {
  const packaged = packagedFiles()
  const folder = await temporaryFolder(t)
  const some = async (file: string, count: number) =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .slice(2000, 2000 + count)
      .map((line) => `${line}\n`)
      .join('')
  const files = await writeTables(folder, await some(packaged.ipv4, 4000), await some(packaged.ipv6, 2000))
  const rows4 = await readRows(files.ipv4)
  const rows6 = await readRows(files.ipv6)
  const other = await writeChanged(t, rows4, rows6)
  // Room for three small tables: memory is used again at once, and where an earlier table lay.
  const { machine, root, table } = testMachine(t, '4 MiB')
  await loadTable(machine, root, files)
  const expectation = new Expectation(rows4, rows6)
  const verifiers = await Promise.all([1, 2].map(() => Verifier.start(t, machine, files)))
  const reloads = 8
  for (let i = 0; i < reloads; i++) {
    await checkWhile(table, expectation, loadTable(machine, root, i % 2 === 0 ? other : files))
  }
  for (const verifier of verifiers) {
    const { stretches, generations } = await verifier.stop()
    assert.ok(
      stretches > generations.length && generations.length > reloads / 2,
      `saw generations ${generations.join(' ')}`,
    )
  }
  assert.equal(machine.heap.memblock.report().regions.filter(({ label }) => label === 'asn table').length, 1)
})

/** Checks samples in the main thread until the load is done. */
async function checkWhile(
  table: FlatTable,
  expectation: Expectation,
  loading: Promise<unknown>,
): Promise<void> {
  const state = { loading: true }
  const finished = loading.finally(() => (state.loading = false))
  for (let sample = 0; state.loading; sample++) {
    table.enter()
    expectation.check(table, sample, 997)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await finished
}

test('a table stays in place as long as a thread is in the middle of reading it, however many are waiting', async (t) => {
  const { ipv4, ipv6 } = smallTables.one
  const files = await writeTables(await temporaryFolder(t), ipv4, ipv6)
  const { machine, root, table } = testMachine(t)
  await loadTable(machine, root, files)
  const verifier = await Verifier.start(t, machine, files)
  const flag = new Int32Array(new SharedArrayBuffer(8))
  const held = verifier.hold(flag)
  const turns = async (isOver: (turn: number) => boolean) => {
    for (let turn = 0; !isOver(turn); turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  await turns(() => Atomics.load(flag, 1) === 1)
  const loading = loadTable(
    machine,
    root,
    await writeChanged(t, await readRows(files.ipv4), await readRows(files.ipv6)),
  )
  const generation = () => {
    table.enter()
    return table.generation
  }
  await turns(() => generation() === 2)
  const tables = () =>
    machine.heap.memblock.report().regions.filter(({ label }) => label === 'asn table').length
  await turns((turn) => turn === 2000)
  assert.equal(tables(), 2)
  Atomics.store(flag, 0, 1)
  assert.equal((await held).generation, 1)
  await loading
  assert.equal(tables(), 1)
})

test('a thread that looks away while tables come and go sees the newest one, though it lies where an old one lay', async (t) => {
  const { machine, root, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const load = async (asn: number) => {
    const row = { start: '1.0.0.0', end: '1.0.0.255', organisation: 'X' }
    await loadTable(machine, root, await writeTables(folder, csv([{ ...row, asn }]), smallTables.one.ipv6))
  }
  const addresses = new Set<number>()
  const tableAddress = () =>
    machine.heap.memblock.report().regions.find(({ label }) => label === 'asn table')?.address ??
    assert.fail()
  for (let asn = 1; addresses.size < asn && asn < 20; asn++) {
    await load(asn)
    if (asn === 1) table.enter()
    addresses.add(tableAddress())
  }
  const last = table.generation
  table.enter()
  assert.ok(table.generation > last + 1)
  assert.equal(table.asn(table.entry4(table.find4(0x01000001))), table.generation)
})
