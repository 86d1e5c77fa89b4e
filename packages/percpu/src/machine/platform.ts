/**
 * What the machine needs of its host, found without importing anything: Node, Bun, Deno and
 * browsers alike.
 */

interface Timer {
  unref?: () => void
}
interface Channel {
  onmessage: ((event: { readonly data: unknown }) => void) | null
  postMessage(message: unknown): void
  close(): void
  unref?: () => void
}
/** One end of a MessageChannel. */
export interface Port extends Channel {
  addEventListener(type: 'close', listener: () => void): void
  start(): void
}
interface LockManager {
  request(name: string, held: () => Promise<void> | void): Promise<void>
}
interface Host {
  setTimeout(callback: () => void, ms: number): Timer
  clearTimeout(timer: Timer): void
  /** In Node, Bun and Deno. */
  setImmediate?: (callback: () => void) => unknown
  queueMicrotask(callback: () => void): void
  performance: {
    readonly timeOrigin: number
    now(): number
    /** In Node: ms that the thread's event loop was idle and active. */
    eventLoopUtilization?: () => { readonly idle: number; readonly active: number }
  }
  console?: { warn(text: string): void }
  BroadcastChannel?: new (name: string) => Channel
  MessageChannel?: new () => { readonly port1: Port; readonly port2: Port }
  navigator?: { readonly locks?: LockManager }
  /** Of a web worker's scope. */
  WorkerGlobalScope?: new () => object
  process?: { readonly platform?: string; getBuiltinModule?: (name: string) => unknown }
  /** Only in Deno, and in Bun. */
  Deno?: unknown
  Bun?: unknown
}
/** What is used of Node's worker_threads. */
interface WorkerThreads {
  readonly threadId?: number
  readonly getEnvironmentData?: (key: string) => unknown
  readonly setEnvironmentData?: (key: string, value: number) => void
}
export type { Channel, Timer }

export const host = globalThis as unknown as Host

const workerThreads = host.process?.getBuiltinModule?.('node:worker_threads') as WorkerThreads | undefined
const id = threadIdOf()
/** Whether threads have ids here. */
export const hasThreadId = id !== undefined

/** In web workers of Deno it is 0, as in the main thread: then it is none. */
function threadIdOf(): number | undefined {
  const isWebWorker = host.WorkerGlobalScope !== undefined && host instanceof host.WorkerGlobalScope
  if (host.Deno !== undefined && isWebWorker && workerThreads?.threadId === 0) return undefined
  return workerThreads?.threadId
}

/**
 * A number that no other living thread of this process has, and never 0. It is Node's thread id
 * plus one, so that a supervisor can tell whose CPU it was when a worker exits. Where threads have
 * no ids it is random.
 */
export const threadKey: number = id === undefined ? makeKey() : keyOfThreadId(id)
/** Other keys of this thread: those by which it was invited. */
export const invitedKeys = new Set<number>()

/** A random key, of no thread that has an id. Threads that have one inherit no key. */
export function makeKey(): number {
  return 2 ** 30 + Math.floor(Math.random() * 2 ** 29)
}

/**
 * The {@link threadKey} of the thread that started this one, or of one that started that; 0 if none
 * is known. When that thread has ended, this one has, too: Node ends the workers of a thread before
 * it tells of the thread's end. Of other hosts that is not known.
 */
export const parentKey = inheritKey()

/** Workers that this thread starts from now on inherit its key. */
function inheritKey(): number {
  if (host.Deno !== undefined || host.Bun !== undefined) return 0
  const name = 'percpu.thread'
  // A second copy of this module finds what the first one found.
  const known = globalThis as Record<symbol, unknown>
  const inherited = (known[Symbol.for(name)] ??= workerThreads?.getEnvironmentData?.(name) ?? 0)
  workerThreads?.setEnvironmentData?.(name, threadKey)
  return typeof inherited === 'number' ? inherited : 0
}

/** The {@link threadKey} of the worker with this `threadId`. */
export function keyOfThreadId(id: number): number {
  return id + 1
}

/**
 * Lets an error of a user's callback surface as the host's uncaught error, without unwinding the
 * machine's own code.
 */
export function reportError(error: unknown): void {
  host.queueMicrotask(() => {
    throw error
  })
}

/** Resolves in a later turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (host.setImmediate) host.setImmediate(resolve)
    else host.setTimeout(resolve, 0)
  })
}

/** Timers take at most 2^31 - 1 ms, 24.8 days; longer ones never go off. Returns what stops it. */
export function startTimer(callback: () => void, milliseconds: number): () => void {
  if (!(milliseconds < 2 ** 31)) return () => undefined
  const timer = host.setTimeout(callback, milliseconds)
  return () => {
    host.clearTimeout(timer)
  }
}
