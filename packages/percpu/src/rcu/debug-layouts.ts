/** What the debug mode of SRCU keeps in shared memory. debug-notes.ts has the protocol. */
import { array, atomic, f64, i32, pad, racy, struct, u32, u8 } from '../layout/index.js'

/** Bytes of text in a note. */
const TEXT = 728

/** Something that all threads are to know of: a section under way, or a wait inside one. */
export const RcuNote = struct(
  'RcuNote',
  {
    /** 0: free. Else the token of the CPU that writes it, or {@link KEPT}. */
    owner: atomic(i32),
    /** 0: not complete. Else {@link SECTION}, {@link HANDED_OVER} or {@link WAIT}. */
    kind: atomic(i32),
    /** Word index of the domain of the section. */
    domain: racy(u32),
    /** Of a wait: word index of the domain that is waited for. */
    awaited: racy(u32),
    /** The token of a section is made of it. */
    serial: racy(u32),
    cpu: racy(u32),
    /** Machine time at which it began. */
    since: racy(f64),
    /** Bytes of text. */
    length: racy(u32),
    _reserved: pad(4),
    /** UTF-8: where it was begun. */
    text: racy(array(u8, TEXT)),
  },
  { size: 768, align: 64 },
)

export const RcuNotes = struct('RcuNotes', {
  /** Sections begun so far. */
  serial: atomic(i32),
  _reserved: pad(60),
  notes: array(RcuNote, 128),
})

/** A note that outlives its CPU. */
export const KEPT = -1

/** A section that its thread ends. */
export const SECTION = 1
/** A section that any thread may end. */
export const HANDED_OVER = 2
/** Somebody waits, or has waited, for a domain inside a section of another one. */
export const WAIT = 3
