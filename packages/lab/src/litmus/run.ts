/**
 * Explores a litmus test. Its processes are CPUs, and its accesses those of the lab's `#mem`. Its
 * RCU and SRCU calls are calls of an implementation, whose own accesses are explored along with
 * them.
 *
 * It finds the states in which an execution can end. An exploration steps through sequentially
 * consistent executions. If READ_ONCE and WRITE_ONCE are plain accesses, loads may also give stale
 * values, but never one that is written later (docs/litmus.md).
 */
import type { Struct } from 'percpu'
import { explore } from '../explore/explore.js'
import { ExplorationFailure } from '../explore/failure.js'
import { percpu } from '../mem/library.js'
import * as labMem from '../mem/mem.js'
import type { Scenario } from '../scenario/scenario.js'
import type { FinalState } from './axiomatic.js'
import { verdictOn } from './axiomatic.js'
import { runProcessAsync, type Wait } from './evaluate.js'
import type {
  BootedRcu,
  MemFunctions,
  ImplementationContext,
  RcuImplementation,
  RcuMachine,
  SrcuImplementation,
} from './implementation.js'
import { processorFor, srcuDomains, usesMembarriers, usesRcu, type LitmusMachine } from './processor.js'
import { standInRcu, standInSrcu } from './stand-in.js'
import { holds, holdsSoFar, type LitmusTest, type Verdict } from './syntax.js'

export interface RunOptions {
  readonly rcu?: RcuImplementation | RcuMachine
  readonly srcu?: SrcuImplementation
  /**
   * The accesses that READ_ONCE and WRITE_ONCE are: atomic ones (default), or plain ones that may
   * be stale.
   */
  readonly once?: 'atomic' | 'plain'
  /** The most switches away from a process that could go on. Default: any number. */
  readonly preemptions?: number
  /** Executions after which the search is broken off. Default: 200,000. */
  readonly executions?: number
  /** Milliseconds after which the search is broken off. Default: 60,000. */
  readonly maxMs?: number
}

export interface RunResult {
  /** 'Deadlock' if an execution cannot end; 'Data race' if plain accesses race. */
  readonly verdict: Verdict | 'Data race'
  readonly states: readonly FinalState[]
  readonly executions: number
  /** Whether the search was broken off: then there may be more states. */
  readonly truncated: boolean
  /** The execution that cannot end, or has the race. */
  readonly failure: ExplorationFailure | undefined
}

/**
 * Explores the test.
 *
 * @throws ExplorationFailure if the implementation fails in a way that says nothing of the test
 */
export async function runImplementation(test: LitmusTest, options: RunOptions = {}): Promise<RunResult> {
  const { once = 'atomic', executions = 200_000, maxMs = 60_000, preemptions = Infinity } = options
  const states = new Map<string, FinalState>()
  const booted = isMachine(options.rcu) ? await options.rcu.boot(test.processes.length) : undefined
  const describe = (t: Scenario) => scenarioOf(t, test, options, states, booted)
  try {
    const report = await explore(test.name, describe, {
      weak: once === 'plain',
      executions,
      maxMs,
      ...(preemptions === Infinity ? {} : { preemptions }),
    })
    const found = [...states.values()]
    return {
      verdict: verdictOn(found, test.filter !== undefined),
      states: found,
      executions: report.executions,
      truncated: report.truncated,
      failure: undefined,
    }
  } catch (error) {
    if (!(error instanceof ExplorationFailure)) throw error
    const verdict = verdictOfFailure(error)
    if (verdict === undefined) throw error
    return { verdict, states: [], executions: error.execution, truncated: true, failure: error }
  }
}

function verdictOfFailure({ kind }: ExplorationFailure): RunResult['verdict'] | undefined {
  if (kind === 'deadlock' || kind === 'starvation') return 'Deadlock'
  return kind === 'data race' ? 'Data race' : undefined
}

function scenarioOf(
  t: Scenario,
  test: LitmusTest,
  options: RunOptions,
  states: Map<string, FinalState>,
  booted: BootedRcu | undefined,
): void {
  booted?.name(t)
  const machine = machineFor(t, test, options)
  const { mem, memory } = machine
  test.variables.forEach(({ initial }, k) => mem.storeAtomic32(memory.i32, machine.variables + k, initial))
  for (const process of test.processes)
    t.cpu(process.number, (cpu) => {
      const own = usesRcu(process) ? booted?.join(cpu) : undefined
      const registers = runProcessAsync(test, process, processorFor(machine, process.number, own))
      const end = (values: readonly number[]) => {
        abandonUnless(machine, process.number, values)
        return after(own?.leave(), values)
      }
      return registers instanceof Promise ? registers.then(end) : end(registers)
    })
  const observe = (results: readonly unknown[]): number[] =>
    test.observables.map((seen) => {
      if (seen.kind === 'variable') return mem.loadAtomic32(memory.i32, machine.variables + seen.variable)
      const register = test.processes[seen.process]?.registers.indexOf(seen.register) ?? -1
      return (results[seen.process] as readonly number[] | undefined)?.[register] ?? 0
    })
  const { filter } = test
  if (filter !== undefined) t.filter((results) => holds(filter, observe(results)))
  t.finally((results) => {
    const values = observe(results)
    states.set(values.join(), { values, satisfies: holds(test.proposition, values) })
  })
}

/**
 * Ends all waits once the registers of one process show that the execution does not count. Such an
 * execution may have left a read section that it had not entered, and then grace periods do not
 * end.
 */
function abandonUnless(machine: LitmusMachine, process: number, registers: readonly number[]): void {
  const { test, mem, memory } = machine
  if (test.filter === undefined) return
  const known = test.observables.map((seen) => {
    if (seen.kind !== 'register' || seen.process !== process) return undefined
    return registers[test.processes[process]?.registers.indexOf(seen.register) ?? -1]
  })
  if (holdsSoFar(test.filter, known) === false) mem.storeAtomic32(memory.i32, machine.abandoned, 1)
}

function after<T>(wait: Wait, value: T): T | PromiseLike<T> {
  return wait === undefined ? value : wait.then(() => value)
}
function isMachine(rcu: RunOptions['rcu']): rcu is RcuMachine {
  return rcu !== undefined && 'boot' in rcu
}

function machineFor(t: Scenario, test: LitmusTest, options: RunOptions): LitmusMachine {
  const { srcu = standInSrcu, once = 'atomic' } = options
  const rcu = options.rcu === undefined || isMachine(options.rcu) ? standInRcu : options.rcu
  const cpus = test.processes.length
  const mem: MemFunctions = labMem
  const { memory, base } = t.words(test.variables.length + 2)
  const abandoned = base + test.variables.length + 1
  const isAbandoned = () => mem.loadAtomic32(memory.i32, abandoned) === 1
  const forImplementation: MemFunctions =
    test.filter === undefined
      ? mem
      : {
          ...mem,
          awaitUntil: (predicate, tries) => mem.awaitUntil(() => predicate() || isAbandoned(), tries),
        }
  const contextOf = (words: number): ImplementationContext => ({
    mem: forImplementation,
    cpus,
    ...t.words(words),
  })
  t.name(memory, base * 4, wordsOf(test, once), '')
  return {
    test,
    mem,
    memory,
    variables: base,
    fence: base + test.variables.length,
    abandoned,
    once,
    // Atomic accesses are all in one order: there a barrier of the caller is enough.
    membarriers: once === 'plain' && usesMembarriers(test) ? contextOf(standInSrcu.words(cpus)) : undefined,
    rcu: { implementation: rcu, context: contextOf(rcu.words(cpus)) },
    srcu: {
      implementation: srcu,
      contexts: new Map(srcuDomains(test).map((domain) => [domain, contextOf(srcu.words(cpus))])),
    },
  }
}

/** A layout of the variables, so that failures call them by their names. */
function wordsOf(test: LitmusTest, once: 'atomic' | 'plain'): Struct {
  const { struct, atomic, racy, i32 } = percpu
  const names = [...test.variables.map(({ name }) => name), 'smp_mb', 'abandoned']
  const kind = () => (once === 'atomic' ? atomic(i32) : racy(i32))
  return struct('Variables', Object.fromEntries(names.map((name) => [name, kind()])))
}
