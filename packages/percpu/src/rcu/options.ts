/** How a machine is booted with regard to callbacks: how many a CPU may have pending. */
import { ArgumentError } from '../errors.js'
import { checkOptions, checkRange } from '../machine/check.js'
import { parseSize } from '../machine/size.js'
import type { Mark, Marks } from './pressure.js'

/** What a CPU may have pending; what is left out is as by default. */
export interface MarkOptions {
  /** Callbacks: 1 to 2^30. */
  readonly callbacks?: number
  /** Bytes that are to be freed, or text such as `'16 MiB'`: at least 8. */
  readonly bytes?: number | string
}
/** How many callbacks may be pending, given to {@link boot}. */
export interface CallbackOptions {
  /**
   * Beyond it grace periods are hurried. Default 16384 callbacks or a 16th of the memory, or what
   * `full` says if that is less.
   */
  readonly high?: MarkOptions
  /**
   * Beyond it the promises of `free` and `call` resolve only when less is pending, and their
   * blocking forms wait. Default 262144 callbacks or a quarter of the memory, or what `high` says
   * if that is more.
   */
  readonly full?: MarkOptions
}

const MOST_CALLBACKS = 2 ** 30

/** @throws ArgumentError. */
export function checkCallbackOptions(options: CallbackOptions | undefined): void {
  checkOptions('callbacks of boot', options, { high: true, full: true })
  for (const mark of ['high', 'full'] as const) {
    const given = options?.[mark]
    checkOptions(`callbacks.${mark} of boot`, given, { callbacks: true, bytes: true })
    const { callbacks = 1, bytes = 8 } = given ?? {}
    checkRange(`callbacks.${mark}.callbacks`, callbacks, 1, MOST_CALLBACKS)
    checkRange(`callbacks.${mark}.bytes`, parseSize(bytes, `callbacks.${mark}.bytes`), 8, 2 ** 34)
  }
  const { high, full } = readMarks(options, 2 ** 33)
  if (high.callbacks <= full.callbacks && high.bytes <= full.bytes) return
  throw new ArgumentError('callbacks: the mark high is above the mark full', { high, full })
}

/** The marks of a machine with so many bytes of memory. */
export function readMarks({ high = {}, full = {} }: CallbackOptions = {}, memory: number): Marks {
  const callbacks = pair(high.callbacks, full.callbacks, 1 << 14, 1 << 18)
  const bytes = pair(sizeOf(high, 'high'), sizeOf(full, 'full'), memory / 16, memory / 4)
  const mark = (i: 0 | 1): Mark => ({ callbacks: callbacks[i], bytes: Math.floor(bytes[i] / 8) * 8 })
  return { high: mark(0), full: mark(1) }
}
function sizeOf({ bytes }: MarkOptions, mark: string): number | undefined {
  return bytes === undefined ? undefined : parseSize(bytes, `callbacks.${mark}.bytes`)
}
/** What is given, and else the default, as far as the other one allows. */
function pair(
  high: number | undefined,
  full: number | undefined,
  defaultHigh: number,
  defaultFull: number,
): [number, number] {
  const most = full ?? Math.max(defaultFull, high ?? 0)
  return [high ?? Math.min(defaultHigh, most), most]
}
