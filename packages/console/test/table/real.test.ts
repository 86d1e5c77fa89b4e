/**
 * The packaged tables: each of their 515,158 ranges in one thread, every fourth in another, before,
 * during and after reloads.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test, type TestContext } from 'node:test'
import { loadTable, packagedFiles, type AddressTable, type TableFiles } from 'percpu-console'
import { csv, readRows, smallTables, temporaryFolder, writeTables, type Row } from '../helpers/files.js'
import { testMachine, verifyTable } from '../helpers/machine.js'
import { Verifier } from '../helpers/verifier.js'
import { canonicalRow, changedRow, checkLines, cutRows, Expectation } from '../helpers/verify.js'

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
  const { machine, name, table } = testMachine(t)
  await loadTable(machine, name, files)
  const verifiers = [await Verifier.start(t, machine, files)]
  const cut4 = cutRows(rows4)
  const expectation = new Expectation(cut4, rows6)
  const rows = 515_158
  for (const next of [other, undefined]) {
    const { generation } = table.summary()
    // The other thread looks at all of them.
    assert.ok(expectation.check(table, generation, 4) > rows / 4 - 2)
    checkLines(table, cut4)
    checkLines(table, rows6)
    const checked = await Promise.all(verifiers.map((verifier) => verifier.checkAll()))
    for (const result of checked) assert.deepEqual(result, { type: 'checked all', version: generation, rows })
    if (next) await loadTable(machine, name, next)
  }
  for (const verifier of verifiers) {
    const { versions } = await verifier.stop()
    assert.deepEqual(versions, [1, 2])
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
  // Room for a few small tables: memory is used again at once.
  const { machine, name, table } = testMachine(t, '4 MiB')
  await loadTable(machine, name, files)
  const expectation = new Expectation(rows4, rows6)
  const verifiers = await Promise.all([1, 2].map(() => Verifier.start(t, machine, files)))
  const reloads = 8
  for (let i = 0; i < reloads; i++) {
    await checkWhile(table, expectation, loadTable(machine, name, i % 2 === 0 ? other : files))
  }
  for (const verifier of verifiers) {
    const { stretches, versions } = await verifier.stop()
    assert.ok(
      stretches > versions.length && versions.length > reloads / 2,
      `saw versions ${versions.join(' ')}`,
    )
  }
  verifyTable(machine)
})

/** Checks samples in the main thread until the load is done. */
async function checkWhile(
  table: AddressTable,
  expectation: Expectation,
  loading: Promise<unknown>,
): Promise<void> {
  const state = { loading: true }
  const finished = loading.finally(() => (state.loading = false))
  for (let sample = 0; state.loading; sample++) {
    await table.hold(() => expectation.check(table, sample, 997))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await finished
}

test('a table stays in place as long as a thread is in the middle of reading it, however many are waiting', async (t) => {
  const { ipv4, ipv6 } = smallTables.one
  const files = await writeTables(await temporaryFolder(t), ipv4, ipv6)
  const { machine, name, table } = testMachine(t)
  await loadTable(machine, name, files)
  const verifier = await Verifier.start(t, machine, files)
  const flag = new Int32Array(new SharedArrayBuffer(8))
  const held = verifier.hold(flag)
  const turns = async (isOver: (turn: number) => boolean) => {
    for (let turn = 0; !isOver(turn); turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  await turns(() => Atomics.load(flag, 1) === 1)
  const loading = loadTable(
    machine,
    name,
    await writeChanged(t, await readRows(files.ipv4), await readRows(files.ipv6)),
  )
  await turns(() => table.summary().generation === 2)
  const pairs = () => table.summary().entries
  await turns((turn) => turn === 2000)
  assert.equal(pairs(), 6)
  Atomics.store(flag, 0, 1)
  assert.equal((await held).version, 1)
  await loading
  assert.equal(pairs(), 3)
  verifyTable(machine)
})

test('a thread that looks away while tables come and go sees the newest one', async (t) => {
  const { machine, name, table } = testMachine(t)
  const folder = await temporaryFolder(t)
  const load = async (asn: number) => {
    const row = { start: '1.0.0.0', end: '1.0.0.255', organisation: 'X' }
    await loadTable(machine, name, await writeTables(folder, csv([{ ...row, asn }]), smallTables.one.ipv6))
  }
  const asn = () => table.pair(table.find4(0x01000001)).asn
  await load(1)
  assert.equal(asn(), 1)
  for (let next = 2; next <= 20; next++) await load(next)
  assert.equal(asn(), 20)
  assert.equal(table.summary().generation, 20)
  assert.equal(table.summary().entries, 2)
})
