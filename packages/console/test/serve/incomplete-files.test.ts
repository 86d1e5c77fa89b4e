/**
 * Files that are empty, cut short or being written: their table never goes live, and the one before
 * goes on being served.
 */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { devNull } from 'node:os'
import { test } from 'node:test'
import { loadTable, readTable, Service, TableRefusedError, type TableFiles } from 'percpu-console'
import { pino } from 'pino'
import { percpu, ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { testMachine } from '../helpers/machine.js'
import { metric, testService } from '../helpers/service.js'

const ROWS = 1000
const tables = {
  ipv4: (rows: number, organisation = 'Four') =>
    Array.from(
      { length: rows },
      (_, i) => `1.${i >> 8}.${i & 255}.0,1.${i >> 8}.${i & 255}.255,4,${organisation}\n`,
    ).join(''),
  ipv6: (rows: number, organisation = 'Six') =>
    Array.from({ length: rows }, (_, i) => {
      const network = `2001:${(i + 1).toString(16)}`
      return `${network}::,${network}::ffff,6,${organisation}\n`
    }).join(''),
}
const families = ['ipv4', 'ipv6'] as const
const refusedLoads = 'percpu_table_loads_total{result="refused"}'

interface Health {
  readonly status: string
  readonly generation: number
  readonly rows: { readonly ipv4: number; readonly ipv6: number }
  readonly lastLoad: {
    readonly published: boolean
    readonly error?: string
    readonly rows?: { readonly ipv4: number; readonly ipv6: number }
    readonly change?: { readonly ipv4: number; readonly ipv6: number }
  }
}
async function healthOf(url: string): Promise<Health> {
  return (await (await fetch(`${url}/health`)).json()) as Health
}

async function largeFiles(t: { after(fn: () => unknown): void }): Promise<TableFiles> {
  return writeTables(await temporaryFolder(t), tables.ipv4(ROWS), tables.ipv6(ROWS))
}

for (const family of families) {
  const label = `{family="${family.slice(-1)}"}`

  test(`an emptied file of ${family} is refused, which log, health and metrics tell`, async (t) => {
    const files = await largeFiles(t)
    const { service, url, log } = await testService(t, { files, maxShrink: 100 })
    writeFileSync(files[family], '')
    const { table, error, change } = await service.reload('test')
    assert.equal(table, undefined)
    assert.ok(error instanceof TableRefusedError)
    assert.match(error.message, new RegExp(`one problem in its files:\\n .*${family}\\.csv: holds no range`))
    assert.equal(change?.[family], -ROWS)
    const { status, generation, rows, lastLoad } = await healthOf(url)
    assert.deepEqual([status, generation, rows], ['degraded', 1, { ipv4: ROWS, ipv6: ROWS }])
    assert.deepEqual([lastLoad.published, lastLoad.rows?.[family], lastLoad.change], [false, 0, change])
    assert.match(lastLoad.error ?? '', /holds no range/)
    assert.equal(await metric(url, refusedLoads), 1)
    assert.equal(await metric(url, 'percpu_table_last_load_published'), 0)
    assert.equal(await metric(url, `percpu_table_last_load_change${label}`), -ROWS)
    assert.equal(await metric(url, `percpu_table_rows${label}`), ROWS)
    const told = log.find(({ msg }) => msg.startsWith('table refused'))
    assert.deepEqual([told?.level, told?.[family], told?.['change']], [50, 0, change])
    assert.equal((await fetch(`${url}/lookup/1.0.0.1`)).status, 200)
    assert.equal((await fetch(`${url}/lookup/2001:1::1`)).status, 200)
  })

  test(`a file of ${family} that lost more than --max-shrink is refused`, async (t) => {
    const files = await largeFiles(t)
    const { service, url, log } = await testService(t, { files })
    writeFileSync(files[family], tables[family](ROWS / 2 - 1))
    const { error } = await service.reload('too short')
    assert.match(
      error?.message ?? '',
      new RegExp(
        `${family}\\.csv: has 499 ranges, 501 fewer than the table that is served: at most 50 % may go`,
      ),
    )
    assert.deepEqual((await healthOf(url)).rows, { ipv4: ROWS, ipv6: ROWS })
    assert.equal(await metric(url, `percpu_table_last_load_change${label}`), -501)
    writeFileSync(files[family], tables[family](ROWS / 2))
    const half = await service.reload('half of it')
    assert.equal(half.error, undefined)
    assert.equal(await metric(url, `percpu_table_rows${label}`), ROWS / 2)
    assert.equal(await metric(url, `percpu_table_last_load_change${label}`), -ROWS / 2)
    // Growth is told as well; there is no limit to it.
    writeFileSync(files[family], tables[family](ROWS * 3))
    const { change } = await service.reload('more')
    assert.equal(change?.[family], ROWS * 2.5)
    assert.deepEqual((await healthOf(url)).lastLoad.change, change)
    assert.equal(await metric(url, `percpu_table_last_load_change${label}`), ROWS * 2.5)
    assert.deepEqual(log.findLast(({ msg }) => msg === 'table published')?.['change'], change)
  })
}

test('how much may go is settable: nothing, or all but the last range', async (t) => {
  const files = await largeFiles(t)
  const strict = await testService(t, { files, maxShrink: 0 })
  const lax = await testService(t, { files, maxShrink: 100 })
  writeFileSync(files.ipv4, tables.ipv4(ROWS - 1))
  assert.match((await strict.service.reload('one')).error?.message ?? '', /1 fewer .* at most 0 %/)
  writeFileSync(files.ipv4, tables.ipv4(1))
  assert.equal((await lax.service.reload('all but one')).table?.rows4, 1)
})

test('a last line without its end is refused, whatever is left of it', async (t) => {
  const files = await largeFiles(t)
  const { service, url } = await testService(t, { files })
  for (const family of families) {
    const whole = tables[family](ROWS)
    // In an organisation, before it, and right before the line end: each time a file of CSV, or
    // nearly so.
    for (const cut of [1, 3, 8]) {
      writeFileSync(files[family], whole.slice(0, -cut))
      const { error } = await service.reload(`${family} without ${cut}`)
      assert.ok(error instanceof TableRefusedError)
      assert.deepEqual(
        error.problems.filter(({ text }) => text.startsWith('has no line end')).map(({ line }) => line),
        [ROWS],
      )
    }
    writeFileSync(files[family], whole)
  }
  assert.equal((await healthOf(url)).generation, 1)
  assert.equal((await service.reload('whole')).error, undefined)
})

test('a file that is changed while it is read is refused', async (t) => {
  const files = await largeFiles(t)
  const changes = {
    appended: () => appendFileSync(files.ipv6, '3000::,3000::1,6,Six\n'),
    overwritten() {
      const file = openSync(files.ipv6, 'r+')
      writeSync(file, tables.ipv6(1, 'SIX'))
      closeSync(file)
    },
  }
  for (const [name, change] of Object.entries(changes)) {
    writeFileSync(files.ipv6, tables.ipv6(ROWS))
    utimesSync(files.ipv6, 1, 1)
    const total = readFileSync(files.ipv4).length
    let bytes = 0
    const building = readTable(files, {
      onBytes: (more) => {
        // The second file has begun to be read.
        const isFirst = bytes <= total
        if ((bytes += more) > total && isFirst) change()
      },
    })
    await assert.rejects(building, /ipv6\.csv: was changed while it was read/, name)
  }
})

test('a writer that pauses for longer than the watcher waits gives no partial table', async (t) => {
  const files = await largeFiles(t)
  const { service, url, log } = await testService(t, { files, watch: true })
  const organisation = async () =>
    ((await (await fetch(`${url}/lookup/1.0.0.1`)).json()) as { organisation: string }).organisation
  const served = async (name: string) => {
    while ((await organisation()) !== name || (await healthOf(url)).status !== 'ok');
  }
  const pauses = {
    // Most of the file is there, but for the end of a line; then two lines are there, with their
    // ends.
    New: Math.floor(tables.ipv4(ROWS, 'New').length * 0.9),
    Newer: tables.ipv4(2, 'Newer').length,
  }
  let before = 'Four'
  for (const [name, pause] of Object.entries(pauses)) {
    const text = tables.ipv4(ROWS, name)
    const refused = await metric(url, refusedLoads)
    const file = openSync(files.ipv4, 'w')
    writeSync(file, text.slice(0, pause))
    while ((await metric(url, refusedLoads)) === refused);
    assert.equal(await organisation(), before)
    assert.equal((await healthOf(url)).status, 'degraded')
    writeSync(file, text.slice(pause))
    closeSync(file)
    await served(name)
    before = name
  }
  assert.ok(log.every(({ msg, ipv4 }) => msg !== 'table published' || ipv4 === ROWS))
  await service.close()
})

test('nothing is served that is empty or cut short at the start', async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = smallTables.one
  const logger = pino({ level: 'silent' })
  const limits = { bodyLimit: 1000, timeoutMilliseconds: 1000, watch: false, memory: '64 MiB', workers: 1 }
  for (const [four, six, message] of [
    ['', ipv6, /ipv4\.csv: holds no range/],
    [ipv4, '\n\n', /ipv6\.csv: holds no range/],
    [ipv4.trimEnd(), ipv6, /ipv4\.csv:3: has no line end/],
  ] as const) {
    const files = await writeTables(folder, four, six)
    const starting = Service.start({ host: '127.0.0.1', port: 0, files, logger, ...limits })
    await assert.rejects(
      starting,
      (error) => error instanceof TableRefusedError && message.test(error.message),
    )
  }
})

test('the null device stands for a family without ranges; both may not be it', async (t) => {
  const { machine, name, table } = testMachine(t)
  const files = await writeTables(await temporaryFolder(t), smallTables.one.ipv4, '')
  const { rows4, rows6 } = await loadTable(machine, name, { ...files, ipv6: devNull })
  assert.deepEqual([rows4, rows6], [3, 0])
  await assert.rejects(
    loadTable(machine, name, { ipv4: devNull, ipv6: devNull }),
    /holds no range, and the other/,
  )
  assert.equal(table.summary().generation, 1)
})

test('the command: SIGHUP takes no emptied file, and --max-shrink says how much may go', async (t) => {
  const files = await largeFiles(t)
  const flags = ['--ipv4', files.ipv4, '--ipv6', files.ipv6, '--workers', '1', '--memory', '64MiB']
  const serve = new ServeProcess(t, [...flags, '--no-watch', '--max-shrink', '2.5'])
  const url = await serve.url()
  for (const [rows, expected] of [
    [0, /^table refused.*\n.*holds no range/],
    [ROWS - 26, /^table refused.*\n.*has 974 ranges, 26 fewer .* at most 2\.5 %/],
    [ROWS - 25, /^table published$/],
  ] as const) {
    writeFileSync(files.ipv4, tables.ipv4(rows))
    serve.child.kill('SIGHUP')
    await serve.line(expected)
  }
  assert.equal((await healthOf(url)).rows.ipv4, 975)
  assert.equal(await serve.stop('SIGTERM'), 0)
  for (const wrong of ['-1', '101', 'half']) {
    const { code, stderr } = await percpu(['serve', ...flags, '--max-shrink', wrong])
    assert.match(stderr, /Expected a percentage, from 0 to 100/)
    assert.equal(code, 2)
  }
  writeFileSync(files.ipv4, '')
  const lookup = await percpu(['lookup', ...flags], '1.1.1.1\n')
  assert.match(lookup.stderr, /ipv4\.csv: holds no range/)
  assert.deepEqual([lookup.code, lookup.stdout], [1, ''])
})
