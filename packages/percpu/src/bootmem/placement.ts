/**
 * Where a region of boot memory goes: first fit in the gaps between sorted regions, node by node.
 * Pure arithmetic on units of 64 bytes; the shared list is memblock.ts's business.
 */
import { roundUp } from '../arithmetic.js'
import {
  checkFlag,
  checkObject,
  checkOptions,
  checkPowerOfTwo,
  checkRange,
  checkText,
  refused,
  type OptionNames,
} from '../machine/check.js'
import { LABEL_BYTES, UNIT } from '../machine/limits.js'

/** What `memblock.alloc` takes. */
export interface AllocRequest {
  /** Bytes, at least 1; rounded up to whole 64-byte units. */
  readonly size: number
  /** A power of two; at least 64, the default. */
  readonly align?: number
  /** The region ends at or below this address. */
  readonly limit?: number
  /**
   * NUMA node to take it from; other nodes only when that one has no room. Default: the calling
   * CPU's.
   */
  readonly node?: number
  /** True: from no other node. */
  readonly strict?: boolean
  /** The region crosses no multiple of this power of two. */
  readonly noCross?: number
  /** For reports: at most 16 printable ASCII characters. */
  readonly label?: string
  /**
   * False: leave the contents as they are, for a caller that overwrites all of it. Default: zeroed.
   */
  readonly zero?: boolean
}

const requestNames: OptionNames<AllocRequest> = {
  size: true,
  align: true,
  limit: true,
  node: true,
  strict: true,
  noCross: true,
  label: true,
  zero: true,
}

/** A stretch of units in use. */
export interface Extent {
  readonly start: number
  readonly units: number
}

/** How the machine's units are divided among nodes: evenly, in order. */
export interface NodeMap {
  readonly units: number
  readonly nodes: number
}

/** A checked request, in units. */
export interface Wanted {
  readonly units: number
  readonly align: number
  readonly limit: number
  readonly node: number
  readonly strict: boolean
  readonly noCross: number | undefined
}

/** @throws ArgumentError for a request that no memory could satisfy. */
export function checkRequest(request: AllocRequest, map: NodeMap, homeNode: number): Wanted {
  checkObject('request', request)
  checkOptions('memblock.alloc', request, requestNames)
  checkLabel(request.label)
  const { size, align = UNIT, limit, node, strict = false, noCross, zero } = request
  checkFlag('strict', strict)
  checkFlag('zero', zero)
  checkRange('size', size, 1, Number.MAX_SAFE_INTEGER)
  checkPowerOfTwo('align', align, 1, 2 ** 52)
  if (limit !== undefined && !(typeof limit === 'number' && limit > 0))
    throw refused('limit', limit, 'no address above 0')
  if (node !== undefined) checkRange('node', node, 0, map.nodes - 1)
  const units = Math.ceil(size / UNIT)
  if (noCross !== undefined) checkPowerOfTwo('noCross', noCross, units * UNIT, 2 ** 52)
  return {
    units,
    align: Math.max(1, align / UNIT),
    limit: Math.min(map.units, Math.floor((limit ?? Infinity) / UNIT)),
    node: node ?? homeNode,
    strict,
    noCross: noCross === undefined ? undefined : noCross / UNIT,
  }
}

/** The first unit of a place for it, on the wanted node or, if that has none, on the next ones. */
export function findPlace(inUse: readonly Extent[], wanted: Wanted, map: NodeMap): number | undefined {
  const gaps = gapsOf(inUse, wanted.limit)
  for (let i = 0; i < (wanted.strict ? 1 : map.nodes); i++) {
    const [low, high] = nodeRange((wanted.node + i) % map.nodes, map)
    for (const [from, to] of gaps) {
      const place = fit(Math.max(from, low), wanted)
      if (place + wanted.units <= Math.min(to, high)) return place
    }
  }
  return undefined
}

/**
 * The free stretches below `end`, as [first unit, first unit behind]. `inUse` is sorted by start.
 */
export function gapsOf(inUse: readonly Extent[], end: number): (readonly [number, number])[] {
  const gaps: (readonly [number, number])[] = []
  let from = 0
  for (const { start, units } of inUse) {
    gaps.push([from, Math.min(start, end)])
    from = start + units
  }
  gaps.push([from, end])
  return gaps.filter(([low, high]) => low < high)
}

/** First unit of a node, and the first one behind it. */
export function nodeRange(node: number, { units, nodes }: NodeMap): readonly [number, number] {
  return [Math.floor((units * node) / nodes), Math.floor((units * (node + 1)) / nodes)]
}

export function nodeOf(unit: number, map: NodeMap): number {
  let node = map.nodes - 1
  while (node > 0 && unit < nodeRange(node, map)[0]) node--
  return node
}

/**
 * The first unit at or above `from` that suits the alignment and the boundary; may lie behind the
 * gap's end.
 */
function fit(from: number, { units, align, noCross }: Wanted): number {
  const place = roundUp(from, align)
  if (noCross === undefined || Math.floor(place / noCross) === Math.floor((place + units - 1) / noCross))
    return place
  const step = Math.max(align, noCross)
  return roundUp(place, step)
}

/** Undefined passes. @throws ArgumentError for a label that would not be read back as it is. */
function checkLabel(label: unknown): void {
  checkText('label', label)
  if (label === undefined || labelOf(label as string) === label) return
  throw refused('label', label, `not text of at most ${LABEL_BYTES} printable ASCII characters`)
}
/** As much of a text as a label can have. */
export function labelOf(text: string): string {
  return text.slice(0, LABEL_BYTES).replace(/[^ -~]/g, '?')
}
