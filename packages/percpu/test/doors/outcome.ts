/** What a call came to: a value or an error, at once or later. */
export interface Outcome {
  readonly ended: 'returned' | 'threw' | 'resolved' | 'rejected' | 'pending'
  readonly value: unknown
}

/** Rounds of the event loop until a promise counts as pending. */
const ROUNDS = 50

/** Awaits nothing unless the call returns a promise. */
export function attempt(
  call: (...args: readonly unknown[]) => unknown,
  args: readonly unknown[],
): Outcome | Promise<Outcome> {
  let value: unknown
  try {
    value = call(...args)
  } catch (error) {
    return { ended: 'threw', value: error }
  }
  return value instanceof Promise ? settled(value) : { ended: 'returned', value }
}

async function settled(promise: Promise<unknown>): Promise<Outcome> {
  const end = promise.then(
    (value: unknown): Outcome => ({ ended: 'resolved', value }),
    (error: unknown): Outcome => ({ ended: 'rejected', value: error }),
  )
  const pending: Outcome = { ended: 'pending', value: undefined }
  return Promise.race([end, rounds().then(() => pending)])
}
async function rounds(): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) await new Promise((resolve) => setTimeout(resolve, 1))
}

export function hasSucceeded({ ended }: Outcome): boolean {
  return ended === 'returned' || ended === 'resolved'
}
