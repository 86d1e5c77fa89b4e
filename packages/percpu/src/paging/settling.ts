/**
 * What a change has left that was not whole, and how others end it.
 *
 *     unmap    notes the pages ──▶ their areas go ──▶ entries go, and rounds ──▶ the note goes
 *     killed, or late   changer = OWED
 *     others   is there a note, and no area? ──▶ entries go ──▶ a round ──▶ changer = 0
 *
 * So pages without an area are there only as long as there is a changer, or OWED. Whoever cleans up
 * ends it, and whoever fills holes, maps, pins, forks or changes before that. It takes no memory:
 * the tables were made before the note was, and nobody shares them meanwhile.
 *
 * If the areas are there, nothing was unmapped, and the note means nothing.
 */
import { compareExchangeAtomic32, loadU32 } from '#mem'
import { OWED, SpaceTable } from '../pagetable/layouts.js'
import type { Pages } from '../pagetable/shootdown.js'
import { LockTimeoutError } from '../sync/errors.js'
import type { SpacePlace } from './layouts.js'
import type { Pager } from './pager.js'

const { changer, root: edge, leavingFrom, leavingTo } = SpaceTable.words
/** Parts that are given up while the lock is held once. */
const PARTS = 16

/** Notes that the pages [from, to) are about to have no area. Under the lock, by the changer. */
export function noteLeaving({ log }: Pager, { table }: SpacePlace, from: number, to: number): void {
  log.write32(table + leavingFrom, from)
  log.write32(table + leavingTo, to)
  log.commit()
}
/** The pages that are to be unmapped; undefined if there are none. The changer asks. */
export function leavingPages({ memory }: Pager, { table }: SpacePlace): Pages | undefined {
  const to = loadU32(memory.u32, table + leavingTo)
  return to === 0 ? undefined : { from: loadU32(memory.u32, table + leavingFrom), to }
}
/**
 * Unmaps what was noted, unless the areas are there still. Under the lock, by the changer. Returns
 * false if the list became full: then it is to be called again, after a release.
 */
export function takeLeaving(pager: Pager, place: SpacePlace): boolean {
  const { areas, gather } = pager
  const { table, id } = place
  const pages = leavingPages(pager, place)
  if (pages === undefined) return true
  const { from, to } = pages
  const isUnmapped = areas.first(id, from, to) === undefined
  if (isUnmapped && !gather.unmap(table + edge, from, to)) return false
  noteLeaving(pager, place, 0, 0)
  return true
}

/** Becomes the changer of a space that was left so. False: there is nothing left, or another is. */
export function claimLeft(pager: Pager, { table }: SpacePlace, isThere = (): boolean => true): boolean {
  const { i32 } = pager.memory
  // atomic: as U in Changes. Of those that find it one does.
  const claim = (): boolean =>
    isThere() && compareExchangeAtomic32(i32, table + changer, OWED, pager.token) === OWED
  return pager.locked(claim)
}

/**
 * Ends what was left in a space, in the middle of an access, unless another thread does. `isOver`:
 * whether to give up waiting for a CPU.
 *
 * @throws LockTimeoutError of `late`, or if the list of this thread is full.
 */
export function settle(
  pager: Pager,
  place: SpacePlace,
  isOver: (cpu: number) => boolean,
  late: () => LockTimeoutError,
): void {
  if (!claimLeft(pager, place)) return
  const { gather, rounds } = pager
  // Of other spaces, whose rounds may not be over.
  const { count: kept } = gather
  let left = OWED
  try {
    for (let isTaken = false; !isTaken;) {
      isTaken = pager.locked(() => takeLeaving(pager, place))
      if (!isTaken && gather.count === kept)
        throw new LockTimeoutError('what this thread has unmapped elsewhere is not given up yet', {})
      if (!rounds.block(place.table, () => pager.acknowledge(), isOver)) {
        if (gather.count > kept) pager.noteStrays()
        throw late()
      }
      giveUp(pager, gather, kept)
    }
    left = 0
  } finally {
    pager.endChange(place, left)
  }
}

/** Gives up what stands on a list behind the first `kept`. A round is over. */
export function giveUp(pager: Pager, gather: Pager['gather'], kept = 0): void {
  const part = (): boolean => {
    for (let parts = 0; parts < PARTS; parts++) {
      if (gather.count <= kept) return false
      gather.release()
    }
    return true
  }
  while (pager.locked(part));
}
