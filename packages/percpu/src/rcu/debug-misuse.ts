/** Errors of the debug mode, and circles of waits. */
import type { Note } from './debug-notes.js'
import { indented } from './debug-stack.js'
import { SrcuMisuseError, type SrcuMisuse } from './srcu-errors.js'
import { visible } from '../shown.js'

/** The stacks that go into `details` and the message, and what they are called there. */
const stacks = {
  lockedAt: 'begun',
  waitedAt: 'waited',
  endedAt: 'ended',
  endedAgainAt: 'ended again',
} as const

export function misuse(
  domain: { readonly name: string },
  kind: SrcuMisuse,
  what: string,
  details: Readonly<Record<string, unknown>> = {},
): SrcuMisuseError {
  const { name } = domain
  const shown = Object.entries(stacks).map(([key, title]) => {
    const stack = details[key]
    return typeof stack === 'string' ? indented(title, stack) : ''
  })
  return new SrcuMisuseError(`${visible(name)}: ${what}${shown.join('')}`, { name, misuse: kind, ...details })
}

/**
 * The waits by which `inside` is waited for inside a section of `awaited`, directly or through
 * other domains; undefined if there are none. They close the circle with a wait for `awaited`
 * inside a section of `inside`.
 */
export function circleOf(waits: readonly Note[], inside: number, awaited: number): Note[] | undefined {
  const seen = new Set<number>()
  const search = (domain: number): Note[] | undefined => {
    seen.add(domain)
    for (const wait of waits) {
      if (wait.domain !== domain) continue
      if (wait.awaited === inside) return [wait]
      const rest = seen.has(wait.awaited) ? undefined : search(wait.awaited)
      if (rest) return [wait, ...rest]
    }
    return undefined
  }
  return search(awaited)
}

/** The waits of a circle, with their stacks. */
export function describeCircle(circle: readonly Note[]): string {
  return circle
    .map(({ cpu, text }) => {
      const [what = '', ...stack] = text.split('\n')
      return indented(`before, CPU ${cpu} ${what}`, stack.join('\n'))
    })
    .join('')
}
