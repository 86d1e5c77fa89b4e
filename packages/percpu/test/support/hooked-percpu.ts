/**
 * Loads the built library with hooked-mem.ts in the place of `#mem`. Import this, and nothing else
 * of percpu, first.
 */
import { register } from 'node:module'
import type { Machine } from 'percpu'
import * as hooked from './hooked-mem.js'
import { machineMaker } from './machine-maker.js'

const target = new URL('./hooked-mem.js', import.meta.url).href
const real = import.meta.resolve('percpu/mem')
register(
  'data:text/javascript,' +
    encodeURIComponent(`export const resolve = async (specifier, context, next) => {
      const resolved = await next(specifier, context)
      const isIts = resolved.url === ${JSON.stringify(real)} && context.parentURL !== ${JSON.stringify(target)}
      return isIts ? { ...resolved, url: ${JSON.stringify(target)} } : resolved
    }`),
)

export const percpu = await import('percpu')
export const mem = hooked
export const { fresh, joinAs } = machineMaker(percpu, { memory: '512 KiB', cpus: 4, journal: 64 })

/** Thrown inside a library call in place of the access before which the thread was killed. */
export class Killed extends Error {}

// A killed thread reports nothing: its Killed would surface as an uncaught error of this one.
const { queueMicrotask } = globalThis
globalThis.queueMicrotask = (callback) =>
  queueMicrotask(() => {
    try {
      callback()
    } catch (error) {
      const isKilled = error instanceof Killed || (error instanceof Error && error.cause instanceof Killed)
      if (!isKilled) throw error
    }
  })

/**
 * Runs `operation`, and right before its access number `at` (from 0) runs `intrude`. Accesses made
 * by `intrude` are not counted. Returns whether the operation made that many accesses.
 */
export function interrupt(operation: () => unknown, at: number, intrude: () => void): boolean {
  let count = 0
  return interruptBefore(operation, () => count++ === at, intrude)
}

/** As {@link interrupt}, at its point number `at`, by somebody who changes nothing. */
export function look(operation: () => unknown, at: number, intrude: () => void): boolean {
  return interruptBefore(operation, atPoint(at), intrude)
}

function interruptBefore(
  operation: () => unknown,
  isHere: (name: string) => boolean,
  intrude: () => void,
): boolean {
  let intruded = false
  hooked.control.before = (name) => {
    if (intruded || !isHere(name)) return
    intruded = true
    const { before } = hooked.control
    hooked.control.before = undefined
    try {
      intrude()
    } finally {
      hooked.control.before = before
    }
  }
  try {
    operation()
  } finally {
    hooked.control.before = undefined
  }
  return intruded
}

/**
 * Tells whether an access is before point number `at`. A point is before the first access, and
 * before each that follows one which changes memory.
 */
function atPoint(at: number): (name: string) => boolean {
  let points = 0
  let onlyLooked = false
  return (name) => {
    const isPoint = !onlyLooked
    onlyLooked = name.startsWith('load') || name === 'copyOut'
    return isPoint && points++ === at
  }
}

/**
 * Runs `operation` until right before its access number `at` (from 0), where its thread ends: not
 * even `finally` blocks touch memory after that, and neither does what `victim`, its machine
 * object, has still to do. Returns whether the operation got that far.
 */
export function killAtAccess(operation: () => unknown, at: number, victim?: Machine): boolean {
  let count = 0
  return killBefore(operation, () => count++ === at, victim)
}

/**
 * As {@link killAtAccess}, at its point number `at`: nobody can tell whether a thread died before
 * or after it had only looked.
 */
export function killAt(operation: () => unknown, at: number, victim?: Machine): boolean {
  return killBefore(operation, atPoint(at), victim)
}

/** Ends the thread of `operation` before the first access for which `isHere` gives true. */
function killBefore(
  operation: () => unknown,
  isHere: (name: string) => boolean,
  victim: Machine | undefined,
): boolean {
  const thread = { isDead: false }
  const views = new Set<object>(victim ? [victim.memory.i32] : [])
  hooked.control.before = (name, [view]) => {
    if (typeof view === 'object' && view !== null) views.add(view)
    thread.isDead ||= isHere(name)
    if (thread.isDead) throw new Killed()
  }
  try {
    operation()
  } catch (error) {
    if (!thread.isDead) throw error
  } finally {
    hooked.control.before = undefined
  }
  if (!thread.isDead) return false
  for (const view of views) hooked.control.dead.add(view)
  return true
}

/** What {@link throwAt} throws. */
export class Injected extends Error {}

/**
 * Runs `operation`, whose access number `at` throws an Injected, and whose other accesses do not.
 * Returns what it threw; 'past' if it made fewer accesses; undefined if it threw nothing. Listening
 * to a bell is not counted: what it throws is nobody's.
 */
export function throwAt(operation: () => unknown, at: number): unknown {
  let count = 0
  hooked.control.before = (name) => {
    if (name !== 'waitAsync32' && count++ === at) throw new Injected()
  }
  try {
    operation()
    return count > at ? undefined : 'past'
  } catch (error) {
    return error
  } finally {
    hooked.control.before = undefined
  }
}

/** Runs `operation`, whose thread ends where it calls `die`, as in {@link killAt}. */
export function killWhere(operation: (die: () => never) => unknown, victim: Machine): void {
  const die = (): never => {
    hooked.control.before = () => {
      throw new Killed()
    }
    throw new Killed()
  }
  try {
    operation(die)
  } catch (error) {
    if (!(error instanceof Killed)) throw error
  } finally {
    hooked.control.before = undefined
  }
  hooked.control.dead.add(victim.memory.i32)
}

/** Calls `attempt` with 0, 1, 2 … until it returns false; returns how many returned true. */
export function forEachAccess(attempt: (at: number) => boolean): number {
  let at = 0
  while (attempt(at)) at++
  return at
}
/** As {@link forEachAccess}, one after the other. */
export async function forEachAccessAsync(attempt: (at: number) => Promise<boolean>): Promise<number> {
  let at = 0
  while (await attempt(at)) at++
  return at
}
