/**
 * The properties of sections: those of scalar-properties.ts, whose setters first record in the undo
 * log what they overwrite. A field is recorded at its own width, as its neighbours may belong to
 * others.
 */
import type { Held, UndoLog } from './flavours.js'
import type { Scalar } from './types.js'
import type { AnyProperty, ByteBased, Property, WordBased } from './scalar-properties.js'
import { notA } from './values.js'

type Recorder<Self> = (self: Self) => void

/** The property of `scalar` at byte `offset` of a struct aligned to at least 4 bytes. */
export function journalledWord(
  property: AnyProperty<WordBased>,
  { name, size, big }: Scalar,
  offset: number,
): PropertyDescriptor {
  if (!big && (name === 'i32' || name === 'u32')) return word(property as Property<WordBased, number>, offset)
  const record = wordRecorder(size, offset)
  if (name === 'u64') return recordedBigInt(property as Property<WordBased, bigint>, record)
  return recordedNumber(property as Property<WordBased, number>, record)
}

/** The most common case, in one step of the log. */
function word({ get }: Property<WordBased, number>, offset: number): PropertyDescriptor {
  const at = offset / 4
  return {
    get,
    set(this: WordBased, value: number) {
      // It checks the value.
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
  return recordedNumber(property as Property<ByteBased, number>, record)
}

function recordedNumber<Self>(
  { get, set }: Property<Self, number>,
  record: Recorder<Self>,
): PropertyDescriptor {
  const write = set
  const recordOf = record
  return {
    get,
    set(this: Self, value: number) {
      // Before the entry, which would be one for nothing.
      if (typeof value !== 'number') throw notA('number', value)
      // Before the store, or a kill in between would leave it for good. Mutant:
      // layout/field-before-entry.
      recordOf(this)
      write.call(this, value)
    },
  }
}
/** As {@link recordedNumber}: apart, as an engine checks a type fast that the code names. */
function recordedBigInt<Self>(
  { get, set }: Property<Self, bigint>,
  record: Recorder<Self>,
): PropertyDescriptor {
  const write = set
  const recordOf = record
  return {
    get,
    set(this: Self, value: bigint) {
      // Before the entry, which would be one for nothing.
      if (typeof value !== 'bigint') throw notA('bigint', value)
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
