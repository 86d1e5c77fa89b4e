/**
 * The calls that bodies make of an object which they share, with their beginnings and ends as steps
 * of the execution.
 *
 * Such steps order nothing in memory. The search explores which calls end before which others
 * begin, since that is what linearizability speaks of.
 */
import { serialize } from 'node:v8'
import { checkFunction, ScenarioError } from '../check.js'
import { hook } from '../engine/hook.js'
import { CALL, RETURN } from '../engine/ops.js'
import { FINISHED } from '../engine/process.js'
import { RACY, type LabView } from '../engine/views.js'
import type { World } from '../engine/world.js'
import { follow, type Call, type Outcome } from '../linearizability/history.js'
import { checkLinearizability, type LinearizabilityOptions } from '../linearizability/linearizable.js'
import { initialState, type Specification } from '../linearizability/specification.js'
import { openMemory } from '../mem/mem.js'

/** The operand of a step. */
interface Event {
  /** The same for the beginning and the end of a call. */
  readonly id: string
  readonly method: string
  readonly args: readonly unknown[]
  readonly outcome?: Outcome
}

/** Each CPU has a word of the memory that these steps touch: as many as there can be processes. */
const BYTES = 32 * 4

export class CallHistory {
  readonly #view: LabView
  readonly #specification: Specification
  readonly #options: LinearizabilityOptions
  /** Histories that are linearizable. Many executions have the same one. */
  readonly #good = new Set<string>()

  /** @internal */
  constructor(specification: Specification, options: LinearizabilityOptions) {
    checkFunction('the specification', specification)
    initialState(specification)
    checkLinearizability([], specification, options)
    this.#specification = specification
    this.#options = options
    this.#view = (openMemory(new SharedArrayBuffer(BYTES)) as unknown as { readonly bytes: LabView }).bytes
    this.#view.shadow.kinds.fill(RACY)
  }

  /**
   * Calls `action` as the call `method(...args)` of the history; gives what it gives. Where that is
   * a promise, the call ends when the promise is settled. If its CPU is killed meanwhile, the call
   * may have taken effect or not.
   *
   * @throws what `action` throws
   * @throws ScenarioError outside of the body of a CPU; for arguments or results that
   *   `structuredClone` cannot copy. A body must not end before its calls: the exploration throws
   *   one then.
   */
  call<Result>(method: string, args: readonly unknown[], action: () => Result): Result {
    const { runner } = hook
    if (runner?.isRunning !== true) throw new ScenarioError('only the body of a CPU can make a call')
    checkFunction('the action', action)
    const { main, cursor } = runner.current
    const event = { id: `${main.id}.${cursor}`, method, args: structuredClone(args) }
    const end = (outcome: Outcome): void => {
      if (runner.isUnwinding) return
      runner.op(RETURN, this.#view, main.id * 4, { ...event, outcome: structuredClone(outcome) }, 4)
    }
    runner.op(CALL, this.#view, 0, event, BYTES)
    return follow(action, end)
  }

  /**
   * @internal
   * @throws NotLinearizableError if the calls of the execution at hand cannot be explained
   * @throws ScenarioError if a body has ended before one of its calls
   */
  check(world: World): void {
    const history = this.#historyOf(world)
    const fingerprint = serialize(history).toString('latin1')
    if (this.#good.has(fingerprint)) return
    checkLinearizability(history, this.#specification, this.#options)
    this.#good.add(fingerprint)
  }

  #historyOf({ history, processes }: World): Call[] {
    const calls = new Map<string, Call>()
    /** Calls of bodies that have ended, without an end. */
    const open = new Set<string>()
    let time = 0
    for (let step = 0; step < history.length; step++) {
      if (history.view[step] !== this.#view) continue
      time++
      const { id, method, args, outcome } = history.a[step] as Event
      const begun = calls.get(id)
      if (begun === undefined) {
        const cpu = processes[history.process[step] as number]?.cpu
        calls.set(id, { thread: cpu?.name ?? '', method, args, began: time })
        if (cpu?.main.state === FINISHED) open.add(id)
      } else if (outcome !== undefined) {
        calls.set(id, { ...begun, ended: { at: time, outcome } })
        open.delete(id)
      }
    }
    for (const id of open) {
      const { thread, method } = calls.get(id) as Call
      throw new ScenarioError(`${thread} ended before its call of ${method}: let the body await it`)
    }
    return [...calls.values()]
  }
}

/** The call of a step, as people write it; with the outcome if it is the end. */
export function describeCall(operand: unknown): string {
  const { method, args, outcome } = operand as Event
  const call = `${method}(${args.map(String).join(', ')})`
  if (outcome === undefined) return call
  return 'threw' in outcome ? `${call} threw ${outcome.threw}` : `${call} = ${String(outcome.returned)}`
}
