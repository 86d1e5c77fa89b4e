/**
 * A row of the table of all operations: how to make a valid call, and of which kinds its arguments
 * are.
 */
import type { Kind } from './kinds.js'
import type { World } from './world.js'

/**
 * What the operation does once this thread has left the machine. `'refused'`: an OfflineError.
 * `'nothing'`: it returns; what it ends has ended. `'works'`: it needs no CPU. `'over'`: its object
 * cannot last as long.
 */
export type AfterOffline = 'refused' | 'nothing' | 'works' | 'over'

export interface Row {
  /** As surface.ts names it. */
  readonly door: string
  readonly takes: readonly Kind[]
  readonly offline: AfterOffline
  /** Makes what the operation needs, in a fresh machine. */
  readonly make: (world: World) => Use | Promise<Use>
  /** Not an operation of the package, but of objects that it makes: fields and the like. */
  readonly isExtra: boolean
  /** Why it is not called with wrong arguments. */
  readonly exempt: string | undefined
}

/** A call that succeeds. */
export interface Use {
  readonly args: readonly unknown[]
  readonly call: (...args: readonly unknown[]) => unknown
  /** Takes a call that has succeeded back, by its result, so that it can be made again. */
  readonly undo: (result: unknown) => unknown
}

type Make = Row['make']
type Extra = Partial<Pick<Row, 'offline' | 'isExtra' | 'exempt'>>

export function door(name: string, takes: readonly Kind[], make: Make, extra: Extra = {}): Row {
  const { offline = 'refused', isExtra = false, exempt } = extra
  return { door: name, takes, make, offline, isExtra, exempt }
}
/** For what gives back, and has nothing to do once the thread has left. */
export function ending(name: string, takes: readonly Kind[], make: Make, extra: Extra = {}): Row {
  return door(name, takes, make, { offline: 'nothing', ...extra })
}
/** For what needs no CPU. */
export function free(name: string, takes: readonly Kind[], make: Make, extra: Extra = {}): Row {
  return door(name, takes, make, { offline: 'works', ...extra })
}
export function exempt(name: string, why: string): Row {
  const make = (): never => {
    throw new Error(`${name} is exempt`)
  }
  return door(name, [], make, { exempt: why })
}

const nothing = (): undefined => undefined

/** A call of a method. `undo` is given its result. */
export function use<T extends object>(
  object: T,
  method: keyof T,
  args: readonly unknown[] = [],
  undo: (result: never) => unknown = nothing,
): Use {
  const call = (...given: readonly unknown[]): unknown =>
    Reflect.apply(object[method] as (...args: unknown[]) => unknown, object, given)
  return { args, call, undo: undo as Use['undo'] }
}
/** A call of a function. */
export function using(
  run: (...args: never[]) => unknown,
  args: readonly unknown[] = [],
  undo: (result: never) => unknown = nothing,
): Use {
  return { args, call: run as Use['call'], undo: undo as Use['undo'] }
}
export function getting<T extends object>(object: T, property: keyof T): Use {
  return { args: [], call: () => object[property], undo: nothing }
}
export function setting<T extends object, P extends keyof T>(object: T, property: P, value: T[P]): Use {
  const call = (given: unknown): void => {
    object[property] = given as T[P]
  }
  return { args: [value], call, undo: nothing }
}
