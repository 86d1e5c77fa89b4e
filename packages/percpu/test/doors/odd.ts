/** Values that programs pass by mistake: a list of known ones, and what fast-check makes up. */
import fc from 'fast-check'

/** Printed with each failure. */
export const SEED = 20_261_126

export interface Odd {
  readonly label: string
  readonly value: unknown
}

/** A proxy all of whose traps throw. */
export function throwingProxy(target: object = {}): object {
  const refuse = (): never => {
    throw new Error('the proxy throws')
  }
  const traps = Object.getOwnPropertyNames(Reflect).filter((trap) => typeof trap === 'string')
  return new Proxy(target, Object.fromEntries(traps.map((trap) => [trap, refuse])))
}

const unprintable = {
  toString(): never {
    throw new Error('toString throws')
  },
}
const uncertain = {
  valueOf: () => 64,
  toString: () => 'text',
}

const fixed: readonly Odd[] = [
  ...[undefined, null, true, false, NaN, -0, 1.5, -1, 2 ** 31, 2 ** 32, 2 ** 53, Infinity, -Infinity].map(
    (value) => ({ label: Object.is(value, -0) ? '-0' : String(value), value }),
  ),
  { label: "''", value: '' },
  { label: "'64'", value: '64' },
  { label: 'text with NUL', value: 'a\0b' },
  { label: 'half a surrogate pair', value: 'a\ud800' },
  { label: 'a very long string', value: 'x'.repeat(100_000) },
  { label: 'Symbol()', value: Symbol() },
  { label: 'Symbol.iterator', value: Symbol.iterator },
  { label: '10n', value: 10n },
  { label: '{}', value: {} },
  { label: 'an object without prototype', value: Object.create(null) },
  { label: 'an object that cannot be printed', value: unprintable },
  { label: 'an object with valueOf', value: uncertain },
  { label: 'an unknown option', value: { nonsense: 1 } },
  { label: '[]', value: [] },
  { label: '[64]', value: [64] },
  { label: 'a function', value: () => undefined },
  { label: 'a proxy that throws', value: throwingProxy() },
  { label: 'a function whose proxy throws', value: throwingProxy(() => undefined) },
  { label: 'a Date', value: new Date(0) },
  { label: 'a Map', value: new Map() },
  { label: 'a typed array', value: new Int32Array(2) },
  { label: 'a shared buffer', value: new SharedArrayBuffer(8) },
  { label: 'a promise', value: Promise.resolve(64) },
  { label: 'a regular expression', value: /x/ },
]

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withTypedArray: true,
  maxDepth: 1,
  maxKeys: 2,
})

/** The same values in every run. */
export const oddValues: readonly Odd[] = [
  ...fixed,
  ...fc.sample(anything, { seed: SEED, numRuns: 16 }).map((value, at) => ({
    label: `value ${at} of fast-check with seed ${SEED}: ${fc.stringify(value)}`,
    value,
  })),
]
