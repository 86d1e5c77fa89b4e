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
  BootedImplementation,
  Implementation,
  ImplementationCpu,
  MemFunctions,
  RcuUser,
  SrcuUser,
  Uses,
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
export { percpuOf } from './percpu.js'
export { primitiveNames } from './primitives.js'
export { runImplementation, type RunOptions, type RunResult } from './run.js'
export * from './syntax.js'
