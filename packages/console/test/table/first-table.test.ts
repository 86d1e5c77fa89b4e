/** The table of a service that starts: packed rows, then maps. */
import assert from 'node:assert/strict'
import { devNull } from 'node:os'
import { test } from 'node:test'
import {
  fieldsOf,
  FirstTable,
  lookUp,
  lookUpCharacters,
  openTable,
  parseAddress,
  publish,
  readKept,
  readTable,
  TABLE_NAME,
  USUAL_FORMAT,
} from 'percpu-console'
import { csv, keptTables } from '../helpers/files.js'
import { testMachine } from '../helpers/machine.js'
import { rowsOfSeed } from '../helpers/model.js'

const fields = fieldsOf(USUAL_FORMAT.columns)

function answersOf(table: FirstTable, addresses: readonly string[]): unknown[] {
  return addresses.map((text) => {
    const address = parseAddress(text)
    assert.ok(address)
    const answer = lookUp(table.now, text, address)
    const characters = lookUpCharacters(table.now, text, address)
    const said = characters === undefined ? undefined : Buffer.from(characters, 'latin1').toString()
    assert.deepEqual(said === undefined ? undefined : JSON.parse(said), answer)
    return answer
  })
}

test('rows answer as the maps do, and no longer than until these are published', async (t) => {
  const { machine, table: published } = testMachine(t)
  const { ipv4, ipv6 } = rowsOfSeed(7)
  const { files } = await keptTables(t, csv(ipv4), csv(ipv6))
  const read = await readTable(files)
  const rows = await readKept(files)
  assert.deepEqual(rows, read)
  assert.ok(rows)

  const table = new FirstTable(published, fields)
  assert.equal(table.rows, undefined)
  assert.equal(table.now, published)
  assert.equal(table.summary().rows4, 0)
  table.answerFrom(rows)
  const addresses = [...ipv4, ...ipv6].flatMap(({ start, end }) => [start, end])
  addresses.push('9.0.0.1', '10.255.0.1', '::1', '2001:db8:ffff::1')
  const early = answersOf(table, addresses)
  assert.equal(early.filter((answer) => answer === undefined).length, 4)
  const { generation, rows4, rows6, entries, bytes } = table.summary()
  assert.deepEqual([generation, rows4, rows6], [0, ipv4.length, ipv6.length])
  assert.ok(entries > 0 && bytes > rows4 * 8)
  assert.equal(table.rows, rows)

  publish(openTable(machine, TABLE_NAME), rows)
  assert.equal(table.now, published)
  assert.equal(table.rows, undefined)
  assert.deepEqual(answersOf(table, addresses), early)
  assert.deepEqual(table.summary(), published.summary())
  assert.equal(table.summary().generation, 1)
  // It is too late for others.
  table.answerFrom(rows)
  assert.equal(table.now, published)
})

test('there are rows only if both files have theirs, and some', async (t) => {
  const [line4, line6] = ['1.0.0.0,1.0.0.255,1,One\n', '2001:db8::,2001:db8::ff,2,Two\n']
  const { files } = await keptTables(t, line4, line6)
  const { ipv4, ipv6 } = files
  assert.equal(await readKept(files), undefined)
  await readTable({ ipv4, ipv6: devNull, keepPacked: true })
  assert.equal(await readKept(files), undefined)
  const one = await readKept({ ipv4, ipv6: devNull, keepPacked: true })
  assert.deepEqual([one?.ipv4.length, one?.ipv6.length, one?.skipped.lines], [1, 0, 0])
  assert.equal(await readKept({ ipv4: devNull, ipv6: devNull, keepPacked: true }), undefined)
  await readTable(files)
  assert.equal((await readKept(files))?.ipv6.length, 1)
  assert.equal(await readKept({ ipv4, ipv6 }), undefined)
  assert.equal(await readKept({ ...files, keepPacked: false }), undefined)
})
