/**
 * Sequential specifications: what an object does when one thread alone uses it, as a plain class.
 *
 *     class Counter {
 *       value = 0
 *       add(amount: number) {
 *         this.value += amount
 *         return this.value
 *       }
 *     }
 *
 * Its state lies in public fields that `structuredClone` can copy. A method depends on nothing but
 * the state and its arguments. A method that throws must not have changed the state.
 */
import { inspect, isDeepStrictEqual, type InspectOptions } from 'node:util'
import { ScenarioError } from '../check.js'
import { outcomeOf, type Call, type Outcome } from './history.js'

/** A class whose object, just made, is in the state in which the history begins. */
export type Specification = new () => object

/** A state of the specified object. */
export interface State {
  /** Different states have different ones. The order of entries in maps and sets counts. */
  readonly fingerprint: string
  /** The state after the call, or undefined if the call cannot give what it gave. */
  after(call: Call): State | undefined
  /** What the call would give. */
  outcome(call: Call): Outcome
}

/** @throws ScenarioError if the class keeps state where it cannot be copied */
export function initialState(specification: Specification): State {
  const object = new specification()
  return new ObjectState(object, fieldsOf(object, specification.name))
}

const whole: InspectOptions = {
  ...{ depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity, breakLength: Infinity },
  compact: true,
}

class ObjectState implements State {
  readonly #object: object
  readonly fingerprint: string
  readonly #fields: Record<string, unknown>

  constructor(object: object, fields: Record<string, unknown>) {
    this.#object = object
    this.#fields = structuredClone(fields)
    this.fingerprint = inspect(this.#fields, whole)
  }

  after(call: Call): State | undefined {
    const { object, outcome } = this.#run(call)
    if (call.ended !== undefined && !isDeepStrictEqual(outcome, call.ended.outcome)) return undefined
    return new ObjectState(object, { ...object })
  }

  outcome(call: Call): Outcome {
    return this.#run(call).outcome
  }

  #run({ method, args }: Call): { object: object; outcome: Outcome } {
    const object = Object.assign(
      Object.create(Object.getPrototypeOf(this.#object) as object) as object,
      structuredClone(this.#fields),
    )
    const action = (object as Record<string, unknown>)[method]
    if (typeof action !== 'function')
      throw new ScenarioError(`the specification ${object.constructor.name} has no method ${method}`)
    try {
      return { object, outcome: { returned: action.apply(object, structuredClone(args)) as unknown } }
    } catch (error) {
      return { object, outcome: outcomeOf(error) }
    }
  }
}

function fieldsOf(object: object, name: string): Record<string, unknown> {
  const fields = { ...object }
  if (Object.keys(fields).length === 0)
    throw new ScenarioError(`the specification ${name} has no public fields: its state cannot be copied`)
  try {
    structuredClone(fields)
  } catch (error) {
    throw new ScenarioError(`the specification ${name} has fields that cannot be copied`, { cause: error })
  }
  return fields
}
