/** What is tortured: one face for grace periods of the event loop and of SRCU domains. */
import type { Callback, Machine, Srcu, WaitOptions } from 'percpu'

export interface Flavour {
  /** Whether sections may last across awaits. */
  readonly mayAwait: boolean
  /** Whether deaf CPUs may read; undefined: nothing tells them that they may not. */
  readonly mayReadDeaf: boolean | undefined
  readonly completed: number
  /** Milliseconds that updaters rest at most, so that at times no grace period is under way. */
  readonly rest?: number
  readLock(): number
  readUnlock(token: number): void
  /** As readLock, with pauses between its steps, as if the thread were preempted there. */
  readonly slowReadLock?: (isLong: boolean) => Promise<number>
  downRead?(): number
  upRead?(token: number): void
  synchronize(options: WaitOptions): Promise<void>
  synchronizeExpedited(options: WaitOptions): Promise<void>
  synchronizeBlocking?(options: WaitOptions): void
  getState(): number
  startPoll(): number
  poll(cookie: number): boolean
  readonly call?: (callback: Callback) => Promise<void>
  readonly free?: (address: number) => Promise<void>
  readonly barrier?: (options: WaitOptions) => Promise<void>
  /** Before the thread may end: until it drives no grace period. */
  settle?(): Promise<void>
}

/** Grace periods of the event loop. A section is a synchronous stretch. */
export function rcuFlavour({ rcu }: Machine): Flavour {
  return {
    mayAwait: false,
    mayReadDeaf: undefined,
    completed: rcu.completed,
    readLock: () => 0,
    readUnlock: () => undefined,
    synchronize: (options) => rcu.synchronize(options),
    synchronizeExpedited: (options) => rcu.synchronizeExpedited(options),
    synchronizeBlocking: (options) => rcu.synchronizeBlocking(options),
    getState: () => rcu.getState(),
    startPoll: () => rcu.startPoll(),
    poll: (cookie) => rcu.poll(cookie),
    call: (callback) => rcu.call(callback),
    free: (address) => rcu.free(address),
    barrier: (options) => rcu.barrier(options),
  }
}

/** `isTiny`: on a machine with one CPU. */
export function srcuFlavour(domain: Srcu, isTiny: boolean): Flavour {
  return {
    mayAwait: true,
    mayReadDeaf: isTiny || domain.flavour === 'normal',
    completed: domain.completed,
    readLock: () => domain.readLock(),
    readUnlock: (token) => domain.readUnlock(token),
    downRead: () => domain.downRead(),
    upRead: (token) => domain.upRead(token),
    synchronize: (options) => domain.synchronize(options),
    synchronizeExpedited: (options) => domain.synchronizeExpedited(options),
    synchronizeBlocking: (options) => domain.synchronizeBlocking(options),
    getState: () => domain.getState(),
    startPoll: () => domain.startPoll(),
    poll: (cookie) => domain.poll(cookie),
    call: (callback) => domain.call(callback),
    free: (address) => domain.free(address),
    barrier: (options) => domain.barrier(options),
  }
}
