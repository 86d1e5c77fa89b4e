/** Files as others write them: what is refused in which words, and the options that read it. */
import assert from 'node:assert/strict'
import { appendFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  AddressTable,
  answerBatch,
  AnswerWriter,
  fieldsOf,
  lookUp,
  openTable,
  parseAddress,
  parseColumns,
  publish,
  readTable,
  TableRefusedError,
  USUAL_FORMAT,
  type TableFormat,
  type TableRows,
} from 'percpu-console'
import { testMachine } from '../helpers/machine.js'

const folder = await mkdtemp(join(tmpdir(), 'percpu-console-'))
after(() => rm(folder, { recursive: true }))
const good6 = '2001:db8::,2001:db8::ff,3,Three\n'
let files = 0

type Options = Partial<Omit<TableFormat, 'columns'>> & { readonly columns?: string }

async function rowsOf(ipv4: string | Buffer, { columns, ...options }: Options = {}): Promise<TableRows> {
  const file = join(folder, `${files++}.csv`)
  writeFileSync(file, ipv4)
  const format = {
    ...USUAL_FORMAT,
    ...options,
    columns: parseColumns(columns ?? 'first,last,asn,organisation'),
  }
  return readTable({ ipv4: file, ipv6: devNull, format })
}

/** What a table of this IPv4 file says, range by range: start, end and data. */
async function textsOf(ipv4: string | Buffer, options: Options = {}): Promise<unknown[]> {
  const { length, starts, ends, entries, texts, textEnds } = (await rowsOf(ipv4, options)).ipv4
  const wordOf = (column: Int32Array | undefined, row: number) => ((column?.[row] ?? 0) ^ 0x8000_0000) >>> 0
  return Array.from({ length }, (_, row) => {
    const entry = entries[row] ?? 0
    const text = Buffer.from(texts.slice(textEnds[entry - 1] ?? 0, textEnds[entry])).toString()
    return [wordOf(starts[0], row), wordOf(ends[0], row), JSON.parse(text) as unknown]
  })
}

async function refusalOf(ipv4: string | Buffer, options: Options = {}): Promise<string[]> {
  const error = await rowsOf(ipv4, options).then(
    () => assert.fail('not refused'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof TableRefusedError, String(error))
  assert.equal(error.details['total'], error.problems.length)
  return error.problems.map(({ line, text }) => `${line}: ${text}`)
}
const usual = (first: number, last: number, asn: number, organisation: string) => [
  first,
  last,
  { asn, organisation },
]

test('line ends of all three kinds, mixed, with the right line numbers', async () => {
  const mixed =
    '0.0.0.1,0.0.0.1,1,A\n0.0.0.2,0.0.0.2,2,B\r\n0.0.0.3,0.0.0.3,3,"C"\r\r\n0.0.0.5,0.0.0.5,5,E\n\r\n'
  assert.deepEqual(await textsOf(mixed), [
    usual(1, 1, 1, 'A'),
    usual(2, 2, 2, 'B'),
    usual(3, 3, 3, 'C'),
    usual(5, 5, 5, 'E'),
  ])
  assert.deepEqual(await refusalOf(`${mixed}x,0.0.0.7,7,G\r0.0.0.8,y,8,H\n`), [
    "7: first address 'x' is refused: not an IPv4 or IPv6 address",
    "8: last address 'y' is refused: not an IPv4 or IPv6 address",
  ])
})

test('bytes that are not UTF-8 are refused with their line; latin1 reads them', async () => {
  const text = '0.0.0.1,0.0.0.1,1,Genuine \ufffd\n0.0.0.2,0.0.0.2,2,Télé\n'
  const latin = Buffer.from(text.replace('\ufffd', ''), 'latin1')
  assert.deepEqual((await textsOf(text))[0], usual(1, 1, 1, 'Genuine \ufffd'))
  assert.deepEqual(await refusalOf(latin), [
    '2: holds bytes that are not UTF-8: --encoding latin1 reads Latin-1',
  ])
  assert.deepEqual((await textsOf(latin, { encoding: 'latin1' }))[1], usual(2, 2, 2, 'Télé'))
})

test('a quote that closes on another line, wrongly or never is told where it opens', async () => {
  const opened = '0.0.0.1,0.0.0.1,1,A\n\n0.0.0.2,0.0.0.2,2,"B\n0.0.0.3,0.0.0.3,3,C\n'
  const [later = ''] = await refusalOf(`${opened}0.0.0.4,0.0.0.4,4,D"\n`)
  assert.match(later, /^3: has a quote that closes on line 5 only: .*--multiline/)
  const [never = ''] = await refusalOf(opened)
  assert.match(never, /^3: is not CSV, in a quote that is opened here: Quote Not Closed/)
  const wrongly = await refusalOf(`${opened}0.0.0.4,0.0.0.4,4,"D"\nx,0.0.0.5,5,E\n`)
  assert.match(wrongly[0] ?? '', /^3: is not CSV, in a quote that is opened here: Invalid Closing Quote/)
  assert.deepEqual(wrongly.slice(1), ["6: first address 'x' is refused: not an IPv4 or IPv6 address"])
  const long = await refusalOf(`${opened}${'0.0.0.9,0.0.0.9,9,Nine\n'.repeat(5000)}`)
  assert.match(long[0] ?? '', /^3: is not CSV, in a quote that is opened here: Max Record Size/)
  assert.deepEqual(
    await textsOf('0.0.0.1,0.0.0.1,1,"A\nB"\r\n0.0.0.2,0.0.0.2,2,"C"\n', { multiline: true }),
    [usual(1, 1, 1, 'A\nB'), usual(2, 2, 2, 'C')],
  )
})

test('packed with gzip, whatever the name; cut short it is refused', async () => {
  const packed = gzipSync('0.0.0.1,0.0.0.9,1,A\n')
  assert.deepEqual(await textsOf(packed), [usual(1, 9, 1, 'A')])
  assert.match(
    (await refusalOf(packed.subarray(0, -9)))[0] ?? '',
    /^0: is not gzip to its end: unexpected end/,
  )
  assert.match((await refusalOf(gzipSync('0.0.0.1,0.0.0.9,1,A')))[0] ?? '', /^1: has no line end/)
})

/** A file as somebody publishes it, the options that a refusal names, and its first range. */
const published: readonly (readonly [name: string, text: string, options: string, range: unknown])[] = [
  [
    'a header',
    'range_start,range_end,as_number,as_name\n0.0.0.0,0.0.0.255,13335,Cloudflare\n0.0.1.0,0.0.1.255,1,X\n',
    '--header',
    usual(0, 255, 13335, 'Cloudflare'),
  ],
  [
    'networks under a header',
    'network,autonomous_system_number,autonomous_system_organization\n0.0.1.0/24,13335,"Cloudflare, Inc."\n',
    '--header --columns network,asn,organisation',
    usual(256, 511, 13335, 'Cloudflare, Inc.'),
  ],
  [
    'numeric addresses',
    '"256","511","AU","Australia"\n"512","515","CN","China"\n',
    '--columns first:number,last:number,country,column4',
    [256, 511, { country: 'AU', column4: 'Australia' }],
  ],
  [
    'AS numbers as people write them',
    '0.0.0.1\t0.0.0.2\tAS13335\tCloudflare\n0.0.0.3\t0.0.0.3\t\tNobody\n',
    '--separator tab --columns first,last,asn:as,organisation',
    usual(1, 2, 13335, 'Cloudflare'),
  ],
  ['another separator', '0.0.0.1;0.0.0.2;5;Five, Inc.\n', "--separator ';'", usual(1, 2, 5, 'Five, Inc.')],
  ['countries', '0.0.0.1,0.0.0.2,AU\n', '--columns first,last,country', [1, 2, { country: 'AU' }]],
  [
    'cities',
    'start_ip,end_ip,city,latitude,postcode\n0.0.0.1,0.0.0.2,Sydney,-33.9,2000\n0.0.0.4,0.0.0.4,Perth,,6000\n',
    '--header --columns first,last,city,latitude:number,postcode',
    [1, 2, { city: 'Sydney', latitude: -33.9, postcode: '2000' }],
  ],
  ['single addresses', '0.0.0.7,seven\n', '--columns address,column2', [7, 7, { column2: 'seven' }]],
]
for (const [name, text, options, range] of published) {
  test(`one diagnosis, with the options that read it: ${name}`, async () => {
    const problems = await refusalOf(text)
    assert.equal(problems.length, 1)
    assert.match(problems[0] ?? '', /^1: is not written as first,last,asn,organisation: line 1 is '.+'\. /)
    assert.ok(problems[0]?.endsWith(`These options read it: ${options}`), problems[0])
    const parsed = {
      header: options.includes('--header'),
      separator: options.includes('--separator tab') ? '\t' : (/--separator '(.)'/.exec(options)?.[1] ?? ','),
      columns: /--columns (\S+)/.exec(options)?.[1] ?? 'first,last,asn,organisation',
    }
    assert.deepEqual((await textsOf(text, parsed))[0], range)
  })
}

test('a file of the other family, and one with bad lines that no option reads', async () => {
  assert.match(
    (await refusalOf(good6))[0] ?? '',
    /^1: holds ranges of IPv6, not of IPv4: .*; --ipv6 takes them$/,
  )
  const bad = await refusalOf('0.0.0.1,0.0.0.2,five,A\n0.0.0.3,0.0.0.4,6,B\n0.0.0.5,0.0.0.6,seven,C\n')
  assert.deepEqual(
    bad.map((text) => text.slice(0, 20)),
    ["1: AS number 'five' ", "3: AS number 'seven'"],
  )
})

test('networks, numbers and AS numbers that are none are refused', async () => {
  const networks = [
    '1.0.0.0/33',
    '1.0.0.1/24',
    '1.0.0.0',
    '1.0.0.0/08',
    '::/0',
    'x/8',
    '1.2.3.4/32',
    '0.0.0.0/0',
  ]
  const problems = await refusalOf(networks.map((network) => `${network},A\n`).join(''), {
    columns: 'network,name',
  })
  assert.deepEqual(
    problems.map((text) => text.replace(/(refused|IPv6).*: /, '')),
    [
      "1: network '1.0.0.0/33' is expected an address, '/', and the bits of its prefix",
      "2: network '1.0.0.1/24' is its address has bits behind the prefix",
      "3: network '1.0.0.0' is expected an address, '/', and the bits of its prefix",
      "4: network '1.0.0.0/08' is expected an address, '/', and the bits of its prefix",
      "5: network '::' is IPv6, in a file of IPv4",
      "6: network 'x' is not an IPv4 or IPv6 address",
      '7: 1.2.3.4-1.2.3.4 overlaps 0.0.0.0-255.255.255.255 of line 8',
    ].map((text) => text.replace(/(refused|IPv6).*: /, '')),
  )
  const numbers = await refusalOf('1,4294967296,AS1,1\n-1,5,ASx,2\n1,1,AS4294967296,x\n2,3,,\n', {
    columns: 'first:number,last:number,asn:as,height:number',
  })
  assert.deepEqual(numbers, [
    "1: last address '4294967296' is refused: not a whole number below 2^32",
    "2: first address '-1' is refused: not a whole number below 2^32",
    "2: AS number 'ASx' is not a whole number of 0–4294967295 after 'AS'",
    "3: AS number 'AS4294967296' is not a whole number of 0–4294967295 after 'AS'",
    "3: height 'x' is not a decimal number",
  ])
})

test('columns that make no table are refused', () => {
  for (const [columns, message] of [
    ['first,asn', /either first and last, or network, or address/],
    ['network,address,asn', /either/],
    ['network,first,asn', /either/],
    ['first,last', /no column is left/],
    ['first,last,-,name,name', /name is there twice/],
    ['first,last,range', /'range' has no name/],
    ['first,last,a b', /'a b' has no name/],
    ['first,last,a:b', /'a:b' has no type that there is: text, number, asn, as/],
    ['network:number,a', /'network:number' holds addresses/],
    [`first,last${',x'.repeat(25).replace(/x/g, () => `x${files++}`)}`, /25 columns of data, 24 at most/],
  ] as const)
    assert.throws(() => parseColumns(columns), message)
})

test('of ranges in each other the shortest answers with most-specific, as a list says that is searched', async () => {
  const ranges = [
    [0, 255, 1],
    [16, 31, 2],
    [16, 31, 3],
    [20, 20, 4],
    [24, 40, 5],
    [200, 300, 6],
    [250, 260, 7],
    [302, 302, 8],
  ] as const
  const text = ranges.map(([first, last, asn]) => `${first},${last},${asn}\n`).join('')
  const columns = 'first:number,last:number,asn'
  assert.equal((await refusalOf(text, { columns })).length, 6)
  const rows = (await textsOf(text, { columns, overlap: 'most-specific' })) as [
    number,
    number,
    { asn: number },
  ][]
  for (let at = 0; at < 310; at++) {
    const [wanted] = ranges
      .map((range, line) => ({ range, line }))
      .filter(({ range: [first, last] }) => first <= at && at <= last)
      .toSorted(
        ({ range: a, line: i }, { range: b, line: j }) => a[1] - a[0] - (b[1] - b[0]) || b[0] - a[0] || j - i,
      )
    const found = rows.filter(([first, last]) => first <= at && at <= last)
    assert.deepEqual(
      found.map(([, , { asn }]) => asn),
      wanted ? [wanted.range[2]] : [],
      String(at),
    )
  }
})

test('lines that cannot be read are left out up to a number, and told', async () => {
  const text = '0.0.0.1,0.0.0.2,1,A\nx,y,z,B\n0.0.0.2,0.0.0.5,1,C\n0.0.0.3,0.0.0.5,1,D\n'
  assert.equal((await refusalOf(text, { skipBad: 1 })).length, 4)
  const { skipped } = await rowsOf(text, { skipBad: 2 })
  assert.equal(skipped.lines, 2)
  assert.deepEqual(
    skipped.problems.map(({ line }) => line),
    [2, 2, 2, 3],
  )
  assert.deepEqual(await textsOf(text, { skipBad: 2 }), [usual(1, 2, 1, 'A'), usual(3, 5, 1, 'D')])
  // What concerns a file as a whole is no bad line.
  assert.match((await refusalOf(text.trimEnd(), { skipBad: 99 })).at(-1) ?? '', /has no line end/)
  assert.match((await refusalOf('x,y\n', { skipBad: 9 })).join(), /0: holds no range/)
})

test('a table of own columns answers with them, in one form and the other', async (t) => {
  const { machine } = testMachine(t)
  const columns = 'network,-,country,latitude:number'
  const text = '1.0.0.0/8,x,"A ""B""",-1.50\n2.0.0.0/8,x,,\n'
  publish(openTable(machine, 'own'), await rowsOf(text, { columns }))
  const table = new AddressTable(machine, 'own', fieldsOf(parseColumns(columns)))
  const wanted = {
    address: '1.2.3.4',
    range: { start: '1.0.0.0', end: '1.255.255.255' },
    country: 'A "B"',
    latitude: -1.5,
  }
  assert.deepEqual(lookUp(table, '1.2.3.4', parseAddress('1.2.3.4') ?? assert.fail()), wanted)
  const { buffer, length } = answerBatch(
    new AnswerWriter(table),
    Buffer.from('1.2.3.4\n2.0.0.0\n3.0.0.0\n'),
    'text',
  )
  assert.deepEqual(
    Buffer.from(buffer, 0, length)
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    [
      wanted,
      { address: '2.0.0.0', range: { start: '2.0.0.0', end: '2.255.255.255' }, country: '', latitude: null },
      { address: '3.0.0.0', range: null, country: null, latitude: null },
    ],
  )
})

test('a file that grows while it is read is refused, not diagnosed', async () => {
  const file = join(folder, `${files++}.csv`)
  writeFileSync(file, '0.0.0.1,0.0.0.2,1,A\n')
  let has = false
  const reading = readTable(
    { ipv4: file, ipv6: file },
    {
      onBytes() {
        if (!has) appendFileSync(file, 'x')
        has = true
      },
    },
  )
  await assert.rejects(reading, /was changed while it was read/)
})
