/** The words that the next step of a process touches, and the bytes of them. */
import { ALLOCATE, CALL, CODE, COPY_IN, COPY_OUT, FILL, FREE, NOTIFY, RETURN } from './ops.js'
import type { History } from './history.js'
import type { Process } from './process.js'
import { bytesOfFormat } from './formats.js'
import { BYTES } from './views.js'

/** Sets `word`, `words` and `mask` of a process whose next step is known. */
export function footprint(process: Process): void {
  const { view, index, code } = process
  if (view === undefined) {
    process.words = 0
    return
  }
  if (view.form === BYTES) {
    setRange(process, index, bytesOnBytes(process))
    return
  }
  switch (view.shift) {
    case 2:
      process.word = index
      process.words = (code & CODE) === NOTIFY ? 0 : 1
      process.mask = 15
      return
    case 3:
      process.word = index * 2
      process.words = (code & CODE) === NOTIFY ? 0 : 2
      process.mask = 15
      return
    case 1:
      process.word = index >>> 1
      process.words = 1
      process.mask = 3 << ((index & 1) * 2)
      return
    default:
      process.word = index >>> 2
      process.words = 1
      process.mask = 1 << (index & 3)
  }
}

/** The words of a step that was taken. */
export function footprintOf(history: History, step: number) {
  return {
    code: history.code[step] as number,
    shadow: history.view[step]?.shadow,
    word: history.word[step] as number,
    words: history.words[step] as number,
  }
}

/** Bytes that the access of a process touches. */
export function bytesOf({
  view,
  code,
  a,
  b,
  index,
}: Pick<Process, 'view' | 'code' | 'a' | 'b' | 'index'>): number {
  if (view === undefined) return 0
  return view.form === BYTES ? bytesOnBytes({ code, a, b, index }) : 1 << view.shift
}

function bytesOnBytes({ code, a, b }: Pick<Process, 'code' | 'a' | 'b' | 'index'>): number {
  switch (code & CODE) {
    case FILL:
    case ALLOCATE:
    case FREE:
    case CALL:
    case RETURN:
      return b as number
    case COPY_IN:
      return (a as Uint8Array).length
    case COPY_OUT:
      return a as number
    default:
      return bytesOfFormat(b as number)
  }
}

function setRange(process: Process, address: number, bytes: number): void {
  const first = address % 4
  process.word = (address - first) / 4
  process.words = bytes === 0 ? 0 : Math.ceil((first + bytes) / 4)
  process.mask = process.words === 1 ? ((1 << bytes) - 1) << first : 15
}
