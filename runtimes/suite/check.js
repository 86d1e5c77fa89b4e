// What the suite takes for right. No test framework: it runs in a page, too.

export class WrongError extends Error {}

export function equal(found, wanted, what) {
  const [left, right] = [found, wanted].map((value) => JSON.stringify(value, plain))
  if (left !== right) throw new WrongError(`${what}: ${left}, not ${right}`)
}
function plain(_key, value) {
  return typeof value === 'bigint' ? `${value}n` : value
}

/** The code of what `run` throws or rejects with; undefined if it does not. */
export async function codeOf(run) {
  try {
    await run()
    return undefined
  } catch (error) {
    return error.code ?? error.name
  }
}

/** `promise`, or an error after so many ms: nothing hangs. */
export function within(ms, promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new WrongError(`${what}: nothing within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Numbers from 0 up to `limit`, the same ones each time (mulberry32). */
export function randomFrom(seed) {
  return (limit) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
}
