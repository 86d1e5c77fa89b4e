/**
 * Benchmarks of the address table: one in shared memory beside one a worker, and beside a MaxMind
 * database of the same ranges.
 */
import { fork } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import maxmind, { type AsnResponse, type Reader } from 'maxmind'
import { boot } from 'percpu'
import {
  answerStream,
  AddressTable,
  ipv4Text,
  ipv6Text,
  loadTable,
  LookupPool,
  lookUp,
  openTable,
  packagedFiles,
  parseAddress,
  TABLE_NAME,
} from 'percpu-console'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Row, Suite } from './harness/suite.js'
import { writeMmdb, type MmdbRange, type MmdbRecord } from './table-mmdb.js'
import type { TableKind } from './table-memory-worker.js'
import { PrivateTable } from './table-private.js'

const machine = boot({ memory: '128 MiB', cpus: 12 })
await loadTable(machine, TABLE_NAME, packagedFiles())
const maps = openTable(machine, TABLE_NAME)
const table = new AddressTable(machine, TABLE_NAME)
const { rows4, rows6 } = table.summary()
const own = new PrivateTable(maps)
const folder = await mkdtemp(join(tmpdir(), 'percpu-bench-'))
process.once('exit', () => void rm(folder, { recursive: true, force: true }))

// -------------------------------------------------------------------------------------------------
// -------------------- Addresses to look up: of random rows, at random places in them.

const KEYS = 1 << 16

/** Xorshift32 (Marsaglia, 2003): the same addresses in every run. */
let state = 0x2545_f491
function random(): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return state >>> 0
}

const keys4 = Int32Array.from({ length: KEYS }, () => {
  const row = random() % rows4
  const start = own.start4(row) >>> 0
  return start + (random() % ((own.end4(row) >>> 0) - start + 1))
})
const keys6 = Int32Array.from({ length: KEYS * 4 })
for (let i = 0; i < KEYS; i++) {
  const row = random() % rows6
  for (let word = 0; word < 4; word++) keys6[i * 4 + word] = own.start6(row, word)
}
const key = (i: number) => keys4[i & (KEYS - 1)] as number
const point = new Uint32Array(4)
const word6 = (i: number, word: number) => keys6[(i & (KEYS - 1)) * 4 + word] as number
const texts = Array.from({ length: KEYS }, (_, i) =>
  i % 2 === 0 ? ipv4Text(key(i)) : ipv6Text(word6(i, 0), word6(i, 1), word6(i, 2), word6(i, 3)),
)

// -------------------------------------------------------------------------------------------------
// -------------------- Single lookups

const singleSuite: Suite = {
  title: 'a single lookup, from words to the entry',
  unit: 'ns',
  note: `Random ranges of ${rows4.toLocaleString('en-US')} (IPv4) and ${rows6.toLocaleString('en-US')} (IPv6).`,
  rows: [
    {
      name: 'shared table, IPv4',
      role: 'ours',
      goal: { against: 'bisection of private typed arrays, IPv4', atMost: 1.1 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + table.find4(key(i))) | 0
        return sum
      }),
    },
    {
      name: 'bisection of private typed arrays, IPv4',
      role: 'peer',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + (own.entries4[own.find4(key(i))] as number)) | 0
        return sum
      }),
    },
    {
      name: 'shared table, IPv6',
      role: 'ours',
      goal: { against: 'bisection of private typed arrays, IPv6', atMost: 1.1 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          for (let word = 0; word < 4; word++) point[word] = word6(i, word)
          sum = (sum + table.find6(point)) | 0
        }
        return sum
      }),
    },
    {
      name: 'bisection of private typed arrays, IPv6',
      role: 'peer',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          sum =
            (sum + (own.entries6[own.find6(word6(i, 0), word6(i, 1), word6(i, 2), word6(i, 3))] as number)) |
            0
        }
        return sum
      }),
    },
  ],
}

function* mmdbRanges(): Generator<MmdbRange> {
  for (let row = 0; row < rows4; row++) {
    yield {
      start: BigInt(own.start4(row) >>> 0),
      end: BigInt(own.end4(row) >>> 0),
      record: own.entries4[row] as number,
    }
  }
  const address = (word: (i: number) => number) =>
    [0, 1, 2, 3].reduce((sum, i) => (sum << 32n) | BigInt(word(i) >>> 0), 0n)
  for (let row = 0; row < rows6; row++) {
    yield {
      start: address((i) => own.start6(row, i)),
      end: address((i) => own.end6(row, i)),
      record: own.entries6[row] as number,
    }
  }
}

async function openMmdb(): Promise<Reader<AsnResponse>> {
  const records = Array.from({ length: maps.pairs.size }, (_, number): MmdbRecord => ({
    autonomous_system_number: table.pair(number).asn ?? 0,
    autonomous_system_organization: table.pair(number).organisation ?? '',
  }))
  const file = join(folder, 'asn.mmdb')
  await writeFile(file, writeMmdb(mmdbRanges(), records))
  const reader = await maxmind.open<AsnResponse>(file)
  for (const text of texts.slice(0, 2000)) {
    const [ours, theirs] = [answer(text), reader.get(text)]
    if (ours?.asn !== theirs?.autonomous_system_number) {
      throw new Error(
        `${text}: the table says AS${ours?.asn ?? 'none'}, the database AS${theirs?.autonomous_system_number ?? 'none'}`,
      )
    }
  }
  return reader
}

function answer(text: string): ReturnType<typeof lookUp> {
  const address = parseAddress(text)
  return address && lookUp(table, text, address)
}

let database: Reader<AsnResponse> | undefined
const textSuite: Suite = {
  title: 'a single lookup, from text to an object',
  unit: 'ns',
  note:
    'IPv4 and IPv6 in turns. No database of these ranges can be had from npm (@ip-location-db/asn-mmdb is not there), so the ' +
    'benchmark writes one from the same table.',
  setUp: async () => {
    database = await openMmdb()
  },
  rows: [
    {
      name: 'parseAddress and lookUp',
      role: 'ours',
      goal: { against: 'maxmind, get', atMost: 1 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + (answer(texts[i & (KEYS - 1)] as string)?.asn ?? 0)) | 0
        return sum
      }),
    },
    {
      name: 'maxmind, get',
      role: 'peer',
      measure: perOperation((count) => {
        const reader = database
        if (!reader) throw new Error('the database is not open')
        let sum = 0
        for (let i = 0; i < count; i++) {
          sum = (sum + (reader.get(texts[i & (KEYS - 1)] as string)?.autonomous_system_number ?? 0)) | 0
        }
        return sum
      }),
    },
  ],
}

// -------------------------------------------------------------------------------------------------
// -------------------- Throughput

const ADDRESSES = 10_000_000
/** Addresses of one round: a part of the file, another one each time. */
const PART = 1_000_000
const file = join(folder, 'addresses.txt')
/** Positions in the file at which the parts begin, and its end. */
const parts: number[] = []

async function writeAddresses(): Promise<void> {
  const handle = await open(file, 'w')
  let end = 0
  for (let written = 0; written < ADDRESSES; written += PART) {
    parts.push(end)
    const part = Buffer.from(Array.from({ length: PART }, () => `${ipv4Text(key(random()))}\n`).join(''))
    await handle.write(part)
    end += part.length
  }
  parts.push(end)
  await handle.close()
}

/** Million lookups a second of `workers`, over a part of the file. */
class Throughput {
  readonly #workers: number
  #pool: LookupPool | undefined
  #round = 0

  constructor(workers: number) {
    this.#workers = workers
  }

  async open(): Promise<void> {
    this.#pool = new LookupPool(machine, { workers: this.#workers, table: TABLE_NAME })
    await this.#pool.ready()
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }

  readonly measure: Measure = async () => {
    if (!this.#pool) throw new Error('the workers are not running')
    const part = this.#round++ % (parts.length - 1)
    const [start = 0, end = 0] = parts.slice(part, part + 2)
    const input = createReadStream(file, { start, end: end - 1, highWaterMark: 256 * 1024 })
    const began = performance.now()
    const discard = { write: () => Promise.resolve() }
    const options = { format: 'text', batchBytes: 256 * 1024, window: this.#workers * 4 } as const
    const { answered } = await answerStream(this.#pool, input, discard, options)
    return answered / (performance.now() - began) / 1000
  }
}

const [oneWorker, twoWorkers] = [new Throughput(1), new Throughput(2)]
const throughputSuite: Suite = {
  title: 'lookups of addresses in a file, to NDJSON',
  unit: 'million/s',
  take: 'median',
  note: `Parts of a file of ${ADDRESSES.toLocaleString('en-US')} IPv4 addresses, read, split, answered by workers, put in order, and thrown away.`,
  setUp: async () => {
    await writeAddresses()
    await oneWorker.open()
    await twoWorkers.open()
  },
  rows: [
    {
      name: '2 workers',
      role: 'ours',
      goal: { against: '1 worker', atLeast: 1.8 },
      measure: twoWorkers.measure,
    },
    { name: '1 worker', role: 'ours', goal: { above: 2 }, measure: oneWorker.measure },
  ],
  tearDown: async () => {
    await oneWorker.close()
    await twoWorkers.close()
  },
}

// -------------------------------------------------------------------------------------------------
// -------------------- Attaching

/** The arrays of a private table, and the texts of its pairs. */
const packed = Buffer.concat([
  ...[own.starts4, own.ends4, own.entries4, ...own.starts6, ...own.ends6, own.entries6].map(
    ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength),
  ),
  ...maps.pairs.values(),
])
let attached: LookupPool | undefined
const attachSuite: Suite = {
  title: 'from the start of a worker’s code to its first lookup',
  unit: 'ms',
  take: 'median',
  note: `A new thread each time. The private copy is one of ${(packed.length / 2 ** 20).toFixed(1)} MiB, packed already; parsing the CSV files takes seconds.`,
  setUp: async () => {
    attached = new LookupPool(machine, { workers: 1, table: TABLE_NAME })
    await attached.ready()
  },
  rows: [
    {
      name: 'join the machine, open the table',
      role: 'ours',
      goal: { below: 1 },
      measure: async () => {
        if (!attached) throw new Error('the worker is not running')
        const ready = once(attached, 'ready')
        await attached.replace(0)
        await ready
        return attached.workers[0]?.attachMilliseconds ?? NaN
      },
    },
    {
      name: 'copy a packed table to private memory',
      role: 'peer',
      measure: () => {
        const began = performance.now()
        Uint8Array.from(packed)
        return performance.now() - began
      },
    },
  ],
  tearDown: async () => {
    await attached?.close()
  },
}

// -------------------------------------------------------------------------------------------------
// -------------------- Memory

const image = join(folder, 'table.image')

/**
 * Resident set of a process with `workers` that hold such a table, in MiB. Measured once: it hardly
 * changes.
 */
function residentSet(kind: TableKind, workers: number): Measure {
  let result: Promise<number> | undefined
  return () => (result ??= runChild(kind, workers))
}

async function runChild(kind: TableKind, workers: number): Promise<number> {
  const child = fork(
    fileURLToPath(new URL('./table-memory.js', import.meta.url)),
    [kind, String(workers), image],
    {
      execArgv: ['--expose-gc'],
    },
  )
  const exit = once(child, 'exit')
  const [value] = (await once(child, 'message')) as [number]
  await exit
  return value
}

const kinds = { shared: 'one shared table', private: 'a private table each', none: 'no table' } as const
const memorySuite: Suite = {
  title: 'memory of a process',
  unit: 'MiB',
  take: 'median',
  note: 'Resident set with workers that have read all of a private table, or looked 20,000 addresses up in the shared one. That has been loaded from its files in the same process.',
  setUp: () => writeFile(image, packed),
  rows: [1, 2, 4].flatMap((workers) =>
    (['shared', 'private', 'none'] as const).map((kind): Row => {
      const name = (which: TableKind) => `${kinds[which]}, ${workers} worker${workers === 1 ? '' : 's'}`
      return {
        name: name(kind),
        role: kind === 'shared' ? 'ours' : kind === 'private' ? 'peer' : 'floor',
        ...(kind === 'shared' ? { goal: { against: name('private'), atMost: workers === 1 ? 1.1 : 1 } } : {}),
        measure: residentSet(kind, workers),
      }
    }),
  ),
}

export const suites: readonly Suite[] = [singleSuite, textSuite, throughputSuite, attachSuite, memorySuite]
