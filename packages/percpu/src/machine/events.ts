/**
 * Typed events, without the host's event classes.
 */
import { ArgumentError } from '../errors.js'
import { checkFunction, checkOptions, shown } from './check.js'
import { reportError } from './platform.js'
import { checkSignal, type AbortSignalLike } from './wait-options.js'

/** What `on` takes. */
export interface ListenOptions {
  /** Ends listening when it aborts. */
  readonly signal?: AbortSignalLike
}

/** `Events` maps names to what their listeners are given. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(detail: never) => void>>()
  readonly #what: string
  readonly #names: readonly (keyof Events & string)[]

  /** `what` has events of these names. */
  constructor(what: string, names: readonly (keyof Events & string)[]) {
    this.#what = what
    this.#names = names
  }

  /**
   * Calls `listener` for each event of this name. Returns a function that ends that.
   *
   * @throws ArgumentError for a name that no event has.
   */
  on<Name extends keyof Events>(
    name: Name,
    listener: (detail: Events[Name]) => void,
    options: ListenOptions = {},
  ): () => void {
    this.#checkName(name)
    checkFunction('listener', listener)
    checkOptions('on', options, { signal: true })
    const { signal } = options
    checkSignal(signal)
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    const own = (detail: Events[Name]) => {
      listener(detail)
    }
    const off = () => {
      listeners.delete(own)
      // The signal may outlive many listeners.
      signal?.removeEventListener('abort', off)
    }
    if (signal?.aborted) return off
    listeners.add(own)
    signal?.addEventListener('abort', off, { once: true })
    return off
  }

  /** Whether anybody listens to events of this name. @throws ArgumentError for no event's name. */
  has(name: keyof Events): boolean {
    this.#checkName(name)
    return (this.#listeners.get(name)?.size ?? 0) > 0
  }

  /**
   * The next event of this name that passes `filter`.
   *
   * @throws ArgumentError for a name that no event has, or a filter that is no function.
   */
  async once<Name extends keyof Events>(
    name: Name,
    filter: (detail: Events[Name]) => boolean = () => true,
  ): Promise<Events[Name]> {
    checkFunction('filter', filter)
    return new Promise((resolve) => {
      const off = this.on(name, (detail) => {
        if (!filter(detail)) return
        off()
        resolve(detail)
      })
    })
  }

  #checkName(name: unknown): void {
    if ((this.#names as readonly unknown[]).includes(name)) return
    const { length } = this.#names
    const known = `${this.#names.slice(0, length - 1).join(', ')} and ${String(this.#names[length - 1])}`
    throw new ArgumentError(`${this.#what} has no event ${shown(name)}; it has ${known}`, { name })
  }

  /**
   * @internal For the owner of the events. What a listener throws surfaces as the host's uncaught
   *   error; the other listeners are called all the same.
   */
  emit<Name extends keyof Events>(name: Name, detail: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        ;(listener as (detail: Events[Name]) => void)(detail)
      } catch (error) {
        reportError(error)
      }
    }
  }
}
