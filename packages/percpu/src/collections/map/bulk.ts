/** Setting many entries: one after the other, in one stretch or in many. */
import { checkOptions, checkRange, isSafely, refused } from '../../machine/check.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import { nextTurn } from '../../machine/platform.js'
import { checkSignal, Deadline, type AbortSignalLike } from '../../machine/wait-options.js'
import { checkSource, STRETCH, takeAll, type Source } from '../sources.js'
import type { WriterParts } from './parts.js'

/** What `load` takes. */
export interface LoadOptions {
  /** About how many entries come: room for them is made at once. Default 0. */
  readonly sizeHint?: number
}
/** What `loadAsync` takes. */
export interface LoadAsyncOptions extends LoadOptions {
  /** Ends the load when it aborts: the call rejects with its reason. What was set stays. */
  readonly signal?: AbortSignalLike
}

type Pair<K, V> = readonly [K, V]
const PAIRS = 'pairs'
interface Settable<K, V> {
  set(key: K, value: V): unknown
}

/** Returns the size hint. @throws ArgumentError. */
export function checkLoad(entries: unknown, options: LoadOptions): number {
  checkOptions('load', options, { sizeHint: true })
  return checkHint(entries, options, false)
}
/** As {@link checkLoad}. @throws ArgumentError; the reason of the signal. */
export function checkLoadAsync(entries: unknown, options: LoadAsyncOptions): number {
  checkOptions('load', options, { sizeHint: true, signal: true })
  checkSignal(options.signal)
  const sizeHint = checkHint(entries, options, true)
  new Deadline(options).throwIfAborted()
  return sizeHint
}
function checkHint(entries: unknown, { sizeHint = 0 }: LoadOptions, isAsync: boolean): number {
  checkRange('sizeHint', sizeHint, 0, 2 ** 31)
  checkSource('entries', entries, PAIRS, isAsync)
  return sizeHint
}

function checkPair(entry: unknown): void {
  if (!isSafely(() => Array.isArray(entry))) throw refused('entries', entry, 'no pair of a key and a value')
}

/** Sets them all in this stretch. */
export function setAll<K, V>(map: Settable<K, V>, entries: Iterable<Pair<K, V>>): void {
  checkSource('entries', entries, PAIRS, false)
  for (const entry of entries) {
    checkPair(entry)
    map.set(entry[0], entry[1])
  }
}

/** Sets them all, and lets what was replaced be freed in between. */
export async function setAllAsync<K, V>(
  map: Settable<K, V>,
  parts: WriterParts,
  entries: Source<Pair<K, V>>,
  { signal }: LoadAsyncOptions,
): Promise<void> {
  const deadline = new Deadline(signal === undefined ? {} : { signal })
  let count = 0
  const take = (entry: Pair<K, V>): Promise<void> | undefined => {
    checkPair(entry)
    count++
    try {
      map.set(entry[0], entry[1])
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      return again(map, parts, entry, deadline)
    }
    return count % STRETCH === 0 ? pause(parts, deadline) : undefined
  }
  await takeAll(entries, take)
}

/** After what is pending was freed. */
async function again<K, V>(
  map: Settable<K, V>,
  { queueing }: WriterParts,
  [key, value]: Pair<K, V>,
  deadline: Deadline,
): Promise<void> {
  await queueing.callbacks.barrier(deadline)
  map.set(key, value)
}

/** Until this thread has been in its event loop, and not too much is pending. */
async function pause({ queueing }: WriterParts, deadline: Deadline): Promise<void> {
  await nextTurn()
  await queueing.callbacks.room
  deadline.throwIfAborted()
}
