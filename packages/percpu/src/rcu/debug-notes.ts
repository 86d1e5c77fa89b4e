/**
 * Notes that the debug mode of SRCU shares among threads: which sections are under way, since when
 * and where they were begun; and which domain was waited for inside a section of which other one.
 *
 *     owner   0 ──claim──▶ token of the CPU ──▶ KEPT, for what outlives it ──▶ 0
 *     kind    0 ──────────▶ its kind, when the rest is written ─────────────▶ 0, first
 *
 * A CPU that dies has its notes removed by its reaper. If there is no free note, things go
 * unnoted: then stacks are missing in reports of other threads, and circles are not found.
 *
 * A reader may find a note that is being removed, and used again. It looks at `kind` before and
 * after; what it reads serves people only.
 */
import {
  addAtomic32,
  compareExchangeAtomic32,
  copyIn,
  copyOut,
  loadAtomic32,
  loadF64,
  loadU32,
  storeAtomic32,
  storeF64,
  storeU32,
  type Memory,
} from '#mem'
import type { Directory } from '../bootmem/directory.js'
import { decodeText, encodeText } from '../text.js'
import { KEPT, RcuNote, RcuNotes, SECTION } from './debug-layouts.js'

const NAME = 'percpu.rcu.debug'
const spec = { type: RcuNotes.name, layout: RcuNotes }
const { words, offsets } = RcuNote
const STRIDE = RcuNote.stride / 4
const FIRST = RcuNotes.offsets.notes / 4
const COUNT = (RcuNotes.size / 4 - FIRST) / STRIDE
/** Bytes of text in a note. */
const TEXT = RcuNote.size - offsets.text

/** At boot: the machine is in debug mode. */
export function bootDebug(objects: Directory): void {
  objects.create(NAME, spec)
}

export interface Note {
  readonly kind: number
  readonly domain: number
  readonly awaited: number
  readonly serial: number
  readonly cpu: number
  readonly since: number
  readonly text: string
  /** Word index of the note. */
  readonly at: number
}
export type NewNote = Omit<Note, 'at'>

export class Notes {
  readonly #memory: Memory
  readonly #words: number
  /** Where the next search begins. */
  #next = 0

  private constructor(memory: Memory, address: number) {
    this.#memory = memory
    this.#words = address / 4
  }

  static open(memory: Memory, objects: Directory): Notes {
    return new Notes(memory, objects.open(NAME, spec))
  }

  /** A number for a section that none has had before, from 1 on; until 2^32. */
  nextSerial(): number {
    // atomic: the number alone matters.
    return (addAtomic32(this.#memory.i32, this.#words + RcuNotes.words.serial, 1) >>> 0) + 1
  }

  /**
   * Makes a note, for as long as the CPU's incarnation lasts (`owner`), or longer. Returns where it
   * is; undefined if there is no room.
   */
  add(note: NewNote, owner: number): number | undefined {
    const at = this.#claim(owner)
    if (at === undefined) return undefined
    const { u32, f64, i32 } = this.#memory
    for (const name of ['domain', 'awaited', 'serial', 'cpu'] as const)
      storeU32(u32, at + words[name], note[name])
    storeF64(f64, at / 2 + offsets.since / 8, note.since)
    const bytes = encodeText(note.text).slice(0, TEXT)
    copyIn(this.#memory, at * 4 + offsets.text, bytes)
    storeU32(u32, at + words.length, bytes.length)
    // atomic: the note is complete; whoever looks for circles adds its own before it looks.
    storeAtomic32(i32, at + words.kind, note.kind)
    // atomic: from now on no reaper removes it.
    if (note.kind !== SECTION) storeAtomic32(i32, at + words.owner, KEPT)
    return at
  }

  /** Returns whether this call removed it, as a note of this kind. */
  remove(at: number, kind: number): boolean {
    const { i32 } = this.#memory
    // atomic: of several threads one removes it.
    if (compareExchangeAtomic32(i32, at + words.kind, kind, 0) !== kind) return false
    // atomic: free.
    storeAtomic32(i32, at + words.owner, 0)
    return true
  }

  /** The CPU whose token this is has left, or is dead. */
  forget(owner: number): void {
    const { i32 } = this.#memory
    for (const at of this.#places()) {
      // atomic: the notes of a CPU that writes no more.
      if (loadAtomic32(i32, at + words.owner) !== owner) continue
      storeAtomic32(i32, at + words.kind, 0)
      storeAtomic32(i32, at + words.owner, 0)
    }
  }
  /** The domain with this word index is gone. */
  forgetDomain(domain: number): void {
    for (const note of this.all())
      if (note.domain === domain || note.awaited === domain) this.remove(note.at, note.kind)
  }

  all(): Note[] {
    return this.#places()
      .map((at) => this.#read(at))
      .filter((note) => note !== undefined)
  }

  #read(at: number): Note | undefined {
    const { i32, u32, f64 } = this.#memory
    // atomic: what follows was written before; unless it is removed meanwhile, which is seen below.
    const kind = loadAtomic32(i32, at + words.kind)
    if (kind === 0) return undefined
    const load = (word: number): number => loadU32(u32, at + word)
    const note = {
      kind,
      domain: load(words.domain),
      awaited: load(words.awaited),
      serial: load(words.serial),
      cpu: load(words.cpu),
      since: loadF64(f64, at / 2 + offsets.since / 8),
      text: decodeText(copyOut(this.#memory, at * 4 + offsets.text, Math.min(load(words.length), TEXT))),
      at,
    }
    // atomic: as above.
    return loadAtomic32(i32, at + words.kind) === kind ? note : undefined
  }

  #claim(owner: number): number | undefined {
    const { i32 } = this.#memory
    for (let tried = 0; tried < COUNT; tried++) {
      const at = this.#place(this.#next++)
      // atomic: of several CPUs one has it.
      if (
        loadAtomic32(i32, at + words.owner) === 0 &&
        compareExchangeAtomic32(i32, at + words.owner, 0, owner) === 0
      )
        return at
    }
    return undefined
  }
  #places(): number[] {
    return Array.from({ length: COUNT }, (_, index) => this.#place(index))
  }
  #place(index: number): number {
    return this.#words + FIRST + (index % COUNT) * STRIDE
  }
}
