/**
 * The flavours of accessors: where they find their memory, and which plain fields have setters.
 *
 *     shared     its holder is a Memory     setters for fields that are not locked
 *     section    ... an undo log            setters for all fields, which record in the log first
 *     draft      ... a scope                setters for all fields
 *     value      ... a scope                no setters
 *
 * An accessor hands its holder on to the views that it gives. A scope loses its memory when it
 * ends: from then on every accessor and view of it throws.
 */
import { poisonMemory, type Memory } from '#mem'
import type { Kind } from './types.js'

/** Something that has a memory until it ends. */
export interface Scope {
  readonly memory: Memory
}

/**
 * A log of old values. Each method records a value that is about to be overwritten, so that it can
 * be taken back; it throws if it cannot. The index is the caller's to check.
 */
export interface UndoLog extends Scope {
  /** One byte; `address` is its byte address. */
  record8(address: number): void
  /** `index` is the byte address / 2. */
  record16(index: number): void
  /** `index` is the byte address / 4. */
  record32(index: number): void
  /** `index` is the byte address / 8. */
  record64(index: number): void
  /** Records and writes the 32-bit integer at `index`, the byte address / 4. */
  write32(index: number, value: number): void
}

export type Holder = Memory | Scope
/** An accessor or a view. */
export interface Held {
  readonly holder: Holder
}
export type MemoryOf = (self: Held) => Memory

export interface Flavour {
  readonly name: 'shared' | 'section' | 'draft' | 'value'
  readonly memoryOf: MemoryOf
  readonly canWrite: (kind: Kind | undefined) => boolean
}

const shared: Flavour = {
  name: 'shared',
  memoryOf: (self) => self.holder as Memory,
  canWrite: (kind) => kind !== 'locked',
}
const section: Flavour = {
  name: 'section',
  memoryOf: (self) => (self.holder as UndoLog).memory,
  canWrite: () => true,
}
const draft: Flavour = {
  name: 'draft',
  memoryOf: (self) => (self.holder as Scope).memory,
  canWrite: () => true,
}
const value: Flavour = {
  name: 'value',
  memoryOf: (self) => (self.holder as Scope).memory,
  canWrite: () => false,
}
export const flavours = { shared, section, draft, value }

/** As shared, for the accessors of one memory. */
export function boundTo(memory: Memory): Flavour {
  const fixed = memory
  return { ...shared, memoryOf: () => fixed }
}

/** A memory for scopes that have ended: every use throws what `makeError` returns. */
export function closedMemory(makeError: () => Error): Memory {
  const memory = Object.defineProperty({}, 'byteLength', {
    get(): never {
      throw makeError()
    },
  }) as Memory
  poisonMemory(memory, makeError)
  return memory
}
