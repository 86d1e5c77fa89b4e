/** Equations of the page tables: table.… */
import { PAGE_BYTES } from '../arithmetic.js'
import { flagsOf, frameOf, PAGE_LEVEL, PRESENT, targetOf, WRITE } from '../pagetable/entry.js'
import type { Faults } from './faults.js'
import { RESERVED_CHUNK, type AllocatorState } from './state.js'
import type { Located, UnitTables } from './tables.js'

/**
 * Adds the pages of tables to `owners`. Returns whether what the entries say can be followed.
 */
export function checkTables(
  state: AllocatorState,
  tables: UnitTables,
  faults: Faults,
  owners: Map<number, string>,
): boolean {
  let count = 0
  for (const located of tables.entries()) {
    const { entry, level, page } = located
    const name = nameOf(located)
    const frame = frameOf(entry)
    if (flagsOf(entry) !== (PRESENT | WRITE)) faults.add('table.entry', name, `its entry is ${entry}`)
    if (!isInMemory(state, frame)) {
      faults.add('table.entry', name, `page ${frame} is not in the memory`)
      if (level > PAGE_LEVEL) return false
    }
    if (!isOfBoot(state, page) && !state.pages.isPersistent(frame * PAGE_BYTES))
      faults.add('table.kept', name, `page ${frame} is not persistent`)
    if (level === PAGE_LEVEL) {
      if (state.record(state.geometry.indexOfPage(page)) === 0)
        faults.add('table.entry', name, 'there is no such chunk')
      continue
    }
    count++
    const owner = owners.get(frame)
    if (owner !== undefined) {
      faults.add('table.entry', name, `its page is that of ${owner}`)
      return false
    }
    owners.set(frame, name)
    if (tables.isEmpty(targetOf(entry))) faults.add('table.empty', name, 'leads nowhere')
  }
  faults.expect('table.count', 'root', 'tables', tables.count, count)
  return true
}

function nameOf({ level, page }: Located): string {
  return level === PAGE_LEVEL ? `page ${page}` : `the table of level ${level} for page ${page}`
}
function isInMemory({ memory }: AllocatorState, frame: number): boolean {
  return frame > 0 && (frame + 1) * PAGE_BYTES <= memory.byteLength
}
/** What boot made leads to boot memory. */
function isOfBoot({ geometry }: AllocatorState, page: number): boolean {
  return page < geometry.pageNumber(RESERVED_CHUNK + 1, 0, 0)
}
