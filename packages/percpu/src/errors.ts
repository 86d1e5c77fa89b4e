/** The errors that percpu throws on purpose, and how they are told from others. */

/** On every error of percpu: the names of its class and of those above it. Shared by all copies. */
const brand = Symbol.for('percpu.error')

/**
 * The `code` of each error; docs/errors.md says what they mean. Those of the command are the last.
 */
export type PercpuErrorCode =
  | 'PERCPU_ALLOCATOR_CORRUPTION'
  | 'PERCPU_ALREADY_JOINED'
  | 'PERCPU_AREA_OVERLAP'
  | 'PERCPU_ARGUMENT'
  | 'PERCPU_BAD_HANDLE'
  | 'PERCPU_CACHE_MISMATCH'
  | 'PERCPU_DOUBLE_FREE'
  | 'PERCPU_DRAFT'
  | 'PERCPU_ENTRY_TOO_LARGE'
  | 'PERCPU_VIEW_ENDED'
  | 'PERCPU_FAULT'
  | 'PERCPU_FOREIGN_ADDRESS'
  | 'PERCPU_FOREIGN_BUFFER'
  | 'PERCPU_HEAP_CORRUPTION'
  | 'PERCPU_HOTPLUG'
  | 'PERCPU_INVALID_FREE'
  | 'PERCPU_JOURNAL_FULL'
  | 'PERCPU_LAYOUT'
  | 'PERCPU_LOCK_HELD'
  | 'PERCPU_LOCK_TIMEOUT'
  | 'PERCPU_MAP_CORRUPTION'
  | 'PERCPU_MAP_MISMATCH'
  | 'PERCPU_NAMED_MEMORY'
  | 'PERCPU_NAME_IN_USE'
  | 'PERCPU_NO_FREE_CPU'
  | 'PERCPU_NOT_OWNER'
  | 'PERCPU_OBJECT_EXISTS'
  | 'PERCPU_OBJECT_MISMATCH'
  | 'PERCPU_OBJECT_MISSING'
  | 'PERCPU_OFFLINE'
  | 'PERCPU_OUT_OF_MEMORY'
  | 'PERCPU_PINNED'
  | 'PERCPU_POINTER'
  | 'PERCPU_REF_MISUSE'
  | 'PERCPU_REMOVED'
  | 'PERCPU_RING_CLOSED'
  | 'PERCPU_RING_CORRUPTION'
  | 'PERCPU_RING_MISMATCH'
  | 'PERCPU_SECTION'
  | 'PERCPU_SELF_DEADLOCK'
  | 'PERCPU_SPACE_CORRUPTION'
  | 'PERCPU_SPARSE_MISMATCH'
  | 'PERCPU_SRCU_BUSY'
  | 'PERCPU_SRCU_MISUSE'
  | 'PERCPU_TOO_MANY_LOCKS'
  | 'PERCPU_TOO_MANY_PINS'
  | 'PERCPU_TRUNCATED_BUFFER'
  | 'PERCPU_UNANSWERED'
  | 'PERCPU_UNSUPPORTED'
  | 'PERCPU_VERSION_MISMATCH'
  | 'PERCPU_VPA'
  | 'PERCPU_ABORTED'
  | 'PERCPU_BUCKET'
  | 'PERCPU_FILE'
  | 'PERCPU_INPUT_TOO_LARGE'
  | 'PERCPU_SERVICE'
  | 'PERCPU_LOAD'
  | 'PERCPU_MALFORMED_INPUT'
  | 'PERCPU_STORE_BUSY'
  | 'PERCPU_STORE_DAMAGED'
  | 'PERCPU_STORE_FAILED'
  | 'PERCPU_STORE_FULL'
  | 'PERCPU_TABLE_REFUSED'
  | 'PERCPU_USAGE'
  | 'PERCPU_WORKER_LOST'

/**
 * The base of every error that percpu throws on purpose.
 *
 * Each subclass has a literal `code`, which docs/errors.md lists with what to do. It carries the
 * values that it speaks of as `details`, and what led to it as `cause`.
 *
 * `instanceof` tells a class by its name, not by its identity: an error is recognised by another
 * copy of the package too, such as one that another dependency brought along. Names are strings of
 * their own: a minifier that renames classes leaves them alone.
 */
export abstract class PercpuError extends Error {
  static override readonly name: string = 'PercpuError'
  /** A stable, literal identifier such as `'PERCPU_NO_FREE_CPU'`, to switch on. */
  abstract readonly code: PercpuErrorCode
  /**
   * The values that the message names: addresses, CPUs, fields, the expected value and the one that
   * was found.
   */
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.details = details
    Object.defineProperty(this, brand, { value: classNames(new.target) })
  }

  /** Whether it is an error of this kind, also of another copy of the library. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    const names = (value as { readonly [brand]?: unknown } | null | undefined)?.[brand]
    return Array.isArray(names) && names.includes(this.name)
  }
}

/** The class and those above it, up to the base. */
function classNames(target: object): readonly string[] {
  const names: string[] = []
  for (let each: unknown = target; typeof each === 'function' && each !== Error;) {
    names.push(each.name)
    each = Object.getPrototypeOf(each)
  }
  return names
}

/**
 * An argument has the wrong type, is out of range, or contradicts another one. Nothing was changed.
 */
export class ArgumentError extends PercpuError {
  static override readonly name = 'ArgumentError'
  readonly code = 'PERCPU_ARGUMENT'
}
