/** What is asked for with an object, memory of any size, or pages; and the checks of it. */
import { checkFlag, checkOptions, checkRange, checkStored, type OptionNames } from '../machine/check.js'
import { LABEL_TEXT } from '../watch/vpa-layout.js'

/** What `cache.create` and `cache.alloc` take. */
export interface ObjectRequest {
  /** True: all bytes are zero. Default: whatever is there. */
  readonly zero?: boolean
  /**
   * True: persistent at once. A thread that is killed before it links the object loses it. Default:
   * in flight, see `Cache.persist`.
   */
  readonly persist?: boolean
  /** In debug mode: what the object is for, in reports; at most 44 bytes of UTF-8. */
  readonly label?: string
}

/** What `heap.alloc` takes. */
export interface AllocationRequest extends ObjectRequest {
  /** Bytes, a power of two up to 4 MiB. Default 8. */
  readonly align?: number
}

export const objectNames: OptionNames<ObjectRequest> = { zero: true, persist: true, label: true }
export const allocationNames: OptionNames<AllocationRequest> = {
  align: true,
  zero: true,
  persist: true,
  label: true,
}

/** @throws ArgumentError for an option that there is not, or of another type. */
export function checkRequest<Request extends ObjectRequest>(
  what: string,
  request: Request,
  names: OptionNames<Request>,
): void {
  try {
    if (isPlain(request)) return
  } catch {
    // A trap or a getter threw: checkOptions tells of it.
    checkOptions(what, request, names)
  }
  checkOptions(what, request, names)
  checkFlag('zero', request.zero)
  checkFlag('persist', request.persist)
  // Also where it is not kept, or a program would fail only in debug mode.
  if (request.label !== undefined) checkStored('label', request.label, LABEL_TEXT)
}

/** Whether it has nothing but right flags, as most requests have. Cost: some ns. */
function isPlain(request: ObjectRequest): boolean {
  if (typeof request !== 'object' || (request as unknown) === null) return false
  for (const name in request) if (name !== 'zero' && name !== 'persist') return false
  const { zero, persist } = request
  return (
    (typeof zero === 'boolean' && (persist === undefined || typeof persist === 'boolean')) ||
    (typeof persist === 'boolean' && zero === undefined)
  )
}

/** What `heap.allocPages` takes. */
export interface PageRequest {
  /**
   * NUMA node to take it from; the others only when that one has none. Default: the calling CPU's.
   */
  readonly node?: number
  /**
   * True: all bytes are zero. Pages that were never used are zero anyway, and are not touched.
   * Default: whatever is there.
   */
  readonly zero?: boolean
}

export const noPageRequest: PageRequest = {}

/** @throws ArgumentError for an option that there is not, or of another type. */
export function checkPageRequest(request: PageRequest, nodes: number): void {
  checkOptions('pages.alloc', request, { node: true, zero: true })
  checkFlag('zero', request.zero)
  if (request.node !== undefined) checkRange('node', request.node, 0, nodes - 1)
}
