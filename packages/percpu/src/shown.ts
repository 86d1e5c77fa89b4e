/** How messages show what users passed. */

/** Characters of a text that a message quotes. */
const LONGEST = 64

/**
 * A value as a message shows it, whatever it is: text in quotes, so that '3' is not taken for 3,
 * and cut when it is long. No code of the value's own runs that could throw.
 */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${shortened(value)}'`
  if (typeof value === 'bigint') return `${shortened(String(value))}n`
  if (typeof value === 'symbol') return shortened(String(value))
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return kindOf(value)
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Text that may be too long to be quoted. Not cut inside a character. */
export function shortened(text: string): string {
  if (text.length <= LONGEST) return visible(text)
  const cut = text.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '')
  return `${visible(cut)}… (${text.length} characters)`
}

/**
 * A name in the middle of a message: what would not be seen, or would break the line, is written as
 * in JSON. Names are users', and may have any character.
 */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, escaped)
}
function escaped(character: string): string {
  const short = JSON.stringify(character)
  if (short.length === 4) return short.slice(1, -1)
  return [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('')
}

function kindOf(value: object): string {
  try {
    if (Array.isArray(value)) return 'an array'
    const { name } = value.constructor as { readonly name?: unknown }
    return typeof name === 'string' && name !== '' && name !== 'Object'
      ? `an instance of ${shortened(name)}`
      : 'an object'
  } catch {
    // There is no constructor, or a trap or a getter threw.
    return 'an object'
  }
}
