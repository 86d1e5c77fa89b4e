import { AbortedError } from './errors.js'

/**
 * What `promise` gives; at the signal an error at once. What the promise gives then is dropped.
 *
 * @throws AbortedError
 */
export async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (!signal) return promise
  let abort = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new AbortedError('given up: the service is being stopped'))
  })
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
    promise.catch(() => undefined)
  }
}
