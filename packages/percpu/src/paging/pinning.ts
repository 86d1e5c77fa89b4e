/** Pages that stay where they are. */
import { assertOpen } from '../collections/life.js'
import { showAs } from '../inspect.js'
import { endUnlessOffline } from '../machine/ending.js'
import { MAX_PINS } from '../pagetable/layouts.js'
import { clearPin, freePin, setPin } from '../pagetable/pins.js'
import { ofThisThread } from '../unsendable.js'
import type { SpaceAccess } from './access.js'
import type { Span } from './addresses.js'
import { TooManyPinsError } from './errors.js'
import { faultAt } from './faults.js'

/** A page that stays where it is, until it is unpinned. */
export class Pin {
  static {
    showAs(this, ({ address }) => ({ address }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread
  /** Byte address of the page in the machine's memory: for `percpu/mem`, and `Struct.at`. */
  readonly address: number
  readonly #end: () => void
  #isPinned = true

  /** @internal Made by `AddressSpace.pin`. */
  constructor(address: number, end: () => void) {
    this.address = address
    this.#end = end
  }

  /** Lets the page move. Once: further calls do nothing, nor does one after `offline`. */
  unpin(): void {
    if (!this.#isPinned) return
    this.#isPinned = false
    endUnlessOffline(this.#end)
  }
  /** As {@link unpin}. */
  [Symbol.dispose](): void {
    this.unpin()
  }
}

/** @throws as `AddressSpace.pin`. */
export function pinPage(access: SpaceAccess, { address, page }: Span): Pin {
  const { pager, place } = access
  const { memory, note } = pager
  assertOpen(access.memory)
  const slot = freePin(memory, note)
  if (slot === undefined)
    throw new TooManyPinsError(`this thread has pinned ${MAX_PINS} pages: unpin one first`, {
      limit: MAX_PINS,
    })
  const unpin = (): void => clearPin(memory, note, slot)
  for (;;) {
    // What can be missing comes first.
    try {
      access.writing(page, () => undefined)
    } catch (error) {
      throw faultAt(error, address)
    }
    setPin(memory, note, slot, place.id, page)
    let isPinned = false
    try {
      // Noted first: who changes the space finds the pin, or is found here. Mutant:
      // paging/pin-unchecked.
      if (pager.changerOf(place) === 0) {
        // Of this space alone from here on: nobody moves it.
        const address = access.writing(page, (word) => word * 4)
        isPinned = true
        return new Pin(address, unpin)
      }
    } finally {
      if (!isPinned) unpin()
    }
    pager.awaitChanger(place)
  }
}
