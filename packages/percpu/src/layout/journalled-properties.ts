/**
 * The properties of sections: those of scalar-properties.ts, whose setters first record in the undo
 * log what they overwrite. A field is recorded at its own width, as its neighbours may belong to
 * others.
 */
import type { Held, UndoLog } from './flavours.js'
import type { Scalar } from './types.js'
import type { AnyProperty, ByteBased, Property, WordBased } from './scalar-properties.js'
import { notA, typeOfValue } from './values.js'

type Recorder<Self> = (self: Self) => void

/** The property of `scalar` at byte `offset` of a struct aligned to at least 4 bytes. */
export function journalledWord(
  property: AnyProperty<WordBased>,
  scalar: Scalar,
  offset: number,
): PropertyDescriptor {
  const { name, size, big } = scalar
  if (!big && (name === 'i32' || name === 'u32')) return word(property as Property<WordBased, number>, offset)
  return recorded(property as Property<WordBased, unknown>, typeOfValue(scalar), wordRecorder(size, offset))
}

/** The most common case, in one step of the log. */
function word({ get }: Property<WordBased, number>, offset: number): PropertyDescriptor {
  const at = offset / 4
  return {
    get,
    set(this: WordBased, value: number) {
      if (typeof value !== 'number') throw notA('number', value)
      ;(this.holder as UndoLog).write32(this.baseWord + at, value)
    },
  }
}

/** The property of a scalar of 1 or 2 bytes at byte `offset` of a struct aligned to less than 4. */
export function journalledByte(
  property: AnyProperty<ByteBased>,
  size: number,
  offset: number,
): PropertyDescriptor {
  const at = offset
  const record: Recorder<ByteBased> =
    size === 1
      ? (self) => logOf(self).record8(self.baseByte + at)
      : (self) => logOf(self).record16((self.baseByte + at) / 2)
  return recorded(property as Property<ByteBased, unknown>, 'number', record)
}

function recorded<Self>(
  { get, set }: Property<Self, unknown>,
  type: 'number' | 'bigint',
  record: Recorder<Self>,
): PropertyDescriptor {
  const write = set
  const recordOf = record
  const wanted = type
  return {
    get,
    set(this: Self, value: unknown) {
      // Before the entry, which would be one for nothing.
      if (typeof value !== wanted) throw notA(wanted, value)
      // Before the store, or a kill in between would leave it for good. Mutant:
      // layout/field-before-entry.
      recordOf(this)
      write.call(this, value)
    },
  }
}

function wordRecorder(size: number, offset: number): Recorder<WordBased> {
  const at = offset / size
  if (size === 1) return (self) => logOf(self).record8(self.baseWord * 4 + at)
  if (size === 2) return (self) => logOf(self).record16(self.baseWord * 2 + at)
  if (size === 4) return (self) => logOf(self).record32(self.baseWord + at)
  return (self) => logOf(self).record64((self.baseWord >> 1) + at)
}

function logOf(self: Held): UndoLog {
  return self.holder as UndoLog
}
