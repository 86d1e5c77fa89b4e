/** Litmus tests in the kernel's C format: parser, axioms, exploration, judgement. */
export { allowedStates, type AxiomaticOptions, type AxiomaticResult, type FinalState } from './axiomatic.js'
export {
  LitmusError,
  LitmusLimitError,
  LitmusRunError,
  LitmusSyntaxError,
  LitmusUnsupportedError,
} from './errors.js'
export type { Wait } from './evaluate.js'
export type {
  MemFunctions,
  BootedRcu,
  ImplementationContext,
  RcuCpu,
  RcuImplementation,
  RcuMachine,
  RcuUser,
  SrcuImplementation,
  SrcuUser,
} from './implementation.js'
export {
  allowsMore,
  formatJudgement,
  judge,
  type Answer,
  type JudgedFile,
  type JudgeOptions,
} from './judge.js'
export { parseLitmus } from './parse.js'
export { primitiveNames } from './primitives.js'
export { runImplementation, type RunOptions, type RunResult } from './run.js'
export { standInRcu, standInSrcu } from './stand-in.js'
export * from './syntax.js'
