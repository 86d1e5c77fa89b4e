/** Packed rows: what they answer, and the file beside the CSV that has them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  AnswerWriter,
  answerBatch,
  Crew,
  fieldsOf,
  FileError,
  loadTable,
  PackedTable,
  readPacked,
  readTable,
  STRICT,
  unpack,
  USUAL_FORMAT,
  type TableFiles,
  type TableRows,
} from 'percpu-console'
import { csv, keptTables } from '../helpers/files.js'
import { testMachine } from '../helpers/machine.js'
import { rowsOfSeed } from '../helpers/model.js'

const fields = fieldsOf(USUAL_FORMAT.columns)
const LINES4 = '1.0.0.0,1.0.0.255,1,One\n2.0.0.0,2.0.0.255,2,Two\n'
const LINES6 = '2001:db8::,2001:db8::ff,3,Three\n'

const keptFiles = (t: TestContext, ipv4 = LINES4, ipv6 = LINES6) => keptTables(t, ipv4, ipv6)
function nameOf(rows: TableRows, address: string): string {
  const writer = new AnswerWriter(new PackedTable(rows.ipv4, rows.ipv6, fields))
  const { buffer, length } = answerBatch(writer, Buffer.from(address), 'text')
  return String(
    (JSON.parse(Buffer.from(buffer, 0, length).toString()) as { organisation: unknown }).organisation,
  )
}
/** Whether the next reading takes the file beside the CSV: then it reads no byte of this. */
async function isTaken(files: TableFiles): Promise<boolean> {
  let bytes = 0
  await readTable({ ...files, ipv6: devNull }, { onBytes: (more) => (bytes += more) })
  return bytes === 0
}

test('packed rows answer as a table does, and survive their memory being passed on', async (t) => {
  const { ipv4, ipv6 } = rowsOfSeed(7)
  const { files } = await keptFiles(t, csv(ipv4), csv(ipv6))
  const { machine, name, table } = testMachine(t)
  await loadTable(machine, name, files)
  const rows = await readTable(files)
  const copy = { ipv4: unpack(rows.ipv4.memory), ipv6: unpack(rows.ipv6.memory) }
  assert.deepEqual(copy, { ipv4: rows.ipv4, ipv6: rows.ipv6 })
  const packed = new PackedTable(rows.ipv4, rows.ipv6, fields)
  const indexed = new PackedTable(rows.ipv4, rows.ipv6, fields)
  indexed.index()
  const ends = [...ipv4, ...ipv6].flatMap(({ start, end }) => [start, end])
  const near = Array.from({ length: 3000 }, (_, i) => `10.0.${i >> 4}.${(i & 15) * 16}`)
  // Where the leading bits change, and half of them.
  const leading = Array.from({ length: 512 }, (_, i) => `${i >> 1}.${i % 2 === 0 ? '0.0.0' : '255.255.255'}`)
  const others = ['128.0.0.0', '127.255.255.255', '::', 'ffff::', 'x']
  const text = Buffer.from([...ends, ...near, ...leading, ...others].join('\n'))
  const answers = [table, packed, indexed].map((each) => {
    const { buffer, length } = answerBatch(new AnswerWriter(each), text, 'text')
    return Buffer.from(buffer, 0, length).toString()
  })
  for (const answer of answers) assert.ok(answer === answers[0], 'the same bytes')
})

test('the file beside the CSV is taken while content and format are the same', async (t) => {
  const { files } = await keptFiles(t)
  const { ipv4 } = files
  assert.equal(await isTaken(files), false)
  assert.equal(await isTaken(files), true)
  // Touched, with the same content.
  utimesSync(ipv4, 1, 1)
  assert.equal(await isTaken(files), true)
  // The same size and time, with other content.
  writeFileSync(ipv4, LINES4.replace('Two', 'Owt'))
  utimesSync(ipv4, 1, 1)
  const rows = await readTable(files)
  assert.equal(nameOf(rows, '2.0.0.1'), 'Owt')
  assert.equal(await isTaken(files), true)
  // Longer.
  writeFileSync(ipv4, `${LINES4}3.0.0.0,3.0.0.1,3,Three\n`)
  assert.equal(nameOf(await readTable(files), '3.0.0.1'), 'Three')
  // Read in another way.
  const format = { ...USUAL_FORMAT, overlap: 'most-specific' } as const
  assert.equal(await isTaken({ ...files, format }), false)
  assert.equal(await isTaken({ ...files, format }), true)
  assert.equal(await isTaken(files), false)
  assert.equal(await readPacked(ipv4, 6, USUAL_FORMAT), undefined)
})

test('a file that was not touched for long is told by its times alone', async (t) => {
  const { files } = await keptFiles(t)
  await readTable(files)
  const path = `${files.ipv4}.percpu`
  const bytes = readFileSync(path)
  assert.equal(bytes.toString('latin1').includes(`"size":"${statSync(files.ipv4).size}"`), true)
  assert.deepEqual((await readPacked(files.ipv4, 4, USUAL_FORMAT))?.length, 2)
})

test('a damaged file is not taken, wherever the damage is, and is written anew', async (t) => {
  const { files, folder } = await keptFiles(t)
  await readTable(files)
  const path = `${files.ipv4}.percpu`
  const whole = readFileSync(path)
  for (let at = 0; at < whole.length; at += 3) {
    const bytes = Buffer.from(whole)
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8))
    writeFileSync(path, bytes)
    assert.equal(await readPacked(files.ipv4, 4, USUAL_FORMAT), undefined, `byte ${at}`)
  }
  for (const bytes of [
    whole.subarray(0, -1),
    whole.subarray(0, 39),
    Buffer.alloc(0),
    Buffer.concat([whole, whole]),
  ]) {
    writeFileSync(path, bytes)
    assert.equal(await readPacked(files.ipv4, 4, USUAL_FORMAT), undefined)
  }
  assert.equal(nameOf(await readTable(files), '2.0.0.1'), 'Two')
  assert.deepEqual(readFileSync(path).length, whole.length)
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('what a process has left that was ended while it wrote is removed, and nothing else', async (t) => {
  const { files, folder } = await keptFiles(t)
  const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000)
  const plant = (name: string, minutes: number) => {
    writeFileSync(join(folder, name), '')
    utimesSync(join(folder, name), minutesAgo(minutes), minutesAgo(minutes))
  }
  plant('.percpu-table-0123456789ab.tmp', 11)
  plant('.percpu-table-ba9876543210.tmp', 9)
  plant('.percpu-0123456789ab.tmp', 11)
  plant('my.percpu-table-0123456789ab.tmp', 11)
  await readTable(files)
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.endsWith('.tmp'))
      .toSorted(),
    ['.percpu-0123456789ab.tmp', '.percpu-table-ba9876543210.tmp', 'my.percpu-table-0123456789ab.tmp'],
  )
})

test('what is no file, too large, or of another user is passed over, and replaced', async (t) => {
  const { files } = await keptFiles(t)
  const path = `${files.ipv4}.percpu`
  await readTable(files)
  const whole = readFileSync(path)
  const prefix = Buffer.alloc(12)
  prefix.writeDoubleLE(2 ** 32, 4)
  const plants: (() => void)[] = [
    // Whose writer never comes.
    () => execFileSync('mkfifo', [path]),
    // As much as it says: nothing of it is in memory, or on the disk.
    () => {
      writeFileSync(path, prefix)
      truncateSync(path, 12 + 2 ** 32)
    },
  ]
  if (process.geteuid?.() === 0)
    plants.push(() => {
      writeFileSync(path, whole)
      chownSync(path, 12_345, 12_345)
    })
  for (const plant of plants) {
    rmSync(path)
    plant()
    assert.equal(await isTaken(files), false)
    assert.equal(await isTaken(files), true)
    assert.ok(statSync(path).isFile())
  }
  if (process.geteuid?.() !== 0) return
  // Who owns the CSV may as well change that.
  chownSync(path, 12_345, 12_345)
  chownSync(files.ipv4, 12_345, 12_345)
  assert.equal(await isTaken(files), true)
})

test('a CSV that cannot be read is told as without a table file', async (t) => {
  const { files } = await keptFiles(t)
  await readTable(files)
  rmSync(files.ipv4)
  await assert.rejects(readTable(files), FileError)
})

test('others may read the file as far as they may read the CSV', async (t) => {
  const { files } = await keptFiles(t)
  chmodSync(files.ipv4, 0o600)
  await readTable(files)
  assert.equal(statSync(`${files.ipv4}.percpu`).mode & 0o777, 0o600)
})

test('where the folder takes no file it lies in the cache folder; where nothing does, nowhere', async (t) => {
  const { files, folder } = await keptFiles(t)
  // A folder of this name takes the place of the file, for root as well.
  mkdirSync(`${files.ipv4}.percpu`)
  assert.equal(await isTaken(files), false)
  assert.equal(readdirSync(join(folder, 'cache', 'percpu')).length, 1)
  assert.equal(await isTaken(files), true)
  writeFileSync(join(folder, 'no-folder'), '')
  process.env['XDG_CACHE_HOME'] = join(folder, 'no-folder')
  assert.equal(await isTaken(files), false)
  assert.equal(await isTaken(files), false)
  chmodSync(folder, 0o755)
})

test('a cache folder that is not absolute is none', async (t) => {
  const { files, folder } = await keptFiles(t)
  mkdirSync(`${files.ipv4}.percpu`)
  const { HOME, XDG_CACHE_HOME } = process.env
  t.after(() => Object.assign(process.env, { HOME, XDG_CACHE_HOME }))
  process.env['HOME'] = folder
  for (const given of ['', 'relative']) {
    process.env['XDG_CACHE_HOME'] = given
    await readTable(files)
    assert.equal(readdirSync(join(folder, '.cache', 'percpu')).length, 1)
    assert.ok(!existsSync(join(given, 'percpu', readdirSync(join(folder, '.cache', 'percpu'))[0] ?? '')))
  }
})

test('what is refused, or left out, is told each time: it is not kept', async (t) => {
  const { files, folder } = await keptFiles(t, `${LINES4}x,y,z\n`)
  await assert.rejects(readTable(files))
  const format = { ...USUAL_FORMAT, skipBad: 1 }
  for (let i = 0; i < 2; i++) assert.equal((await readTable({ ...files, format })).skipped.lines, 1)
  assert.equal(readdirSync(folder).includes('ipv4.csv.percpu'), false)
})

test('few addresses are answered without workers, many with them, in the same words', async (t) => {
  const { files } = await keptFiles(t)
  const { ipv4, ipv6 } = await readTable(files)
  let readings = 0
  const rows = () => Promise.resolve({ ipv4, ipv6, readings: ++readings })
  const first = new PackedTable(ipv4, ipv6, fields)
  const crew = new Crew({ first, rows, fields, rules: STRICT, workers: 1, memory: 2 ** 24 })
  t.after(() => crew.close())
  const line = '1.0.0.7\n2001:db8::7\nx\n'
  const answersTo = async (times: number) => {
    const { buffer, length } = await crew.run(new Uint8Array(Buffer.from(line.repeat(times))), 'text')
    return Buffer.from(buffer, 0, length).toString()
  }
  const answers = await answersTo(1)
  assert.deepEqual([crew.hasWorkers, readings], [false, 0])
  assert.ok((await answersTo(1000)) === answers.repeat(1000))
  assert.deepEqual([crew.hasWorkers, readings], [false, 1])
  assert.match(answers, /"One".*\n.*"Three".*\n.*error.*\n$/)
  assert.ok((await answersTo(60_000)) === answers.repeat(60_000))
  assert.deepEqual([crew.hasWorkers, readings], [true, 1])
})
