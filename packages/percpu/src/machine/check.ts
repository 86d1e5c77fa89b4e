/** Checks of what users pass, each with an ArgumentError that names it and says what is allowed. */
import { ArgumentError } from '../errors.js'

/** A value as a message shows it: text in quotes, so that '3' is not taken for 3. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

export function checkInt32(what: string, value: number): void {
  if (typeof value === 'number' && (value | 0) === value) return
  throw new ArgumentError(`${what}: ${shown(value)} is not a 32-bit integer`, { [what]: value })
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new ArgumentError(`${what}: ${shown(value)} is not a function`, { [what]: value })
}

export function checkName(what: string, value: unknown): void {
  if (typeof value === 'string' && value !== '') return
  throw new ArgumentError(`${what}: ${shown(value)} is not a name, a string that is not empty`, {
    [what]: value,
  })
}

export function checkObject(what: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return
  throw new ArgumentError(`${what}: ${shown(value)} is not an object with its properties`, { [what]: value })
}

/** CPU numbers, one or several, each once and possible. */
export function checkCpus(cpus: number | Iterable<number>, possible: number): readonly number[] {
  const isList =
    typeof cpus === 'object' &&
    typeof (cpus as Partial<Iterable<number>> | null)?.[Symbol.iterator] === 'function'
  if (typeof cpus !== 'number' && !isList) {
    throw new ArgumentError(
      `cpus: ${typeof cpus === 'object' ? 'an object' : shown(cpus)} is neither a CPU number nor a list of them`,
      { cpus },
    )
  }
  const list = typeof cpus === 'number' ? [cpus] : [...new Set(cpus)]
  for (const cpu of list) {
    if (Number.isInteger(cpu) && cpu >= 0 && cpu < possible) continue
    throw new ArgumentError(`CPU ${shown(cpu)} is not possible: this machine has CPUs 0 to ${possible - 1}`, {
      cpu,
    })
  }
  return list
}

/** Every option of a call, so that none is forgotten. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>

/**
 * A misspelt option would otherwise leave its default, unnoticed. Undefined passes.
 *
 * `what` names the call that has the options. Options in `hidden` are for tests of the library:
 * messages do not propose them.
 *
 * Cost: some ns a name.
 */
export function checkOptions<Options extends object>(
  what: string,
  options: Options | undefined,
  names: OptionNames<Options>,
  hidden: readonly string[] = [],
): void {
  if (options === undefined) return
  checkObject('options', options)
  for (const name in options) {
    // Faster than to ask whether it has the name.
    if ((names as Readonly<Record<string, unknown>>)[name] === true) continue
    const allowed = Object.keys(names).filter((option) => !hidden.includes(option))
    throw new ArgumentError(`${what} has no option ${name}; it has ${allowed.join(', ')}`, {
      option: name,
      allowed,
    })
  }
}

/** True or false; undefined passes. */
export function checkFlag(what: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw new ArgumentError(`${what}: ${shown(value)} is neither true nor false`, { [what]: value })
}

export function checkText(what: string, value: unknown): void {
  if (value === undefined || typeof value === 'string') return
  throw new ArgumentError(`${what}: ${shown(value)} is not a string`, { [what]: value })
}

/** @throws ArgumentError unless it is a whole number from `low` to `high`. */
export function checkRange(what: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return
  throw new ArgumentError(`${what}: ${shown(value)} is not a whole number from ${low} to ${high}`, {
    [what]: value,
    low,
    high,
  })
}
