/**
 * Checks of arguments. With an option misspelt, or a body that is no function, something else would
 * be explored.
 */

/** A scenario, or an exploration, asks for something that cannot be. */
export class ScenarioError extends Error {
  readonly code = 'LAB_SCENARIO'
  override readonly name = 'ScenarioError'
}

/**
 * Refuses a promise from code that must do all of its work before it returns: what comes after its
 * first `await` would be passed over.
 */
export function checkIsSync(what: string, result: unknown): void {
  if (!isPromise(result)) return
  // What it may be rejected with is not for others to hear of.
  Promise.resolve(result).catch(() => undefined)
  throw new ScenarioError(`${what} has returned a promise: it must be synchronous`)
}
export function isPromise(value: unknown): value is Promise<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as Promise<unknown>).then === 'function'
  )
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') throw new ScenarioError(`${what}: ${shown(value)} is not a function`)
}

/** Refuses what is no whole number from `least` on. */
export function checkWhole(what: string, value: unknown, least = 0): void {
  if (!Number.isInteger(value) || (value as number) < least)
    throw new ScenarioError(`${what}: ${shown(value)} is no whole number from ${least} on`)
}
/** Refuses what is no level of an interrupt. */
export function checkLevel(what: string, value: unknown): void {
  if (typeof value !== 'number' || !(value >= 0))
    throw new ScenarioError(`${what}: the level ${shown(value)} is no number from 0 on`)
}
/** Refuses what is no memory of the library's. */
export function checkMemory(what: string, value: unknown): void {
  if (!((value as { readonly buffer?: unknown } | undefined)?.buffer instanceof SharedArrayBuffer))
    throw new ScenarioError(`${what}: ${shown(value)} is no memory`)
}

/**
 * Checks that `options` have the names and values that there are. `values` has a test for each
 * option, and the description of a good value. Undefined passes, for options and for values.
 */
export function checkOptions<Options extends object>(
  what: string,
  options: Options | undefined,
  values: { readonly [Name in keyof Required<Options>]: readonly [(value: unknown) => boolean, string] },
): void {
  if (options === undefined) return
  if (typeof options !== 'object' || (options as unknown) === null)
    throw new ScenarioError(`${what}: options are an object, not ${shown(options)}`)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(values, name)) {
      const known = Object.keys(values).join(', ')
      throw new ScenarioError(`${what}: there is no option ${name}; there are ${known}`)
    }
    const [isGood, good] = values[name as keyof Options]
    if (value !== undefined && !isGood(value))
      throw new ScenarioError(`${what}: ${name} is ${good}, not ${shown(value)}`)
  }
}

/** Text in quotes, so that '3' is not taken for 3. */
function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

export const anything = [() => true, ''] as const
export const aFunction = [(value: unknown) => typeof value === 'function', 'a function'] as const
export const text = [(value: unknown) => typeof value === 'string', 'a string'] as const
export const flag = [(value: unknown) => typeof value === 'boolean', 'true or false'] as const
export const anObject = [
  (value: unknown) => typeof value === 'object' && value !== null,
  'an object',
] as const
export const wholeFrom = (least: number) =>
  [
    (value: unknown) => (Number.isInteger(value) || value === Infinity) && (value as number) >= least,
    `a whole number from ${least} on`,
  ] as const
export const numberFrom = (least: number) =>
  [(value: unknown) => typeof value === 'number' && value >= least, `a number from ${least} on`] as const
export const oneOf = (...choices: readonly string[]) =>
  [
    (value: unknown) => (choices as readonly unknown[]).includes(value),
    `one of ${choices.join(', ')}`,
  ] as const
