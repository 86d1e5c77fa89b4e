/**
 * Fields that hold addresses. A byte address of an 8 GiB memory has 33 bits. The word keeps it in
 * units of 8 bytes, a number below 2^30, which is a small integer to every engine. A cleared word
 * reads as 0, for none: no object lies at address 0.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../shown.js'
import type { MemoryOf, UndoLog } from './flavours.js'
import type { Property, WordBased } from './scalar-properties.js'
import { jsonAs, showAs } from '../inspect.js'

// Copied out of their module for the compiler: scalar-properties.ts says why.
const { compareExchangeAtomic32, exchangeAtomic32, load32, loadAtomic32, store32, storeAtomic32 } = mem

/** Bytes in a unit of the word. */
const UNIT = 8

/** Bits that are 0 in an address below 2 GiB. */
const STRAY = -(2 ** 31) | (UNIT - 1)

// Functions as constants: the compiler would look a declared one up at each use.

const encodeAny = (address: number): number => {
  const units = typeof address === 'number' ? address / UNIT : NaN
  if (Number.isInteger(units) && units >= 0 && units < 2 ** 30) return units
  throw new ArgumentError(
    `${shown(address)} is not an address: it must be a multiple of ${UNIT} from 0, for none, to below 8 GiB`,
    { address },
  )
}

/**
 * A byte address as a word keeps it.
 *
 * @throws ArgumentError unless it is a multiple of 8 from 0 to below 8 GiB.
 */
export const encodeAddress = (address: number): number => {
  // An address below 2 GiB is a 32-bit integer to the engine, which then has one test and a shift
  // to do.
  return typeof address === 'number' && (address | 0) === address && (address & STRAY) === 0
    ? address >> 3
    : encodeAny(address)
}

/** The byte address in the 32-bit word with this index. */
export function loadAddress(view: mem.I32View, index: number): number {
  return load32(view, index) * UNIT
}
/** Writes a byte address. @throws ArgumentError for anything else; nothing is written then. */
export function storeAddress(view: mem.I32View, index: number, address: number): void {
  store32(view, index, encodeAddress(address))
}

/** The property of a plain address at byte `offset`. */
export function addressProperty(of: MemoryOf, offset: number): Property<WordBased, number> {
  const at = offset / 4
  const read = load32
  const write = store32
  return {
    get() {
      return read(of(this).i32, this.baseWord + at) * UNIT
    },
    set(value) {
      write(of(this).i32, this.baseWord + at, encodeAddress(value))
    },
  }
}

/** The property of a plain address in a section. */
export function journalledAddress(of: MemoryOf, offset: number): Property<WordBased, number> {
  const at = offset / 4
  const { get } = addressProperty(of, offset)
  return {
    get,
    set(value) {
      ;(this.holder as UndoLog).write32(this.baseWord + at, encodeAddress(value))
    },
  }
}

/** An atomic word that holds a byte address: a multiple of 8 below 8 GiB, or 0 for none. */
export class AtomicAddress {
  static {
    showAs(this, (cell) => ({ value: cell.load() }))
    jsonAs(this, 'cell', (cell) => cell.load())
  }

  declare readonly memory: Memory
  /** 32-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  /** A byte address, or 0 for none. */
  load(): number {
    return loadAtomic32(this.memory.i32, this.index) * UNIT
  }
  /** @throws ArgumentError for anything but such an address. */
  store(address: number): void {
    storeAtomic32(this.memory.i32, this.index, encodeAddress(address))
  }
  /** Returns the address before. @throws ArgumentError for anything but such an address. */
  exchange(address: number): number {
    return exchangeAtomic32(this.memory.i32, this.index, encodeAddress(address)) * UNIT
  }
  /**
   * Stores `address` if the word holds `expected`; returns the address before.
   *
   * @throws ArgumentError for anything but such addresses.
   */
  compareExchange(expected: number, address: number): number {
    return (
      compareExchangeAtomic32(this.memory.i32, this.index, encodeAddress(expected), encodeAddress(address)) *
      UNIT
    )
  }
}
