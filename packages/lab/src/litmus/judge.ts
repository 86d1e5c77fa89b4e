/**
 * Judges litmus files by three answers: that of the LKMM, that of the memory model of JavaScript,
 * and that of an exploration of an implementation of RCU and SRCU.
 *
 * The judgement is one-sided: an implementation may forbid more than the file says, never allow
 * more. A file that says Sometimes is satisfied by Never; one that says Never is satisfied by
 * nothing else.
 *
 * A file that says DATARACE, too, is satisfied by a data race. The memory model of JavaScript may
 * order the accesses that race in C; then the verdict counts. An exploration must find the race
 * that the axioms find.
 */
import { readFileSync } from 'node:fs'
import { allowedStates, type AxiomaticOptions } from './axiomatic.js'
import { LitmusError, LitmusLimitError } from './errors.js'
import { parseLitmus } from './parse.js'
import { usesSpinLocks } from './processor.js'
import { runImplementation, type RunOptions, type RunResult } from './run.js'
import type { LitmusTest, Verdict } from './syntax.js'

export interface JudgeOptions extends RunOptions, Pick<AxiomaticOptions, 'limit'> {}

/**
 * 'Limit': too large to be looked at completely. 'Not supported': the file uses something outside
 * the subset.
 */
export type Answer = Verdict | 'Data race' | 'Limit' | 'Not supported'

export interface JudgedFile {
  readonly file: string
  readonly name: string
  /** The file's `Result:`. */
  readonly lkmm: string | undefined
  readonly axioms: Answer
  readonly implementation: Answer
  readonly executions: number
  /** Executions that cannot end. */
  readonly stuck: number
  /** Misuse that the implementation refused. */
  readonly misuse: readonly string[]
  /** Whether the exploration was broken off: then `implementation` may have missed states. */
  readonly truncated: boolean
  readonly milliseconds: number
  /** The reason why the file is not satisfied, or could not be judged. */
  readonly problem: string | undefined
}

/**
 * Whether `found` allows more than `expected`. Always does not allow more than Sometimes: a search
 * that was broken off may have missed states.
 */
export function allowsMore(expected: Verdict, found: Answer): boolean {
  if (found === 'Limit' || found === 'Not supported') return false
  if (expected === 'Sometimes') return found === 'Deadlock' || found === 'Data race'
  return found !== expected
}

/** Judges files, one after another. */
export async function judge(files: readonly string[], options: JudgeOptions = {}): Promise<JudgedFile[]> {
  const judged: JudgedFile[] = []
  for (const file of files) judged.push(await judgeFile(file, options))
  return judged
}

async function judgeFile(file: string, options: JudgeOptions): Promise<JudgedFile> {
  const start = performance.now()
  let test: LitmusTest
  try {
    test = parseLitmus(readFileSync(file, 'utf8'))
  } catch (error) {
    if (!(error instanceof LitmusError)) throw error
    const none = 'Not supported'
    const unknown = {
      lkmm: undefined,
      axioms: none,
      implementation: none,
      executions: 0,
      stuck: 0,
      misuse: [],
      truncated: false,
    } as const
    return { file, name: file, ...unknown, milliseconds: 0, problem: error.message }
  }
  const run = await runImplementation(test, options)
  const axioms = axiomsOf(test, options, run)
  return {
    file,
    name: test.name,
    lkmm: test.result,
    axioms,
    implementation: run.verdict,
    executions: run.executions,
    stuck: run.stuck,
    misuse: run.misuse,
    truncated: run.truncated && run.failure === undefined,
    milliseconds: performance.now() - start,
    problem: problemOf(test, axioms, run),
  }
}

/** Races are asked for where one is expected or was found, because that takes longer. */
function axiomsOf(test: LitmusTest, { once = 'atomic', limit }: JudgeOptions, run: RunResult): Answer {
  try {
    const bounds = limit === undefined ? {} : { limit }
    const races = looksForRaces(test, once) || run.verdict === 'Data race'
    const found = allowedStates(test, { once, verdictOnly: true, races, ...bounds })
    return found.races === true ? 'Data race' : found.verdict
  } catch (error) {
    if (error instanceof LitmusLimitError) return 'Limit'
    throw error
  }
}

/** With plain accesses for READ_ONCE and WRITE_ONCE, races are what the test is about. */
function looksForRaces(test: LitmusTest, once: 'atomic' | 'plain'): boolean {
  return test.expectsRace && once === 'atomic'
}

function problemOf(test: LitmusTest, axioms: Answer, run: RunResult): string | undefined {
  const { expected } = test
  const exceeds = (found: Answer) =>
    expected !== undefined && allowsMore(expected, found) && !(test.expectsRace && found === 'Data race')
  if (isStuck(test, run)) return `the implementation: executions that cannot end: ${run.stuck}`
  if (exceeds(run.verdict)) return `the implementation: ${run.verdict}, the LKMM: ${expected}`
  if (exceeds(axioms)) return `the memory model of JavaScript: ${axioms}, the LKMM: ${expected}`
  const isMissed = axioms === 'Data race' && run.verdict !== 'Data race' && !run.truncated
  if (isMissed || (isVerdict(axioms) && allowsMore(axioms, run.verdict)))
    return `the implementation: ${run.verdict}, the memory model of JavaScript: ${axioms}`
  return undefined
}
/**
 * Whether some executions cannot end, and it is not the test that leaves a spin lock taken. The
 * kernel's tools leave out executions that cannot end. Here they may be the implementation's fault.
 */
function isStuck(test: LitmusTest, { verdict, stuck }: RunResult): boolean {
  return stuck > 0 && verdict !== 'Deadlock' && !usesSpinLocks(test)
}
function isVerdict(answer: Answer): answer is Verdict {
  return answer !== 'Limit' && answer !== 'Not supported' && answer !== 'Data race'
}

/** The answers and problems as a table. */
export function formatJudgement(judged: readonly JudgedFile[]): string {
  const head = ['test', 'LKMM', 'JS axioms', 'implementation', 'executions', '']
  const rows = judged.map(
    ({ name, lkmm = '-', axioms, implementation, executions, truncated, problem = '' }) => [
      name,
      lkmm,
      axioms,
      implementation,
      `${executions}${truncated ? ' (broken off)' : ''}`,
      problem === '' ? '' : `✗ ${problem}`,
    ],
  )
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  const wrong = judged.filter(({ problem }) => problem !== undefined).length
  const summary = `${judged.length} tests; ${wrong === 0 ? 'none allows more than it may' : `${wrong} with problems`}`
  return [line(head), ...rows.map(line), '', summary].join('\n')
}
