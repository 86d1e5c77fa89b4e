/** Options that say which table there is: what they need, and what they cannot be used with. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { devNull } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { percpu, ServeProcess } from '../helpers/command.js'
import { temporaryFolder } from '../helpers/files.js'

const { natsOptions, tableFiles } = await import('../../dist/commands/table-options.js')
const { columnsText, USUAL_FORMAT } = await import('../../dist/table/format.js')
type Flags = Parameters<typeof tableFiles>[0]

const { columns: _columns, ...format } = USUAL_FORMAT
const usual = { ...format, tableFile: true, stripPort: false, nat64: false, memory: 1, workers: 1 }

test('a table of other columns does not take its other half from the packaged one', () => {
  const files = (flags: Partial<Flags>) => {
    const { ipv4, ipv6 } = tableFiles({ ...usual, ...flags })
    return [ipv4, ipv6].map((file) => (file.includes('@ip-location-db') ? 'packaged' : file))
  }
  const columns = columnsText(USUAL_FORMAT.columns)
  assert.deepEqual(files({}), ['packaged', 'packaged'])
  assert.deepEqual(files({ ipv4: 'own.csv' }), ['own.csv', 'packaged'])
  assert.deepEqual(files({ ipv4: 'own.csv', columns }), ['own.csv', devNull])
  assert.deepEqual(files({ ipv6: 'own.csv', columns }), [devNull, 'own.csv'])
  assert.deepEqual(files({ columns }), ['packaged', 'packaged'])
})

test('what only means something for a table that is read is refused with --server', async () => {
  for (const args of [['--nat64'], ['--workers', '3'], ['--ipv4', 'none.csv'], ['--no-table-file']]) {
    const { code, stderr } = await percpu(['lookup', '--server', 'http://127.0.0.1:1', ...args])
    assert.equal(code, 2)
    assert.match(stderr, /--server <url>' cannot be used with option '--/)
  }
})

test('a bucket has a server and a name, and no data directory beside it', () => {
  const nats = 'nats://127.0.0.1:4222'
  assert.equal(natsOptions({}), undefined)
  assert.deepEqual(natsOptions({ nats, bucket: 'b' }), { url: nats, bucket: 'b', credentials: undefined })
  for (const flags of [{ nats }, { bucket: 'b' }, { natsCreds: 'file' }, { nats, bucket: 'b', data: 'd' }])
    assert.throws(() => natsOptions(flags), { code: 'PERCPU_USAGE' })
})

test('what says nothing beside the other options is refused', async () => {
  const own = ['x.csv', '--key', 'id']
  for (const [args, message] of [
    [['--key', 'id'], /--key says nothing: it is for tables of your own/],
    [['--history', '1MiB'], /--history says nothing: it is for tables of your own/],
    [[...own, '--ipv4', 'a.csv'], /--ipv4 says nothing: it is for the table of addresses/],
    [[...own, '--no-table-file'], /--no-table-file says nothing: it is for the table of addresses/],
    [[...own, '--sync', '5'], /--sync says nothing: there is no --data/],
    [[...own, '--data', 'd', '--sync', 'sometimes'], /Expected always, interval, or seconds/],
    [['x.csv'], /table x has no keys/],
    [['x.csv', 'x.ndjson', '--key', 'id'], /table x is there twice/],
  ] as const) {
    const { code, stderr } = await percpu(['serve', '--port', '0', ...args])
    assert.match(stderr, message)
    assert.equal(code, 2, args.join(' '))
  }
})

test('--patience is for tables of your own, too', async (t) => {
  const file = path.join(await temporaryFolder(t), 'users.csv')
  await writeFile(file, 'id,name\nann,Ann\n')
  const serve = new ServeProcess(t, [file, '--key', 'id', '--workers', '2', '--patience', '60'])
  assert.equal((await fetch(`${await serve.url()}/tables/users/ann`)).status, 200)
  assert.equal(await serve.stop('SIGTERM'), 0)
})
