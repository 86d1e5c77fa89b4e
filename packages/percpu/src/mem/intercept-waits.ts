/** Waits of foreign code: what they go through while somebody watches them. Part of `#mem`. */

export type WaitResult = 'ok' | 'not-equal' | 'timed-out'

type HostWait = (view: Int32Array, index: number, value: number, timeout?: number) => WaitResult
/** The host's, also while {@link interceptWaits} has put another one in its place. */
export const hostWait: HostWait = Atomics.wait.bind(Atomics)

type Around = (wait: () => WaitResult) => WaitResult
/** In the order in which they came. They may end in any other. */
const arounds: { readonly around: Around }[] = []
/** What {@link throughAll} has replaced; undefined while it is not in place. */
let replaced: HostWait | undefined

function throughAll(...args: Parameters<HostWait>): WaitResult {
  const host = (): WaitResult => Reflect.apply(replaced ?? hostWait, Atomics, args)
  return arounds.reduce(
    (wait, { around }) =>
      () =>
        around(wait),
    host,
  )()
}

/**
 * From now on every `Atomics.wait` of this thread, of whatever code, goes through `around`, which
 * is to call what it is given. `hostWait` does not. Returns a function that ends it. If
 * somebody else has put another function there since, that one stays, and waits pass through below
 * it.
 */
export function interceptWaits(around: Around): () => void {
  const found = Reflect.get(Atomics, 'wait') as HostWait
  if (replaced === undefined || found === replaced) {
    replaced = found
    Reflect.set(Atomics, 'wait', throughAll)
  }
  const entry = { around }
  arounds.push(entry)
  return () => {
    const index = arounds.indexOf(entry)
    if (index >= 0) arounds.splice(index, 1)
    if (arounds.length > 0 || Reflect.get(Atomics, 'wait') !== throughAll) return
    Reflect.set(Atomics, 'wait', replaced)
    replaced = undefined
  }
}
