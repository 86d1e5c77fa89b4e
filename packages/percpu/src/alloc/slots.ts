/**
 * Slots: where the objects of a cache lie in its slabs. Pure arithmetic from a reference (an
 * address in units of 8 bytes: address.ts) to an object's slot and tag, and back.
 *
 *     slab │ tag 0 │ tag 1 │ … │ colour │ slot 0 │ slot 1 │ …
 *     ├──────────── first ─────┤        ├─stride─┤
 *
 * A slab lies at a multiple of its size.
 *
 * The distance of an object from its slab is `first` + `colour` × `colourStep` + its slot ×
 * `stride`. A colour is less than a stride, so the slot of an object is found without it. Only the
 * check whether an object starts at some address needs the colour, which stands in the page's
 * state.
 *
 * Hot: plain fields, and functions short enough for the compiler to put into their callers.
 */
import { PAGE_REF_SHIFT } from './address.js'
import { reciprocal, type Geometry } from './geometry.js'
import { SlabLayout } from './layouts.js'
import { COLOUR_SHIFT, OF_CACHE, slabState } from './page-map.js'

// Copied out of their modules, and kept beside the export, for the compiler: it checks an import,
// and an export within its own module, at each use.
const ofCache = OF_CACHE
const colourShift = COLOUR_SHIFT
const tags = SlabLayout.stride / 4
/** Word of the first tag in a slab. */
export const TAGS = tags

export interface Slots {
  /** What the state of each page of the cache's slabs has in {@link OF_CACHE}. */
  readonly ofCache: number
  /** Of a reference: the bits that say where its slab begins. */
  readonly mask: number
  /**
   * References from the slab to slot 0 without colour, from slot to slot, and from colour to
   * colour.
   */
  readonly first: number
  readonly stride: number
  readonly colourStep: number
  /** Slots of a slab. */
  readonly objects: number
  /** Multiplied with and shifted by, these divide by the stride: geometry.ts. */
  readonly inverse: number
  readonly shift: number
}

/** `cache`: its number. */
export function slotsOf(geometry: Geometry, cache: number): Slots {
  const references = 1 << (PAGE_REF_SHIFT + geometry.order)
  const [inverse, shift] = reciprocal(geometry.stride / 8, references)
  return {
    ofCache: slabState(0, cache, 0),
    mask: -references,
    first: geometry.first / 8,
    stride: geometry.stride / 8,
    colourStep: geometry.colourStep / 8,
    objects: geometry.objects,
    inverse,
    shift,
  }
}

/**
 * Word index of the tag of an object, by its reference. For references of objects only. The two
 * summands are that of the slab's first tag, and the object's slot.
 */
function tagOf(slots: Slots, reference: number): number {
  const slot = Math.imul((reference & ~slots.mask) - slots.first, slots.inverse) >>> slots.shift
  return (((reference & slots.mask) << 1) + tags + slot) | 0
}
export const tagAt = tagOf

/**
 * Word index of the tag of the object that starts at a reference; 0 if none of this cache does.
 * `state`: that of the page which the reference points into.
 */
export function locate(slots: Slots, reference: number, state: number): number {
  const tag = tagOf(slots, reference)
  const slab = reference & slots.mask
  const slot = tag - (slab << 1) - tags
  const colour = Math.imul(state >>> colourShift, slots.colourStep)
  const start = slab + slots.first + colour + Math.imul(slot, slots.stride)
  return start === reference && slot < slots.objects && (state & ofCache) === slots.ofCache ? tag : 0
}

/** The slot of an object, by its reference. For references of objects only. */
export function slotAt(slots: Slots, reference: number): number {
  return tagOf(slots, reference) - ((reference & slots.mask) << 1) - tags
}

/** The reference of the object in a slot. `page`: the first one of its slab; `state`: its state. */
export function referenceOf(slots: Slots, page: number, slot: number, state: number): number {
  const colour = (state >>> COLOUR_SHIFT) * slots.colourStep
  return (page << PAGE_REF_SHIFT) + slots.first + colour + slot * slots.stride
}

/** The first page of the slab of an object, by its reference. */
export function slabOf(slots: Slots, reference: number): number {
  return (reference & slots.mask) >> PAGE_REF_SHIFT
}
