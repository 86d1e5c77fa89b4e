/**
 * Checks of what users pass: one function for each kind of argument, for every operation. Each
 * throws an ArgumentError that names the argument and says what is allowed. They run no code of the
 * argument's own, but for getters and traps of options, whose errors become the cause of theirs.
 *
 * Kinds that need more than the language are checked by machine/check.ts.
 */
import { isPowerOfTwo } from './arithmetic.js'
import { ArgumentError, PercpuError } from './errors.js'
import { shortened, shown } from './shown.js'

/**
 * An error that says what an argument is not. `what` names it, also in the details. Functions and
 * objects with a class are not enumerable there: a host that prints an error nobody caught would
 * print their insides, which may be a whole map.
 */
export function refused(
  what: string,
  value: unknown,
  isNo: string,
  details: object = {},
  cause?: unknown,
): ArgumentError {
  const message = `${what}: ${shown(value)} is ${isNo}`
  return new ArgumentError(
    message,
    Object.defineProperty({ [what]: value, ...details }, what, { enumerable: !hasClass(value) }),
    cause === undefined ? undefined : { cause },
  )
}

export function checkInt32(what: string, value: number): void {
  if (typeof value === 'number' && (value | 0) === value) return
  throw refused(what, value, 'not a 32-bit integer')
}

/** A whole number from `low` to `high`. */
export function checkRange(what: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return
  throw refused(what, value, `not a whole number from ${low} to ${high}`, { low, high })
}

/** A multiple of `unit` from `low` to `high`, which are some themselves. */
export function checkMultiple(what: string, value: number, unit: number, low: number, high: number): void {
  if (Number.isInteger(value) && value % unit === 0 && value >= low && value <= high) return
  const multiple = unit === 1 ? '' : `, a multiple of ${unit}`
  throw refused(what, value, `not a whole number from ${low} to ${high}${multiple}`, { low, high, unit })
}

/** A number that can be counted with: whole, and between -2^53 and 2^53. */
export function checkInteger(what: string, value: number): void {
  if (Number.isSafeInteger(value)) return
  throw refused(what, value, 'not an integer between -2^53 and 2^53')
}

/** Any number but NaN. */
export function checkNumber(what: string, value: number): void {
  if (typeof value === 'number' && !Number.isNaN(value)) return
  throw refused(what, value, 'not a number')
}

/** A number of any value, as words of memory take it. */
export function checkWord(what: string, value: number): void {
  if (typeof value === 'number') return
  throw refused(what, value, 'not a number')
}
/** As {@link checkWord}, for words of 64 bits. */
export function checkBigInt(what: string, value: bigint): void {
  if (typeof value === 'bigint') return
  throw refused(what, value, 'not a bigint')
}

/** A power of two from `low` to `high`. */
export function checkPowerOfTwo(what: string, value: number, low: number, high: number): void {
  if (isPowerOfTwo(value) && value >= low && value <= high) return
  throw refused(what, value, `not a power of two from ${low} to ${high}`, { low, high })
}

/** A number of so many or more, Infinity for no limit; undefined passes. */
export function checkAtLeast(what: string, value: number | undefined, low: number, of = ''): void {
  if (value === undefined || (typeof value === 'number' && value >= low)) return
  throw refused(what, value, `not a number${of}, ${low} or more`)
}
/** Milliseconds: `low` or more, Infinity for no limit; undefined passes. */
export function checkMilliseconds(what: string, value: number | undefined, low = 0): void {
  checkAtLeast(what, value, low, ' of milliseconds')
}

/** True or false; undefined passes. */
export function checkFlag(what: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw refused(what, value, 'neither true nor false')
}

/** One of these texts; undefined passes. */
export function checkOneOf(what: string, value: unknown, texts: readonly string[]): void {
  if (value === undefined || (texts as readonly unknown[]).includes(value)) return
  throw refused(what, value, `none of ${listOf(texts)}`)
}
function listOf(texts: readonly string[]): string {
  return texts.map((text) => `'${text}'`).join(', ')
}

/** As {@link checkOneOf}, of what must be given. */
export function checkChoice(what: string, value: unknown, texts: readonly string[]): void {
  if (value === undefined)
    throw new ArgumentError(`${what} is missing: one of ${listOf(texts)}`, { [what]: value })
  checkOneOf(what, value, texts)
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value === 'function') return
  throw refused(what, value, 'not a function')
}

/** A string; undefined passes. */
export function checkText(what: string, value: unknown): void {
  if (value === undefined || typeof value === 'string') return
  throw refused(what, value, 'not a string')
}

export function checkObject(what: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return
  if (value === undefined)
    throw new ArgumentError(`${what} is missing: an object with its properties`, { [what]: value })
  throw refused(what, value, 'not an object with its properties')
}

/**
 * Whether `test`, which may run traps and getters of a value, returns true. What those throw means
 * no; errors of the library pass.
 */
export function isSafely(test: () => boolean): boolean {
  try {
    return test()
  } catch (error) {
    if (error instanceof PercpuError) throw error
    return false
  }
}

/** An object that the library made. `isNo`: what it is not, and where to get one. */
export function checkInstance<T extends object>(
  what: string,
  value: unknown,
  Class: abstract new (...args: never[]) => T,
  isNo: string,
): asserts value is T {
  if (isSafely(() => value instanceof Class)) return
  throw refused(what, value, isNo)
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
  if (typeof options !== 'object' || (options as unknown) === null)
    throw noOptions(what, options, names, hidden)
  let given = 0
  let unknown: string | undefined
  try {
    for (const name in options) {
      // Faster than to ask whether it has the name.
      if ((names as Readonly<Record<string, unknown>>)[name] !== true) {
        unknown = name
        break
      }
      // A getter that throws does so here, before anything is done.
      if (options[name] !== undefined) given++
    }
    // Without any name it may be anything, such as a Map of options.
    if (given === 0 && unknown === undefined && !isPlain(options))
      throw noOptions(what, options, names, hidden)
  } catch (error) {
    if (error instanceof ArgumentError) throw error
    throw new ArgumentError(`options of ${what} cannot be read`, { options }, { cause: error })
  }
  if (unknown === undefined) return
  const allowed = namesOf(names, hidden)
  throw new ArgumentError(`${what} has no option ${shortened(unknown)}; it has ${allowed.join(', ')}`, {
    option: unknown,
    allowed,
  })
}
/** As {@link checkOptions}, of a call that cannot do without those that are `needed`. */
export function checkGivenOptions<Options extends object>(
  what: string,
  options: Options | undefined,
  names: OptionNames<Options>,
  needed: readonly (keyof Options & string)[],
  hidden: readonly string[] = [],
): asserts options is Options {
  if (options === undefined) {
    const others = namesOf(names, [...needed, ...hidden])
    throw new ArgumentError(
      `${what} needs an object with ${needed.join(' and ')}, and may have ${others.join(', ')}`,
      { options },
    )
  }
  checkOptions(what, options, names, hidden)
}
function noOptions(what: string, options: unknown, names: object, hidden: readonly string[]): ArgumentError {
  const hint =
    typeof options === 'string' && 'name' in names ? `; a name is given as { name: ${shown(options)} }` : ''
  return refused(
    'options',
    options,
    `not an object with options of ${what}: ${namesOf(names, hidden).join(', ')}${hint}`,
  )
}
function namesOf(names: object, hidden: readonly string[]): string[] {
  return Object.keys(names).filter((name) => !hidden.includes(name))
}
function hasClass(value: unknown): boolean {
  if (typeof value === 'function') return true
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  try {
    const prototype: unknown = Object.getPrototypeOf(value)
    return prototype !== Object.prototype && prototype !== null
  } catch {
    // A trap threw.
    return true
  }
}
function isPlain(options: object): boolean {
  return Object.prototype.toString.call(options) === '[object Object]'
}
