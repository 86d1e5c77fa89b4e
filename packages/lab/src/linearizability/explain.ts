/** Why a history cannot be put in order, in words. */
import { inspect, isDeepStrictEqual } from 'node:util'
import type { Call, Outcome } from './history.js'
import type { State } from './specification.js'

/** Lines of a list that are shown. */
const MOST = 12

/** The longest order that was found, and why each call that could come next cannot. */
export function explain(calls: readonly Call[], longest: readonly Call[], state: State): string {
  const rest = calls.filter((call) => !longest.includes(call))
  const firstEnd = Math.min(...rest.map(({ ended }) => ended?.at ?? Infinity))
  const next = rest.filter(({ began }) => began <= firstEnd)
  const shown = longest.slice(-MOST).map((call) => `    ${describe(call)}`)
  const left = longest.length - shown.length
  return [
    '  calls that can have come first, in an order that explains them:',
    ...(left > 0 ? [`    … ${left} more`] : []),
    ...(longest.length === 0 ? ['    none'] : shown),
    '  calls that would have to come next:',
    ...next.slice(0, MOST).map((call) => `    ${describe(call)}${contradiction(call, state)}`),
    ...(next.length > MOST ? [`    … ${next.length - MOST} more`] : []),
  ].join('\n')
}

function describe({ thread, method, args, began, ended }: Call): string {
  const list = args.map((argument) => inspect(argument, { breakLength: Infinity })).join(', ')
  const time = ended === undefined ? `from ${began} on` : `${began} to ${ended.at}`
  return `${thread}: ${method}(${list}) ${ended === undefined ? 'was cut off' : given(ended.outcome)} [${time}]`
}

function contradiction(call: Call, state: State): string {
  const expected = state.outcome(call)
  const contradicts = call.ended !== undefined && !isDeepStrictEqual(expected, call.ended.outcome)
  return contradicts ? `, but here it ${given(expected, 'would have given', 'would have thrown')}` : ''
}

function given(outcome: Outcome, gave = 'gave', threw = 'threw'): string {
  return 'threw' in outcome
    ? `${threw} ${outcome.threw}`
    : `${gave} ${inspect(outcome.returned, { breakLength: Infinity })}`
}
