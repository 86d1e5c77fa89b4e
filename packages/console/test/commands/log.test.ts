/** `percpu log`: what it tells of a data directory, in use or not, which it leaves as it is. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { log } from '../../dist/commands/log.js'
import { Store } from '../../dist/store/store.js'
import { percpu } from '../helpers/command.js'
import { temporaryFolder } from '../helpers/files.js'
import { entriesOf, range, recordsOf, silent, Told } from '../helpers/store-model.js'

/** A store with a snapshot of 3, and records up to 6; it is closed after the test. */
async function filled(t: TestContext): Promise<{ readonly directory: string; readonly last: string }> {
  const directory = await temporaryFolder(t)
  const store = await Store.open(directory, { sync: 'always', segmentBytes: 200, logger: silent })
  t.after(() => store.close())
  await store.recover(new Told())
  await store.append(recordsOf(...range(1, 4)))
  await store.writeSnapshot(3, entriesOf(3))
  await store.append(recordsOf(5, 6))
  return { directory, last: join(directory, 'log-0000000000000005') }
}

test('it tells what the directory holds while a process has it', async (t) => {
  const { directory } = await filled(t)
  const before = readdirSync(directory)
  const { text, isWhole } = await log({ directory, json: false })
  assert.ok(isWhole)
  for (const line of [
    /snapshot-0000000000000003 │ 3 +│ 3 entries/,
    /log-0000000000000001 +│ 1–4 +│ 4 records/,
    /log-0000000000000005 +│ 5–6 +│ 2 records/,
    /^last sequence number: 6$/m,
  ])
    assert.match(text, line)
  assert.deepEqual(readdirSync(directory), before)
})

test('a torn end, and what a restart removes, are told and left', async (t) => {
  const { directory, last } = await filled(t)
  const bytes = readFileSync(last)
  truncateSync(last, bytes.length - 1)
  writeFileSync(join(directory, 'snapshot-0000000000000006.tmp'), '')
  const { text, isWhole } = await log({ directory, json: false })
  assert.ok(isWhole)
  assert.match(text, /^log-0+5, byte 24: \d+ bytes of an append that is under way, or never ended$/m)
  assert.match(text, /^not needed, and removed at the next start: snapshot-0+6\.tmp$/m)
  assert.match(text, /^last sequence number: 4$/m)
  assert.equal(readFileSync(last).length, bytes.length - 1)
})

test('damage is told with its place, and the exit code', async (t) => {
  const { directory, last } = await filled(t)
  const bytes = readFileSync(last)
  bytes.writeUInt8(bytes.readUInt8(60) ^ 1, 60)
  writeFileSync(last, bytes)
  const { stdout, code } = await percpu(['log', '--json', directory])
  assert.equal(code, 1)
  const report = JSON.parse(stdout) as Record<string, unknown>
  assert.deepEqual(report['damages'], [
    { file: 'log-0000000000000005', offset: 24, what: 'the checksum of a frame is wrong' },
  ])
  assert.deepEqual(
    [report['directory'], report['format'], report['torn'], report['lastSequence']],
    [directory, 1, null, 4],
  )
  const { text, isWhole } = await log({ directory, json: false })
  assert.ok(!isWhole)
  assert.match(text, /^DAMAGED: log-0+5, byte 24: the checksum of a frame is wrong$/m)
})

test('a folder without a store, and one that is not there', async (t) => {
  const directory = await temporaryFolder(t)
  assert.equal(
    (await log({ directory, json: false })).text,
    'no log and no snapshot\nlast sequence number: 0\n',
  )
  await assert.rejects(log({ directory: join(directory, 'none'), json: false }), { code: 'PERCPU_FILE' })
  writeFileSync(join(directory, 'lock-1'), '')
  assert.ok((await log({ directory, json: false })).isWhole)
  writeFileSync(join(directory, 'notes.txt'), '')
  for (const json of [false, true])
    await assert.rejects(log({ directory, json }), {
      code: 'PERCPU_FILE',
      message: `${directory} is no data directory: it has no log and no snapshot, but notes.txt`,
    })
})
