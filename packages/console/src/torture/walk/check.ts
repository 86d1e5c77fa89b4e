/** Whether a read gave what was mapped at that time. */
import { FaultError, type AddressSpace } from 'percpu'
import {
  addressOf,
  MAPPED,
  MAPPING,
  UNMAPPED,
  UNMAPPING,
  valueOf,
  type BoardView,
  type Failure,
} from './board.js'

const POISON = 0xffffffff

/** Reads a word of a page, at most 1023, and tells the board what is wrong with what it gave. */
export function readAndCheck(board: BoardView, space: AddressSpace, page: number, word: number): void {
  const before = board.state(page)
  const found = read(board, space, addressOf(page) + word * 4)
  const after = board.state(page)
  const failure = judge(page, found, before, after)
  if (failure !== undefined) board.fail(failure)
}

/**
 * As {@link readAndCheck}, all words of a page by one copy: on a deaf CPU that is one walk, which
 * lasts long enough for others to do much.
 */
export function copyAndCheck(board: BoardView, space: AddressSpace, page: number): void {
  const before = board.state(page)
  const found = copy(space, addressOf(page))
  const after = board.state(page)
  const all = typeof found === 'string' ? [found] : found
  for (const each of all) {
    const failure = judge(page, each, before, after)
    if (failure === undefined) continue
    board.fail(failure)
    return
  }
}
function copy(space: AddressSpace, address: number): Uint32Array | 'fault' | 'error' {
  try {
    return new Uint32Array(space.copyOut(address, 4096).buffer)
  } catch (error) {
    return error instanceof FaultError ? 'fault' : 'error'
  }
}

function read(board: BoardView, space: AddressSpace, address: number): number | 'fault' | 'error' {
  try {
    const value = space.read(address)
    if (value === 0) board.count('zeros')
    return value
  } catch (error) {
    if (!(error instanceof FaultError)) return 'error'
    board.count('faults')
    return 'fault'
  }
}

/** `before`, `after`: states of the page. Undefined if it is right. */
export function judge(
  page: number,
  found: number | 'fault' | 'error',
  before: number,
  after: number,
): Failure | undefined {
  if (found === 'error') return 'uncaught'
  if (found === POISON) return 'poison'
  const first = before >>> 2
  const last = after >>> 2
  const isSame = before === after
  const phase = before & 3
  if (found === 'fault') return isSame && phase === MAPPED ? 'unmapped' : undefined
  if (isSame && phase === UNMAPPED) return 'stale'
  if (found === 0) return isSame && phase === MAPPED ? 'lost' : undefined
  // Versions are not compared that were written while this thread read: any of them may be found.
  for (let version = first - 1; version <= last; version++) {
    if (found !== valueOf(page, version)) continue
    const isOld = version < first
    // What was there before it is being unmapped or written is there until that is done.
    const mayBeOld = phase === MAPPING || phase === UNMAPPING
    return isOld && !mayBeOld ? 'stale' : undefined
  }
  return found >>> 22 === valueOf(page, 0) >>> 22 ? 'stale' : 'foreign'
}
