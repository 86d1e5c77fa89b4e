/** Where many entries come from: an iterable, or an asynchronous one. */
import { isSafely, refused } from '../machine/check.js'

export type Source<T> = Iterable<T> | AsyncIterable<T>

/** Entries that are taken in one stretch. */
export const STRETCH = 256

/** `of`: what it gives. @throws ArgumentError. */
export function checkSource(what: string, source: unknown, of: string, isAsync: boolean): void {
  const has = (symbol: symbol): boolean =>
    typeof (Object(source) as Partial<Record<symbol, unknown>>)[symbol] === 'function'
  const isSource = (): boolean => has(Symbol.iterator) || (isAsync && has(Symbol.asyncIterator))
  if (typeof source === 'object' && isSafely(isSource)) return
  throw refused(what, source, `not an iterable of ${of}`)
}

/**
 * Gives them to `take`, one after the other, and waits for the promises that it returns.
 *
 * @throws what iterating throws; what `take` throws.
 */
export async function takeAll<T>(
  source: Source<T>,
  take: (item: T) => Promise<void> | undefined,
): Promise<void> {
  // One that is both is gone through as `for await` does.
  if (Symbol.asyncIterator in source) {
    for await (const item of source) await take(item)
    return
  }
  for (const item of source) {
    const taking = take(item)
    if (taking !== undefined) await taking
  }
}
