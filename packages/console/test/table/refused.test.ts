/**
 * Broken files are refused with the numbers of their lines, all at once, and leave the table before
 * in place.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { FileError, loadTable, LoadError, lookUp, parseAddress, TableRefusedError } from 'percpu-console'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { testMachine, verifyTable } from '../helpers/machine.js'

const good4 = '1.0.0.0,1.0.0.255,1,One\n2.0.0.0,2.0.0.255,2,Two\n'
const good6 = '2001:db8::,2001:db8::ff,3,Three\n'

interface Case {
  readonly name: string
  readonly ipv4?: string
  readonly ipv6?: string
  /** `file:line`, and what the problem's text has to say. */
  readonly problems: readonly (readonly [place: string, text: RegExp])[]
}

const cases: readonly Case[] = [
  {
    name: 'wrong numbers of columns',
    ipv4: '1.0.0.0,1.0.0.255,1,One\n2.0.0.0,2.0.0.255,2\n3.0.0.0,3.0.0.255,3,Three,more\n',
    problems: [
      ['ipv4.csv:2', /has 3 columns, expected 4/],
      ['ipv4.csv:3', /has 5 columns, expected 4/],
    ],
  },
  {
    name: 'no addresses',
    ipv4: 'start,end,1,One\n\n1.0.0.300,2.0.0.0,2,Two\n',
    problems: [
      ['ipv4.csv:1', /first address 'start' is refused: not an IPv4 or IPv6 address/],
      ['ipv4.csv:1', /last address 'end'/],
      ['ipv4.csv:3', /first address '1.0.0.300' is refused: .*300 is above 255/],
    ],
  },
  {
    name: 'an end before its start',
    ipv4: `${good4}4.0.0.9,4.0.0.8,4,Four\n`,
    problems: [['ipv4.csv:3', /ends at 4.0.0.8, before its start 4.0.0.9/]],
  },
  {
    name: 'an end before its start, in IPv6',
    ipv6: '::2,::1,4,Four\n',
    problems: [['ipv6.csv:1', /ends at ::1, before its start ::2/]],
  },
  {
    name: 'overlapping ranges',
    ipv4: `${good4}1.0.0.255,1.0.1.255,9,Nine\n`,
    problems: [['ipv4.csv:3', /1.0.0.255-1.0.1.255 overlaps 1.0.0.0-1.0.0.255 of line 1/]],
  },
  {
    name: 'a range within another, not next to it',
    ipv6: '2001::,2002::,1,A\n2001:1::,2001:1::1,2,B\n2001:2::,2001:2::1,3,C\n',
    problems: [
      ['ipv6.csv:2', /of line 1/],
      ['ipv6.csv:3', /2001:2::-2001:2::1 overlaps 2001::-2002:: of line 1/],
    ],
  },
  {
    name: 'the same range twice',
    ipv4: good4 + good4,
    problems: [
      ['ipv4.csv:3', /of line 1/],
      ['ipv4.csv:4', /of line 2/],
    ],
  },
  {
    name: 'families mixed up',
    ipv4: `${good4}2001:db8::,2001:db8::1,1,One\n`,
    ipv6: `${good6}9.0.0.0,9.0.0.1,1,One\n::ffff:1.2.3.4,::ffff:1.2.3.4,1,One\n`,
    problems: [
      ['ipv4.csv:3', /'2001:db8::' is IPv6, in a file of IPv4/],
      ['ipv4.csv:3', /'2001:db8::1' is IPv6/],
      ['ipv6.csv:2', /'9.0.0.0' is IPv4, in a file of IPv6/],
      ['ipv6.csv:2', /'9.0.0.1' is IPv4/],
      ['ipv6.csv:3', /is IPv4 mapped to IPv6, in a file of IPv6/],
      ['ipv6.csv:3', /is IPv4 mapped to IPv6, in a file of IPv6/],
    ],
  },
  {
    name: 'bad AS numbers',
    ipv4: ['', 'AS1', '-1', '1.5', '4294967296', '99999999999']
      .map((asn, i) => `${i + 1}.0.0.0,${i + 1}.0.0.1,${asn},X\n`)
      .join(''),
    problems: [1, 2, 3, 4, 5, 6].map(
      (line) => [`ipv4.csv:${line}`, /AS number '.*' is not a whole number of 0–4294967295/] as const,
    ),
  },
  {
    name: 'a quote that is never closed',
    ipv4: `${good4}3.0.0.0,3.0.0.1,3,"Three\n4.0.0.0,4.0.0.1,4,Four\n`,
    problems: [['ipv4.csv:3', /is not CSV.*: Quote Not Closed/]],
  },
]

for (const { name, ipv4 = good4, ipv6 = good6, problems } of cases) {
  test(`refused: ${name}`, async (t) => {
    const folder = await temporaryFolder(t)
    const { machine, name, table } = testMachine(t)
    await loadTable(machine, name, await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6))
    const before = machine.heap.memblock.report()
    const error = await loadTable(machine, name, await writeTables(folder, ipv4, ipv6)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof TableRefusedError, String(error))
    assert.equal(error.details['total'], problems.length)
    assert.equal(error.problems.length, problems.length)
    problems.forEach(([place, text], i) => {
      const { file = '', line = 0, text: found = '' } = error.problems[i] ?? {}
      assert.ok(`${file}:${line}`.startsWith(join(folder, place)), `problem ${i} is at ${file}:${line}`)
      assert.match(found, text)
      assert.ok(error.message.includes(`${file}:${line}: ${found}`))
    })
    assert.deepEqual(machine.heap.memblock.report(), before)
    assert.equal(table.summary().generation, 1)
    assert.equal(lookUp(table, '1.1.1.1', parseAddress('1.1.1.1') ?? assert.fail())?.asn, 13335)
  })
}

test('the first 20 problems of many are listed, and all are counted', async (t) => {
  const { machine, name } = testMachine(t)
  const bad = Array.from({ length: 1000 }, (_, i) => `bad${i},1.0.0.0,1,X\n`).join('')
  const files = await writeTables(await temporaryFolder(t), bad, good6)
  await assert.rejects(loadTable(machine, name, files), (error) => {
    assert.ok(error instanceof TableRefusedError)
    assert.equal(error.problems.length, 20)
    assert.deepEqual(
      error.problems.map(({ line }) => line),
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
    assert.match(error.message, /1000 problems.*\n(.*\n){20} {2}and 980 more$/)
    return true
  })
})

test('the overlap that the packaged data is known to have is tolerated: the later start answers', async (t) => {
  const { machine, name, table } = testMachine(t)
  const overlap = '214.95.0.0,215.0.255.255,749,First\n215.0.0.0,215.1.3.255,721,Second\n'
  const loaded = await loadTable(machine, name, await writeTables(await temporaryFolder(t), overlap, good6))
  assert.equal(loaded.knownOverlaps, 1)
  const asnOf = (text: string) => lookUp(table, text, parseAddress(text) ?? assert.fail())?.asn
  assert.deepEqual(
    ['214.95.0.0', '214.255.255.255', '215.0.0.0', '215.0.255.255', '215.1.3.255'].map(asnOf),
    [749, 749, 721, 721, 721],
  )
})

test('unsorted files are sorted; blank lines, a byte-order mark and CRLF are taken', async (t) => {
  const { machine, name, table } = testMachine(t)
  const ipv4 = '\ufeff2.0.0.0,2.0.0.255,2,Two\r\n\r\n1.0.0.0,1.0.0.255,1,"One"\r\n'
  await loadTable(machine, name, await writeTables(await temporaryFolder(t), ipv4, good6))
  assert.deepEqual(lookUp(table, '1.0.0.9', { family: 4, word: 0x01000009 })?.organisation, 'One')
  assert.deepEqual(lookUp(table, '2.0.0.9', { family: 4, word: 0x02000009 })?.organisation, 'Two')
})

test('a missing file is told by its name', async (t) => {
  const { machine, name } = testMachine(t)
  const files = await writeTables(await temporaryFolder(t), good4, good6)
  const missing = `${files.ipv6}.missing`
  await assert.rejects(
    loadTable(machine, name, { ...files, ipv6: missing }),
    (error) => error instanceof FileError && error.message.includes(missing),
  )
})

test('a table for which there is no memory is refused, and nothing stays allocated', async (t) => {
  const { machine, name, table } = testMachine(t, '4 MiB')
  const folder = await temporaryFolder(t)
  const files = await writeTables(folder, good4, good6)
  await loadTable(machine, name, files)
  machine.heap.memblock.alloc({ size: machine.heap.memblock.report().largestFree - 2 ** 17, label: 'filler' })
  // The same table once more takes none.
  await loadTable(machine, name, files)
  const { entries } = table.summary()
  const { ipv4, ipv6 } = table.versions
  for (const organisations of [1, 100_000]) {
    const many = Array.from({ length: 30_000 }, (_, i) => {
      const network = `1.${i >> 8}.${i & 255}`
      return `${network}.${i % 9},${network}.255,${(i % 2) + 5},Organisation ${i % organisations}\n`
    }).join('')
    await assert.rejects(
      loadTable(machine, name, await writeTables(folder, many, good6)),
      (error) => error instanceof LoadError && /no room for/.test(error.message),
    )
    assert.equal(table.summary().entries, entries)
    assert.deepEqual(table.versions, { ipv4, ipv6 })
    verifyTable(machine)
  }
  // What was taken is there again.
  await loadTable(machine, name, await writeTables(folder, smallTables.one.ipv4, good6))
  assert.equal(lookUp(table, '1.1.1.1', parseAddress('1.1.1.1') ?? assert.fail())?.asn, 13335)
})
