/** Pages that stay where they are. */
import { assertOpen } from '../collections/life.js'
import { clearPin, setPin } from '../pagetable/pins.js'
import { MAX_PINS } from '../pagetable/layouts.js'
import { endUnlessOffline } from '../machine/ending.js'
import type { SpaceAccess } from './access.js'
import type { Span } from './addresses.js'
import { TooManyPinsError } from './errors.js'

/** A page that stays where it is, until it is unpinned. */
export interface Pin extends Disposable {
  /** Byte address of the page in the machine's memory: for `percpu/mem`, and `Struct.at`. */
  readonly address: number
  /** Once: further calls do nothing. */
  unpin(): void
}

/** @throws as `AddressSpace.pin`. */
export function pinPage(access: SpaceAccess, { page }: Span): Pin {
  const { pager, place } = access
  const { memory, note } = pager
  assertOpen(access.memory)
  for (;;) {
    const slot = setPin(memory, note, place.id, page)
    if (slot === undefined)
      throw new TooManyPinsError(`this thread has pinned ${MAX_PINS} pages: unpin one first`, {
        limit: MAX_PINS,
      })
    let isPinned = false
    try {
      // Noted first: who changes the space finds the pin, or is found here. Mutant:
      // paging/pin-unchecked.
      if (pager.changerOf(place) === 0) {
        // Of this space alone from here on: nobody moves it.
        const address = access.writing(page, (word) => word * 4)
        isPinned = true
        return pinOf(address, () => clearPin(memory, note, slot))
      }
    } finally {
      if (!isPinned) clearPin(memory, note, slot)
    }
    pager.awaitChanger(place)
  }
}
function pinOf(address: number, end: () => void): Pin {
  let isPinned = true
  const unpin = (): void => {
    if (!isPinned) return
    isPinned = false
    endUnlessOffline(end)
  }
  return { address, unpin, [Symbol.dispose]: unpin }
}
