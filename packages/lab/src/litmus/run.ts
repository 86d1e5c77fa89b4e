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
import { AllLeftOutError, explore } from '../explore/explore.js'
import { ExplorationFailure } from '../explore/failure.js'
import type { ExploreReport } from '../explore/outcome.js'
import { percpu } from '../mem/library.js'
import * as labMem from '../mem/mem.js'
import type { Scenario } from '../scenario/scenario.js'
import type { FinalState } from './axiomatic.js'
import { verdictOn } from './axiomatic.js'
import { runProcessAsync } from './evaluate.js'
import type { BootedImplementation, Implementation, MemFunctions } from './implementation.js'
import { percpuOf } from './percpu.js'
import { processorFor, usesMembarriers, usesOf, type TestMemory } from './processor.js'
import { SmallSrcu } from './small-srcu.js'
import { holds, holdsSoFar, type LitmusTest, type Verdict } from './syntax.js'

export interface RunOptions {
  /** Of RCU and SRCU. Default: the library's own, with normal domains. */
  readonly implementation?: Implementation
  /**
   * The accesses that READ_ONCE and WRITE_ONCE are: atomic ones (default), or plain ones that may
   * be stale.
   */
  readonly once?: 'atomic' | 'plain'
  /** The most switches away from a process that could go on. Default: any number. */
  readonly preemptions?: number
  /** 'pct': executions drawn at random, as in the lab. Default: 'exhaustive'. */
  readonly mode?: 'exhaustive' | 'pct'
  /** Executions after which the search is broken off. Default: 200,000. */
  readonly executions?: number
  /** Milliseconds after which the search is broken off. Default: 60,000. */
  readonly maxMs?: number
}

export interface RunResult {
  /** 'Deadlock' if no execution ends; 'Data race' if plain accesses race. */
  readonly verdict: Verdict | 'Data race'
  readonly states: readonly FinalState[]
  readonly executions: number
  /** Executions that cannot end. They have no state. */
  readonly stuck: number
  /** Misuse that the implementation refused. The process went on. */
  readonly misuse: readonly string[]
  /** Whether the search was broken off: then there may be more states. */
  readonly truncated: boolean
  /** An execution that cannot end, or has the race. */
  readonly failure: ExplorationFailure | undefined
}

/** What the executions have shown. */
interface Findings {
  readonly states: Map<string, FinalState>
  readonly misuse: Set<string>
  stuck: number
}

/**
 * Explores the test.
 *
 * @throws ExplorationFailure if the implementation fails in a way that says nothing of the test
 */
export async function runImplementation(test: LitmusTest, options: RunOptions = {}): Promise<RunResult> {
  const uses = usesOf(test, test.processes)
  const { implementation = percpuOf('normal') } = options
  const booted = uses && (await implementation.boot(test.processes.length, uses))
  const findings: Findings = { states: new Map(), misuse: new Set(), stuck: 0 }
  const result = await search(test, options, booted, findings, true)
  if (findings.stuck === 0 || result.failure !== undefined) return result
  // Once more, up to the first one that cannot end.
  const { failure } = await search(test, options, booted, { ...findings, states: new Map() }, false)
  return { ...result, failure }
}

/** `leavesOutStuck`: executions that cannot end are counted, and no failures. */
async function search(
  test: LitmusTest,
  options: RunOptions,
  booted: BootedImplementation | undefined,
  findings: Findings,
  leavesOutStuck: boolean,
): Promise<RunResult> {
  const { once = 'atomic', mode = 'exhaustive', preemptions = Infinity } = options
  const { executions = 200_000, maxMs = 60_000 } = options
  const describe = (t: Scenario) => scenarioOf(t, test, options, booted, findings, leavesOutStuck)
  const misuse = () => [...findings.misuse]
  try {
    const report = await explore(test.name, describe, {
      weak: once === 'plain',
      mode,
      executions,
      maxMs,
      ...(preemptions === Infinity ? {} : { preemptions }),
    }).catch(reportOfNone)
    const states = [...findings.states.values()]
    const { stuck } = findings
    return {
      verdict: states.length === 0 && stuck > 0 ? 'Deadlock' : verdictOn(states, test.filter !== undefined),
      states,
      executions: report.executions,
      stuck,
      misuse: misuse(),
      truncated: report.truncated,
      failure: undefined,
    }
  } catch (error) {
    if (!(error instanceof ExplorationFailure)) throw error
    const verdict = verdictOfFailure(error)
    if (verdict === undefined) throw error
    const { execution } = error
    return {
      verdict,
      states: [],
      executions: execution,
      stuck: findings.stuck,
      misuse: misuse(),
      truncated: true,
      failure: error,
    }
  }
}

/** That no execution passes the test's own filter is an answer, too. */
function reportOfNone(error: unknown): ExploreReport {
  if (error instanceof AllLeftOutError) return error.report
  throw error
}

function verdictOfFailure({ kind }: ExplorationFailure): RunResult['verdict'] | undefined {
  if (kind === 'deadlock' || kind === 'starvation') return 'Deadlock'
  return kind === 'data race' ? 'Data race' : undefined
}

function scenarioOf(
  t: Scenario,
  test: LitmusTest,
  options: RunOptions,
  booted: BootedImplementation | undefined,
  findings: Findings,
  leavesOutStuck: boolean,
): void {
  booted?.name(t)
  const machine = memoryFor(t, test, options)
  const { mem, memory } = machine
  test.variables.forEach(({ initial }, k) => mem.storeAtomic32(memory.i32, machine.variables + k, initial))
  const misused = (what: string) => void findings.misuse.add(what)
  for (const process of test.processes) {
    const uses = usesOf(test, [process])
    const body: Parameters<Scenario['cpu']>[1] = (cpu) => {
      const own = uses && booted?.join(cpu, uses, misused)
      return runProcessAsync(test, process, processorFor(machine, process.number, own))
    }
    t.cpu(process.number, body, { stays: uses !== undefined })
  }
  /** `ended`: else variables may still change, and some processes have no registers. */
  const observe = (results: readonly unknown[], ended: boolean): (number | undefined)[] =>
    test.observables.map((seen) => {
      if (seen.kind === 'variable')
        return ended ? mem.loadAtomic32(memory.i32, machine.variables + seen.variable) : undefined
      const registers = results[seen.process] as readonly number[] | undefined
      const register = test.processes[seen.process]?.registers.indexOf(seen.register) ?? -1
      return registers === undefined ? undefined : (registers[register] ?? 0)
    })
  const { filter } = test
  t.filter(
    (results, ended) => {
      const counts = filter === undefined || holdsSoFar(filter, observe(results, ended)) !== false
      if (ended || !counts) return counts
      findings.stuck++
      return !leavesOutStuck
    },
    { unended: true },
  )
  t.finally((results) => {
    const values = observe(results, true).map((value) => value ?? 0)
    findings.states.set(values.join(), { values, satisfies: holds(test.proposition, values) })
  })
}

function memoryFor(t: Scenario, test: LitmusTest, options: RunOptions): TestMemory {
  const { once = 'atomic' } = options
  const cpus = test.processes.length
  const mem: MemFunctions = labMem
  const { memory, base } = t.words(test.variables.length + 1)
  t.name(memory, base * 4, wordsOf(test, once), '')
  // Atomic accesses are all in one order: there a barrier of the caller is enough.
  const needsMembarriers = once === 'plain' && usesMembarriers(test)
  return {
    test,
    mem,
    memory,
    variables: base,
    fence: base + test.variables.length,
    once,
    membarriers: needsMembarriers ? { mem, cpus, ...t.words(SmallSrcu.words(cpus)) } : undefined,
  }
}

/** A layout of the variables, so that failures call them by their names. */
function wordsOf(test: LitmusTest, once: 'atomic' | 'plain'): Struct {
  const { struct, atomic, racy, i32 } = percpu
  const names = [...test.variables.map(({ name }) => name), 'smp_mb']
  const kind = () => (once === 'atomic' ? atomic(i32) : racy(i32))
  return struct('Variables', Object.fromEntries(names.map((name) => [name, kind()])))
}
