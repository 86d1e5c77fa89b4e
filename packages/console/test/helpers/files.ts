/** Tables as files: temporary folders, CSV text, and an independent reader of the packaged data. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { TableFiles } from 'percpu-console'

export interface Row {
  readonly start: string
  readonly end: string
  readonly asn: number
  readonly organisation: string
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: Pick<TestContext, 'after'>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'percpu-console-'))
  // Behind what is added later: that ends who still writes there.
  t.after(() => t.after(() => rm(folder, { recursive: true, force: true })))
  return folder
}

export function csv(rows: readonly Row[]): string {
  return rows
    .map(({ start, end, asn, organisation }) => `${start},${end},${asn},${quote(organisation)}\n`)
    .join('')
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) || text === '' ? `"${text.replaceAll('"', '""')}"` : text
}

/** Tables of which table files are kept, beside them or in a cache folder of their own. */
export async function keptTables(t: Pick<TestContext, 'after'>, ipv4: string, ipv6: string) {
  const folder = await temporaryFolder(t)
  process.env['XDG_CACHE_HOME'] = join(folder, 'cache')
  return { folder, files: { ...(await writeTables(folder, ipv4, ipv6)), keepPacked: true } }
}

export async function writeTables(folder: string, ipv4: string, ipv6: string): Promise<TableFiles> {
  const files = { ipv4: join(folder, 'ipv4.csv'), ipv6: join(folder, 'ipv6.csv') }
  await writeFile(files.ipv4, ipv4)
  await writeFile(files.ipv6, ipv6)
  return files
}

/**
 * Rows of a well-formed file: a reader of its own, so that the one under test is not judged by
 * itself.
 */
export async function readRows(file: string): Promise<Row[]> {
  const text = await readFile(file, 'utf8')
  const pattern = /^([^,\n]*),([^,\n]*),(\d+),(?:"((?:[^"]|"")*)"|([^\n]*))$/gm
  return Array.from(text.matchAll(pattern), ([, start = '', end = '', asn, quoted, bare = '']) => ({
    start,
    end,
    asn: Number(asn),
    organisation: quoted === undefined ? bare : quoted.replaceAll('""', '"'),
  }))
}

/** Two small tables that differ in every answer they give to 1.1.1.1 and 2001:db8::1. */
export const smallTables = {
  one: {
    ipv4: '1.0.0.0,1.0.0.255,13335,"Cloudflare, Inc."\n1.1.1.0,1.1.1.255,13335,"Cloudflare, Inc."\n8.8.8.0,8.8.8.255,15169,Google LLC\n',
    ipv6: '2001:db8::,2001:db8::ffff,64500,Documentation Ü\n',
  },
  two: {
    ipv4: '1.1.1.0,1.1.2.255,64501,Second\n8.8.8.0,8.8.8.255,15169,Google LLC\n',
    ipv6: '2001:db8::,2001:db8::ff,64502,Second\n',
  },
} as const
