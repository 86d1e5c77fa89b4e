/** How the library's objects show themselves in `console.log` of Node, Bun and Deno: in a line. */
import { shown } from './shown.js'

const inspects = [Symbol.for('nodejs.util.inspect.custom'), Symbol.for('Deno.customInspect')] as const

/**
 * Lets the objects of a class show what `tell` says of them, and no internals. What it cannot tell,
 * as the machine is offline or the object has ended, is left out.
 */
export function showAs<T extends object>(
  Class: { readonly prototype: T; readonly name: string },
  tell: (object: T) => Readonly<Record<string, unknown>>,
  nameOf: (object: T) => string = () => Class.name,
): void {
  const value = function (this: T): string {
    return lineOf(nameOf(this), () => tell(this))
  }
  for (const inspect of inspects)
    Object.defineProperty(Class.prototype, inspect, { value, configurable: true, writable: true })
}

/**
 * What `JSON.stringify` makes of an object in shared memory: its values, bigints as text. As it may
 * be part of an error or of a line of a log, it throws nothing: of a machine that is offline, or an
 * object that has ended, it says so.
 */
export function jsonOf(name: string, read: () => unknown): unknown {
  try {
    return plain(read())
  } catch {
    return `${name} (offline or ended)`
  }
}
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}

/** Lets `JSON.stringify` make of the objects of a class what `read` gives: {@link jsonOf}. */
export function jsonAs<T extends object>(
  Class: { readonly prototype: T },
  name: string,
  read: (object: T) => unknown,
): void {
  const value = function (this: T): unknown {
    return jsonOf(name, () => read(this))
  }
  Object.defineProperty(Class.prototype, 'toJSON', { value, configurable: true, writable: true })
}

/** `Mutex { name: 'queue', address: 4096 }` */
export function lineOf(name: string, tell: () => Readonly<Record<string, unknown>>): string {
  try {
    const told = Object.entries(tell()).filter(([, value]) => value !== undefined)
    const text = told.map(
      ([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.map(shown).join(', ')}]` : shown(value)}`,
    )
    return text.length === 0 ? name : `${name} { ${text.join(', ')} }`
  } catch {
    return `${name} (offline or ended)`
  }
}
