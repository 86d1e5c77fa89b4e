/**
 * Areas: which addresses of a space may be used, and how. (As the kernel's vm_area_struct.)
 *
 * The areas of all spaces are in one map of ranges. Its keys are the number of the space and that
 * of a page: `id × 2^31 + page`. So a fork copies its areas as one change, and the end of a space
 * takes them away as one. Areas side by side with the same permissions are one area.
 *
 * They change under the lock of the page tables. Whoever has the lock may read them, even in an
 * idle stretch: the version that there is stays there. Others read them in a stretch, as any map.
 */
import { SPACE_PAGES } from '../pagetable/entry.js'
import type { Deadline } from '../machine/wait-options.js'
import type { SharedRangeMap } from '../collections/range/range-map.js'

/** What is allowed in an area, and how it is filled. */
export const AREA_READ = 1
export const AREA_WRITE = 2
/** It is filled with blocks of 1024 pages where there are any. */
export const AREA_HUGE = 4

/** Keys of a space. Twice as many as it has pages: areas of two spaces never touch. */
const STRIDE = 2 * SPACE_PAGES
/** Numbers of spaces: 1 to this, so that each key is a safe integer. */
export const MAX_SPACES = 2 ** 22 - 1

/** Pages [from, to) of a space, and their AREA flags. */
export interface Area {
  readonly from: number
  readonly to: number
  readonly flags: number
}

export type AreaMap = SharedRangeMap<number, number>

export class Areas {
  readonly #map: AreaMap

  constructor(map: AreaMap) {
    this.#map = map
  }

  /** The area in which a page of a space lies. */
  at(space: number, page: number): Area | undefined {
    const found = this.#map.find(space * STRIDE + page)
    return found && areaOf(space, found)
  }
  /** Those that have pages in [from, to), in their order; whole, also where they go beyond. */
  *each(space: number, from = 0, to = SPACE_PAGES): Generator<Area> {
    const base = space * STRIDE
    for (const found of this.#map.entries({ from: base + from, to: base + to - 1 }))
      yield areaOf(space, found)
  }
  /** The first one of them. */
  first(space: number, from: number, to: number): Area | undefined {
    for (const area of this.each(space, from, to)) return area
    return undefined
  }

  /** @throws OutOfMemoryError; LockTimeoutError. Nothing is changed then. So do the others. */
  set(space: number, { from, to, flags }: Area): void {
    const base = space * STRIDE
    this.#map.set(base + from, base + to - 1, flags)
  }
  /** Sets several, as one change. */
  setAll(space: number, areas: readonly Area[]): void {
    const base = space * STRIDE
    this.#map.batch(areas.map(({ from, to, flags }) => [base + from, base + to - 1, flags] as const))
  }
  /** Resolves when the memory of what was changed before is free. */
  barrier(deadline: Deadline): Promise<void> {
    return this.#map.barrier(deadline.rest)
  }
  delete(space: number, from = 0, to = SPACE_PAGES): void {
    const base = space * STRIDE
    this.#map.delete(base + from, base + to - 1)
  }
}

function areaOf(
  space: number,
  range: { readonly from: number; readonly to: number; readonly value: number },
): Area {
  const base = space * STRIDE
  return { from: range.from - base, to: range.to - base + 1, flags: range.value }
}
