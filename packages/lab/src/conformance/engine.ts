/** What the real threads run on, and what is thrown when they do what they must not. */
import { cpus } from 'node:os'
import { LitmusError } from '../litmus/errors.js'

/** The engine and the CPU of this machine, as a failure names them. */
export function engineAndCpu(): string {
  const { node, v8 } = process.versions
  const list = cpus()
  return `Node ${node}, V8 ${v8}, on ${list.length} × ${list[0]?.model.trim() ?? 'unknown CPU'} (${process.arch})`
}

/** Real threads did what the memory model forbids: the engine, the CPU or the model here is wrong. */
export class ConformanceFailure extends LitmusError {
  readonly code = 'LAB_CONFORMANCE'
}
