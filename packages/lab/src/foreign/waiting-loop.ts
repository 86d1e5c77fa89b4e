/** A loop of foreign code that waits, while it runs; loops.ts says which loops do. */
import { types } from 'node:util'
import { foreignAccess } from './access.js'
import { isSharedView, realOf } from './real-view.js'

export class WaitingLoop {
  /** The place of the engine at which the newest turn began; -1 before the first. */
  from = -1
  readonly #chains: () => readonly (readonly unknown[])[]

  /** @param chains gives an object and keys for each chain of properties that a turn reads */
  constructor(chains: () => readonly (readonly unknown[])[]) {
    this.#chains = chains
  }

  /** To be called at the beginning of each turn. */
  turn(): true {
    foreignAccess().turn?.(this)
    return true
  }

  /**
   * Whether a turn runs no code that could remember anything: no getter, no proxy, and no
   * conversion of an object.
   */
  remembersNothing(): boolean {
    try {
      return this.#chains().every(isPlain)
    } catch {
      return false // the turn has not come to something that could not be read now
    }
  }
}

function isPlain([root, ...keys]: readonly unknown[]): boolean {
  let value = realOf(root)
  for (const key of keys) {
    // A word of shared memory, which is not read here, or a length.
    if (isSharedView(value)) return typeof key === 'number' || key === 'length'
    if (value === null || value === undefined || types.isProxy(value)) return false
    if (typeof key === 'object' || typeof key === 'function') return false
    const property = propertyOf(value, key as PropertyKey)
    if (property !== undefined && !('value' in property)) return false
    value = realOf(property?.value)
  }
  return isSharedView(value) || (typeof value !== 'object' && typeof value !== 'function') || value === null
}

function propertyOf(value: unknown, key: PropertyKey): PropertyDescriptor | undefined {
  for (let at: unknown = Object(value); at !== null; at = Object.getPrototypeOf(at)) {
    if (types.isProxy(at)) return { get: () => undefined }
    const found = Object.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return found
  }
  return undefined
}
