/**
 * What the operating system says of the threads of this process: whether one runs, waits for a
 * word of memory as `Atomics.wait` does, or has ended. On Linux, in Node; elsewhere nothing.
 *
 * A thread whose entry is gone has written its last word. Numbers are used again: then a thread
 * that has ended is taken for one that lives.
 */
import { host } from './platform.js'

/**
 * `'waiting'`: in a futex, as in a bare `Atomics.wait`. `'asleep'`: elsewhere in the system, such
 * as in its event loop. `'gone'`: the thread has ended.
 */
export type OsThreadState = 'running' | 'waiting' | 'asleep' | 'gone'

interface FileSystem {
  existsSync(path: string): boolean
  readFileSync(path: string, encoding: 'utf8'): string
  readlinkSync(path: string): string
}

const TASKS = '/proc/self/task'
const files = findFiles()

/** Whether the system tells of threads here. */
export const tellsOfThreads: boolean = ownOsThread() !== 0

/** The number of the calling thread; 0 if it is not known. */
export function ownOsThread(): number {
  try {
    return Number(/\/task\/(\d+)$/.exec(files?.readlinkSync('/proc/thread-self') ?? '')?.[1] ?? 0)
  } catch {
    return 0 // no /proc here, so nothing will be known of any thread
  }
}

/** `id`: of {@link ownOsThread}, on that thread. Undefined if it cannot be told. */
export function osThreadState(id: number): OsThreadState | undefined {
  if (!files || id === 0) return undefined
  if (!files.existsSync(`${TASKS}/${id}`)) return files.existsSync(TASKS) ? 'gone' : undefined
  const state = /\) (\w)/.exec(read(id, 'stat'))?.[1]
  if (state === 'R') return 'running'
  if (state !== 'S') return state === undefined ? undefined : 'asleep'
  return /^futex/.test(read(id, 'wchan')) ? 'waiting' : 'asleep'
}

function read(id: number, name: string): string {
  try {
    return files?.readFileSync(`${TASKS}/${id}/${name}`, 'utf8') ?? ''
  } catch {
    return '' // it has ended meanwhile, or this process must not know
  }
}

function findFiles(): FileSystem | undefined {
  if (host.Deno !== undefined || host.Bun !== undefined || host.process?.platform !== 'linux')
    return undefined
  return host.process.getBuiltinModule?.('node:fs') as FileSystem | undefined
}
