/**
 * What tells that a worker's thread has ended, and writes no more.
 *
 * Node's `exit` event does, and so do Bun's, and `close` of Bun's web workers. Deno's `exit` does
 * not: it comes at once after `terminate()`, while a busy thread runs on for 20 s and longer.
 * Browsers have no event. There an invitation tells (invitation.ts).
 */
import { ArgumentError } from '../errors.js'
import { isSafely } from '../machine/check.js'
import { UnsupportedError } from '../machine/errors.js'
import { hasThreadId, host, keyOfThreadId } from '../machine/platform.js'
import { invitingOf, type Invitation } from './invitation.js'

/** What is needed of a worker: a Node `Worker` has it. */
export interface SupervisedWorker {
  readonly threadId: number
  /** Calls `listener` when the thread has ended. */
  once(event: 'exit', listener: () => void): unknown
}
/** What is needed of a worker that was invited: every `Worker` has it. */
export interface InvitedWorker {
  /** Ends the thread, at any instruction. */
  terminate(): unknown
}
/** A web worker of Bun. */
interface BunWorker {
  readonly threadId: number
  addEventListener(event: 'close', listener: () => void): unknown
}
export type AnyWorker = SupervisedWorker | InvitedWorker

export interface WorkerEnd {
  /** Of the thread. */
  readonly key: number
  listen(ended: () => void): void
  terminate(): void
}

/** @throws UnsupportedError; ArgumentError */
export function endOf(worker: AnyWorker, invitation: Invitation | undefined, id: number): WorkerEnd {
  const terminate = (): void => {
    if ('terminate' in worker) void worker.terminate()
  }
  const inviting = invitation === undefined ? undefined : invitingOf(invitation, id)
  if (inviting === undefined || inviting.invitation.key === 0) return { ...endByEvent(worker), terminate }
  if (!isSafely(() => typeof (Object(worker) as Partial<InvitedWorker>).terminate === 'function'))
    throw new ArgumentError('not a Worker: it cannot be terminated', { worker })
  return {
    key: inviting.invitation.key,
    listen: (ended) => inviting.whenOver(ended),
    terminate: () => {
      terminate()
      inviting.withdraw()
    },
  }
}

function endByEvent(worker: AnyWorker): Omit<WorkerEnd, 'terminate'> {
  if (host.Deno !== undefined) {
    throw new UnsupportedError(
      'supervise is refused in Deno: a terminated worker is told to have ended while its thread may still run, and what it ' +
        'writes from then on would corrupt memory that has been given to others. Pass machine.invite() as well',
    )
  }
  const listen = hasThreadId ? listenerOf(worker) : undefined
  if (listen === undefined) {
    throw new UnsupportedError(
      'supervise needs a worker with a threadId and an exit event, as in Node; elsewhere an invitation as well, of ' +
        'machine.invite(), or call machine.cpus.declareDead(cpu) once the thread has certainly stopped',
    )
  }
  const { threadId } = worker as SupervisedWorker
  if (threadId < 0) {
    throw new ArgumentError('the worker has ended already: supervise it right after it is made', { threadId })
  }
  return { key: keyOfThreadId(threadId), listen }
}

function listenerOf(worker: AnyWorker): WorkerEnd['listen'] | undefined {
  const { threadId, once, addEventListener } = partsOf(worker)
  if (typeof threadId !== 'number') return undefined
  if (typeof once === 'function') return (ended) => (worker as SupervisedWorker).once('exit', ended)
  if (host.Bun === undefined || typeof addEventListener !== 'function') return undefined
  return (ended) => (worker as unknown as BunWorker).addEventListener('close', ended)
}

function partsOf(worker: unknown): Partial<SupervisedWorker & BunWorker> {
  let parts = {}
  isSafely(() => {
    const { threadId, once, addEventListener } = Object(worker) as Partial<SupervisedWorker & BunWorker>
    parts = { threadId, once, addEventListener }
    return true
  })
  return parts
}
