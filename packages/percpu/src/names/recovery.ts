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
import { NamesCpu, UNLINKED, UNLINKING } from './layouts.js'
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
  if (entry === 0 || load32(i32, note + words.state) === UNLINKED) return
  const address = load32(i32, note + words.block) * 8
  const isLarge = load32(i32, note + words.isLarge) === 1
  let isUnlinked = false
  try {
    const tags = makeTags()
    // What is not in flight with the dead may be anybody's by now.
    const isInFlight = isLarge ? memblock.isOwn(address) : isTagged(tags, address)
    const isLinked =
      isInFlight && new SplitList(memory, map.space(load32(i32, note + words.space))).has(entry)
    isUnlinked = isInFlight && !isLinked && load32(i32, note + words.state) === UNLINKING
    if (isUnlinked) store32(i32, note + words.state, UNLINKED)
    // Mutant: names/linked-in-flight.
    if (isLinked || isUnlinked) {
      if (isLarge) memblock.persist(address)
      else tags.persist(address)
    }
  } finally {
    // Whatever happens: the next thread of this CPU has nothing to do with it.
    if (!isUnlinked) store32(i32, note + words.entry, 0)
  }
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

/**
 * The entry that the dead CPU had unlinked and not queued; from here on the caller's alone to free.
 */
export function takeUnlinked(
  memory: Memory,
  map: NamesMap,
  cpu: number,
  isPersistent: (block: Block) => boolean,
): { readonly entry: number; readonly space: (typeof NAME_SPACES)[number] } | undefined {
  const { i32 } = memory
  const note = map.note(cpu)
  const entry = load32(i32, note + words.entry)
  if (entry === 0 || load32(i32, note + words.state) !== UNLINKED) return undefined
  const space = NAME_SPACES[load32(i32, note + words.space)]
  store32(i32, note + words.entry, 0)
  // Its queueing may have been finished meanwhile.
  return space !== undefined && isPersistent(blockOf(memory, entry)) ? { entry, space } : undefined
}
