/** Wrong arguments for a row: each argument and each option in turn is something odd. */
import type { Kind, Verdict } from './kinds.js'
import { oddValues } from './odd.js'
import type { Row, Use } from './row.js'
import type { World } from './world.js'

export interface Wrong {
  readonly label: string
  readonly args: readonly unknown[]
  /** Never true. */
  readonly verdict: Verdict
}
interface Candidate {
  readonly label: string
  readonly value: unknown
  readonly verdict: Verdict
}

export function* wrongArguments({ takes }: Row, { args }: Use, world: World): Generator<Wrong> {
  for (const [at, kind] of takes.entries()) {
    for (const { label, value, verdict } of candidates(kind, args[at])) {
      if (verdict === true) continue
      yield { label: `argument ${at} (${kind.name}) is ${label}`, args: replaced(args, at, value), verdict }
    }
    for (const value of kind.foreign?.(world) ?? [])
      yield {
        label: `argument ${at} (${kind.name}) is another's`,
        args: replaced(args, at, value),
        verdict: false,
      }
  }
}

function replaced(args: readonly unknown[], at: number, value: unknown): unknown[] {
  return Array.from({ length: Math.max(args.length, at + 1) }, (_, index) =>
    index === at ? value : args[index],
  )
}

function* candidates(kind: Kind, valid: unknown): Generator<Candidate> {
  for (const { label, value } of oddValues) yield { label, value, verdict: kind.takes(value) }
  const { fields } = kind
  if (fields === undefined) return
  const options = { ...(valid as object | undefined) }
  for (const [name, field] of Object.entries(fields)) {
    for (const { label, value, verdict } of candidates(field, Reflect.get(options, name)))
      yield { label: `with ${name}: ${label}`, value: { ...options, [name]: value }, verdict }
    const throwing = Object.defineProperty({ ...options }, name, {
      enumerable: true,
      get(): never {
        throw new Error('the getter throws')
      },
    })
    yield { label: `with a getter ${name} that throws`, value: throwing, verdict: false }
  }
  yield { label: 'with an option that there is not', value: { ...options, nonsense: 1 }, verdict: false }
}
