/** Services of tables that share a bucket. */
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { jetstream } from '@nats-io/jetstream'
import { Kvm, type KV } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { canSharePort, tableSources, type Table } from 'percpu-console'
import { temporaryFolder } from './files.js'
import { Link, type NatsServer } from './nats.js'
import { CSV_FORMAT, startTables, type TestTables, type TestTablesOptions } from './tables.js'

export interface TestNode extends TestTables {
  readonly link: Link
}
export const BUCKET = 'tables'
export const TIMEOUT = 1000

/**
 * With tables of these files, behind a link of its own; two threads answer requests where that is
 * possible. Closed after the test.
 */
export async function startNode(
  t: TestContext,
  server: NatsServer,
  { files = {}, keys = [], ranges = [], nats, ...more }: TestTablesOptions = {},
): Promise<TestNode> {
  const folder = await temporaryFolder(t)
  const link = await Link.to(t, server)
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const paths = Object.keys(files).map((name) => join(folder, name))
  const sources = tableSources(paths, keys, ranges, CSV_FORMAT)
  const node = await startTables(t, folder, {
    sources,
    memory: '32 MiB',
    workers: canSharePort() ? 2 : 1,
    nats: { url: link.url, bucket: BUCKET, timeoutMilliseconds: TIMEOUT, ...nats },
    ...more,
  })
  return { ...node, link }
}

/** The bucket itself. Closed after the test. */
export async function openBucket(
  t: TestContext,
  server: NatsServer,
): Promise<{ readonly kv: KV; readonly kvm: Kvm }> {
  const connection = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
  t.after(() => connection.close())
  const kvm = new Kvm(jetstream(connection))
  return { kv: await kvm.create(BUCKET, { history: 8 }), kvm }
}

export type Contents = Readonly<Record<string, readonly [version: number, value: unknown]>>

/** What a node has, by key or range. */
export function contentsOf(table: Table | undefined): Contents {
  const contents: Record<string, [number, unknown]> = {}
  if (!table) return contents
  const { codec } = table
  for (const { from, to, version, value } of table.rows())
    contents[`${codec.toJson(from)}-${codec.toJson(to)}`] = [version, JSON.parse(value.toString())]
  return contents
}

/** What the bucket has of a table of keys of text. */
export async function bucketContents(kv: KV, table: string): Promise<Contents> {
  const contents: Record<string, [number, unknown]> = {}
  for await (const name of await kv.keys(`${table}.k.>`)) {
    const entry = await kv.get(name)
    const key = Buffer.from(name.split('.')[2] ?? '', 'base64url').toString()
    if (entry?.operation === 'PUT') contents[`${key}-${key}`] = [entry.revision, entry.json()]
  }
  return contents
}
