/** The engine and the CPU that real threads run on, and the error for doing what they must not. */
import { cpus } from 'node:os'
import { LitmusError } from '../litmus/errors.js'

/** The engine and the CPU of this machine, as a failure names them. */
export function engineAndCpu(): string {
  const { node, v8 } = process.versions
  const list = cpus()
  return `Node ${node}, V8 ${v8}, on ${list.length} × ${list[0]?.model.trim() ?? 'unknown CPU'} (${process.arch})`
}

/**
 * Real threads did what the memory model forbids: the engine, the CPU or the model in this package
 * is wrong.
 */
export class ConformanceFailure extends LitmusError {
  readonly code = 'LAB_CONFORMANCE'
}
