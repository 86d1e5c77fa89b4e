/**
 * Writes the ranges of a table as a MaxMind DB, for a fair comparison with its readers: none with
 * these ranges can be had from npm. (MaxMind DB File Format Specification 2.0; IPv4 lies at ::/96
 * of an IPv6 tree.)
 */

/** A range of IPv6 addresses, both ends included; IPv4 as the last 32 bits. */
export interface MmdbRange {
  readonly start: bigint
  readonly end: bigint
  /** Which of the records answers. */
  readonly record: number
}
export interface MmdbRecord {
  readonly autonomous_system_number: number
  readonly autonomous_system_organization: string
}

const BITS = 128
const NO_RECORD = 0

/** Per node and bit: 0 nothing, positive a node, negative the complement of a record. */
class Tree {
  readonly children: number[] = [NO_RECORD, NO_RECORD]

  get nodes(): number {
    return this.children.length / 2
  }

  /** Lets `record` answer for all addresses that share the first `length` bits of `address`. */
  insert(address: bigint, length: number, record: number): void {
    let node = 0
    for (let depth = 0; depth < length - 1; depth++) node = this.#step(node * 2 + bitOf(address, depth))
    this.children[node * 2 + bitOf(address, length - 1)] = ~record
  }

  /** The node below this child, made if there is none; a record found there is handed down. */
  #step(slot: number): number {
    const child = this.children[slot] ?? NO_RECORD
    if (child > 0) return child
    const node = this.nodes
    this.children.push(child, child)
    this.children[slot] = node
    return node
  }
}

function bitOf(address: bigint, depth: number): number {
  return Number((address >> BigInt(BITS - 1 - depth)) & 1n)
}

/** Inserts the fewest prefixes that make up the range. */
function insertRange(tree: Tree, { start, end, record }: MmdbRange): void {
  for (let from = start; from <= end;) {
    let bits = 0
    while (bits < BITS && ((from >> BigInt(bits)) & 1n) === 0n && from + (1n << BigInt(bits + 1)) - 1n <= end)
      bits++
    tree.insert(from, BITS - bits, record)
    from += 1n << BigInt(bits)
  }
}

/** The whole file. */
export function writeMmdb(ranges: Iterable<MmdbRange>, records: readonly MmdbRecord[]): Buffer {
  const tree = new Tree()
  for (const range of ranges) insertRange(tree, range)
  const encoded = records.map((record) => encode(record))
  const offsets: number[] = []
  let end = 0
  for (const { length } of encoded) {
    offsets.push(end)
    end += length
  }
  const search = Buffer.alloc(tree.children.length * 4)
  tree.children.forEach((child, i) => {
    const value =
      child === NO_RECORD ? tree.nodes : child > 0 ? child : tree.nodes + 16 + (offsets[~child] ?? 0)
    search.writeUInt32BE(value, i * 4)
  })
  const metadata = encode({
    node_count: tree.nodes,
    record_size: 32,
    ip_version: 6,
    database_type: 'asn',
    languages: ['en'],
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 0,
    description: { en: 'asn' },
  })
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1')
  return Buffer.concat([search, Buffer.alloc(16), ...encoded, marker, metadata])
}

const TYPE = { string: 2, uint32: 6, map: 7, array: 11 - 7 } as const

function encode(value: unknown): Buffer {
  if (typeof value === 'string') {
    const text = Buffer.from(value)
    return Buffer.concat([control(TYPE.string, text.length), text])
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return Buffer.concat([control(TYPE.uint32, 4), bytes])
  }
  // An extended type: its number follows the control byte.
  if (Array.isArray(value))
    return Buffer.concat([Buffer.from([value.length, TYPE.array]), ...value.map(encode)])
  const entries = Object.entries(value as object)
  return Buffer.concat([
    control(TYPE.map, entries.length),
    ...entries.flatMap(([key, item]) => [encode(key), encode(item)]),
  ])
}

function control(type: number, size: number): Buffer {
  if (size < 29) return Buffer.from([(type << 5) | size])
  if (size < 285) return Buffer.from([(type << 5) | 29, size - 29])
  return Buffer.from([(type << 5) | 30, (size - 285) >> 8, (size - 285) & 255])
}
