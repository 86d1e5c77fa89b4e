/** Look-ups in rows that stay in their file. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { truncateSync, writeFileSync } from 'node:fs'
import { devNull } from 'node:os'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  AnswerWriter,
  answerBatch,
  fieldsOf,
  FileError,
  openKept,
  PackedTable,
  readTable,
  USUAL_FORMAT,
  type KeptTable,
  type TableFiles,
} from 'percpu-console'
import { csv, keptTables } from '../helpers/files.js'
import { rowsOfSeed } from '../helpers/model.js'

const fields = fieldsOf(USUAL_FORMAT.columns)
const LINES4 = '1.0.0.0,1.0.0.255,1,One\n255.0.0.0,255.255.255.255,2,Two\n'
const LINES6 = '2001:db8::,2001:db8::ff,3,Three\n'

async function keptFiles(t: TestContext, ipv4 = LINES4, ipv6 = LINES6): Promise<TableFiles> {
  const { files } = await keptTables(t, ipv4, ipv6)
  await readTable(files)
  return files
}
async function opened(t: TestContext, files: TableFiles): Promise<KeptTable> {
  const kept = await openKept(files)
  assert.ok(kept)
  t.after(() => kept.close())
  return kept
}
function answersOf(writer: AnswerWriter, addresses: readonly string[]): string {
  const { buffer, length } = answerBatch(writer, Buffer.from(addresses.join('\n')), 'text')
  return Buffer.from(buffer, 0, length).toString()
}

test('a file answers as its rows do, at all ends of ranges and between them', async (t) => {
  const { ipv4, ipv6 } = rowsOfSeed(3)
  const kept = await opened(t, await keptFiles(t, csv(ipv4) + LINES4, csv(ipv6)))
  const rows = await kept.rows()
  const ends = [...ipv4, ...ipv6].flatMap(({ start, end }) => [start, end])
  const others = ['0.0.0.0', '1.0.0.0', '255.0.0.0', '255.255.255.255', '10.255.0.1', '::', '2001:db8::7']
  const addresses = [...ends, ...others, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'none', '2001:db8::1:0']
  const answers = answersOf(new AnswerWriter(kept.first), addresses)
  assert.equal(answers, answersOf(new AnswerWriter(new PackedTable(rows.ipv4, rows.ipv6, fields)), addresses))
  assert.equal(answers.split('"organisation":null').length - 1, 4)
})

test('a family on the null device is in gaps', async (t) => {
  const { ipv4 } = await keptFiles(t)
  const kept = await opened(t, { ipv4, ipv6: devNull, keepPacked: true })
  const answers = answersOf(new AnswerWriter(kept.first), ['1.0.0.1', '2001:db8::1'])
  assert.match(answers, /"One".*\n.*"organisation":null.*\n$/)
  assert.equal((await kept.rows()).ipv6.length, 0)
})

test('a file that becomes shorter while it is open is told', async (t) => {
  const files = await keptFiles(t)
  const kept = await opened(t, files)
  truncateSync(`${files.ipv4}.percpu`, 100)
  const told = (error: unknown) =>
    error instanceof FileError && /cannot read .*ipv4\.csv\.percpu: it has become shorter/.test(error.message)
  assert.throws(() => answersOf(new AnswerWriter(kept.first), ['1.0.0.1']), told)
  await assert.rejects(kept.rows(), told)
})

test('percpu lookup answers all from one table, whatever takes its place meanwhile', async (t) => {
  const files = await keptFiles(t)
  const { ipv4, ipv6 } = files
  const executable = fileURLToPath(new URL('../../bin/percpu.js', import.meta.url))
  const args = [executable, 'lookup', '--ipv4', ipv4, '--ipv6', ipv6, '--workers', '1']
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const answers: string[] = []
  let wanted = 0
  let hasCome: () => void = () => undefined
  createInterface(child.stdout).on('line', (line) => {
    if (answers.push(line) === wanted) hasCome()
  })
  const ask = async (count: number) => {
    wanted += count
    const come = new Promise<void>((resolve) => (hasCome = resolve))
    child.stdin.write('1.0.0.1\n'.repeat(count))
    await come
  }
  // By the file; then that is replaced; by the rows; by the worker.
  await ask(1)
  writeFileSync(ipv4, '1.0.0.0,1.0.0.255,7,Seven\n')
  await readTable(files)
  await ask(1)
  await ask(2000)
  await ask(200_000)
  child.stdin.end()
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.equal(new Set(answers).size, 1)
  assert.match(answers[0] ?? '', /"One"/)
})
