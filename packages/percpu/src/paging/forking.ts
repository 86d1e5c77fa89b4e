/**
 * Forks: a space with the contents of another one.
 *
 *     no writing ──▶ a round: nobody writes ──▶ the new space has the areas, and the same root
 *
 * From then on both share all tables and pages: who writes copies (tables.ts).
 */
import type { NamedThing } from '../bootmem/names.js'
import type { Deadline } from '../machine/wait-options.js'
import { SPACE_PAGES } from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import { AREA_WRITE } from './areas.js'
import type { Changes } from './changes.js'
import type { SpacePlace } from './layouts.js'
import type { Pager } from './pager.js'
import { placeOf, type SpaceRegistry, type Wanted } from './registry.js'

const { root: edge } = SpaceTable.words

interface ForkParts {
  readonly pager: Pager
  readonly changes: Changes
  readonly registry: SpaceRegistry
}

/**
 * Makes the space `wanted` with what another one has at a moment of the call. `isFixed`: it is
 * read-only.
 *
 * @throws as `AddressSpace.fork`.
 */
export async function forkSpace(
  parts: ForkParts,
  from: SpacePlace,
  wanted: Wanted,
  deadline: Deadline,
  isFixed: boolean,
): Promise<NamedThing> {
  const { pager, changes, registry } = parts
  return changes.run(from, deadline, async () => {
    changes.checkPins(from, 0, SPACE_PAGES)
    pager.locked(() => pager.tables.protect(from.table + edge))
    await pager.round(from, deadline)
    // Nobody writes, and nobody can before this change ends. Mutant: paging/fork-unwaited.
    return pager.locked(() => {
      const made = registry.create(pager, wanted)
      try {
        copyAreas(pager, from, placeOf(pager.memory, made.address), isFixed)
      } catch (error) {
        registry.remove(wanted)
        throw error
      }
      shareRoot(pager, from, placeOf(pager.memory, made.address))
      registry.finish(made)
      return made
    })
  })
}
function copyAreas({ areas }: Pager, from: SpacePlace, to: SpacePlace, isFixed: boolean): void {
  // Of a space that had this number once, and whose end was not whole.
  if (areas.first(to.id, 0, SPACE_PAGES) !== undefined) areas.delete(to.id)
  const allowed = isFixed ? ~AREA_WRITE : -1
  areas.setAll(
    to.id,
    [...areas.each(from.id)].map((area) => ({ ...area, flags: area.flags & allowed })),
  )
}
function shareRoot({ tables, frames, log }: Pager, from: SpacePlace, to: SpacePlace): void {
  const entry = tables.at(from.table + edge)
  if (entry === 0) return
  frames.share(log, entry)
  log.writeAtomic32(to.table + edge, entry)
  log.commit()
}
