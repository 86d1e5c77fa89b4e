/**
 * Preloaded into a process (`node --import`): its loader threads wait inside a system call, as for
 * a disk that does not answer, while the named pipe at `HUNG_DISK` exists and has no writer.
 *
 * So that a test need not wait for it, the limit of 15 seconds for stopping is one of 1.5.
 */
import { existsSync, openSync } from 'node:fs'
import { isMainThread, workerData } from 'node:worker_threads'

const pipe = process.env['HUNG_DISK'] ?? ''
const isLoader =
  !isMainThread && typeof workerData === 'object' && workerData !== null && 'files' in workerData
if (isLoader && existsSync(pipe)) openSync(pipe, 'r')

if (isMainThread) {
  const start = globalThis.setTimeout
  const shortened = (callback: () => void, milliseconds?: number): NodeJS.Timeout =>
    start(callback, milliseconds === 15_000 ? 1500 : milliseconds)
  globalThis.setTimeout = Object.assign(shortened, start)
}
