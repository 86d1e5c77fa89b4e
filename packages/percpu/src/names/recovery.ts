/**
 * What a dead CPU left half-done with a name: its note says at which entry it was. For its reaper.
 *
 *     linked, in flight        it was about to link or unlink it: it is persistent
 *     not linked, in flight    linking: the heap lets it go. Unlinking: it is freed after a grace
 *                              period, as others may have found it just before
 *     not in flight            it was done
 *
 * Every step can be repeated. Whoever reaps and is no CPU itself has no heap: what was unlinked
 * then stays allocated, at most one object for each death.
 */
import { load32, store32, type Memory } from '#mem'
import { ForeignAddressError } from '../alloc/errors.js'
import type { Tags } from '../alloc/tags.js'
import type { Memblock } from '../bootmem/memblock.js'
import { NAME_SPACES } from '../bootmem/names.js'
import { blockOf, type Block } from './entry.js'
import { NamesCpu, LINKING, UNLINKED } from './layouts.js'
import type { NamesMap } from './names-map.js'
import { SplitList } from './split-list.js'

const { words } = NamesCpu

/** Before any layer frees what was in flight, in the dead CPU's name. */
export function examineNote(
  memory: Memory,
  map: NamesMap,
  cpu: number,
  makeTags: () => Tags,
  memblock: Memblock,
): void {
  const { i32 } = memory
  const note = map.note(cpu)
  const entry = load32(i32, note + words.entry)
  if (entry === 0) return
  const state = load32(i32, note + words.state)
  const address = load32(i32, note + words.block) * 8
  const isLarge = load32(i32, note + words.isLarge) === 1
  const tags = makeTags()
  // What is not in flight with the dead may be anybody's by now.
  const isInFlight = isLarge ? memblock.isOwn(address) : isTagged(tags, address)
  const isLinked = isInFlight && new SplitList(memory, map.space(load32(i32, note + words.space))).has(entry)
  const isUnlinked = isInFlight && !isLinked && state !== LINKING
  if (isUnlinked) store32(i32, note + words.state, UNLINKED)
  // Mutant: names/linked-in-flight.
  if (isLinked || isUnlinked) {
    if (isLarge) memblock.persist(address)
    else tags.persist(address)
  }
  // Not before: if something throws, the step is repeated. Mutant: names/note-lost.
  if (!isUnlinked && state !== UNLINKED) store32(i32, note + words.entry, 0)
}

/** False, too, if nothing starts there any more. */
function isTagged(tags: Tags, address: number): boolean {
  return isThere(() => tags.isInFlight(address))
}
/** Whether a test of what starts at an address holds; false if nothing does. */
export function isThere(test: () => boolean): boolean {
  try {
    return test()
  } catch (error) {
    if (error instanceof ForeignAddressError) return false
    throw error
  }
}

/** Frees the entry that the dead CPU had unlinked and not queued. */
export function freeUnlinked(
  memory: Memory,
  map: NamesMap,
  cpu: number,
  isPersistent: (block: Block) => boolean,
  free: (space: (typeof NAME_SPACES)[number], entry: number) => void,
): void {
  const { i32 } = memory
  const note = map.note(cpu)
  const entry = load32(i32, note + words.entry)
  if (entry === 0 || load32(i32, note + words.state) !== UNLINKED) return
  const space = NAME_SPACES[load32(i32, note + words.space)]
  // Its queueing may have been finished meanwhile.
  if (space !== undefined && isPersistent(blockOf(memory, entry))) free(space, entry)
  // Not before. Nothing is freed by a grace period while the dead CPU is cleaned up after: another
  // attempt would find whether it is queued.
  store32(i32, note + words.entry, 0)
}
