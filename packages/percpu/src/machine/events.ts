/**
 * Typed events, without the host's event classes.
 */
import { reportError } from './platform.js'

export interface ListenOptions {
  /** Ends listening when it aborts. */
  readonly signal?: AbortSignalLike
}
/** What is needed of an AbortSignal. */
export interface AbortSignalLike {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
}

/** `Events` maps names to what their listeners are given. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(detail: never) => void>>()

  /** Calls `listener` for each event of this name. Returns a function that ends that. */
  on<Name extends keyof Events>(
    name: Name,
    listener: (detail: Events[Name]) => void,
    { signal }: ListenOptions = {},
  ): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    const own = (detail: Events[Name]) => {
      listener(detail)
    }
    const off = () => void listeners.delete(own)
    if (signal?.aborted) return off
    listeners.add(own)
    signal?.addEventListener('abort', off, { once: true })
    return off
  }

  /** The next event of this name that passes `filter`. */
  once<Name extends keyof Events>(
    name: Name,
    filter: (detail: Events[Name]) => boolean = () => true,
  ): Promise<Events[Name]> {
    return new Promise((resolve) => {
      const off = this.on(name, (detail) => {
        if (!filter(detail)) return
        off()
        resolve(detail)
      })
    })
  }

  /** What a listener throws surfaces as the host's uncaught error; the other listeners are called all the same. */
  protected emit<Name extends keyof Events>(name: Name, detail: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        ;(listener as (detail: Events[Name]) => void)(detail)
      } catch (error) {
        reportError(error)
      }
    }
  }
}
