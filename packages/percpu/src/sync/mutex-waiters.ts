/**
 * The tasks of one thread that wait for one mutex. The other CPUs see them as one waiter. Among
 * themselves, those that wait asynchronously queue here: first come, first served. Only the first
 * one waits for the mutex, the others for their turn: so a ring costs the same, however many wait.
 *
 * While any of them waits, the CPU's bit is set in the mutex (mutex-words.ts).
 */
import type { Deadline } from '../machine/wait-options.js'
import { ensureStack, FEW } from '../stack.js'
import { MutexLayout } from './layouts.js'
import type { SyncState } from './state.js'

export class MutexWaiters {
  readonly #state: SyncState
  /** Word index of the mutex. */
  readonly #word: number
  /** Takes the mutex for this thread if it can be had. */
  readonly #tryTake: () => boolean
  /** How many of this thread wait. */
  #sleepers = 0
  /** The asynchronous ones, in their order. */
  #first: Task | undefined
  #last: Task | undefined

  constructor(state: SyncState, word: number, tryTake: () => boolean) {
    this.#state = state
    this.#word = word
    this.#tryTake = tryTake
  }

  /** Whether a task would have to queue. */
  get hasTasks(): boolean {
    return this.#first !== undefined
  }

  /** Blocks the thread until the mutex is taken (true), or until the deadline (false). */
  sleep(deadline: Deadline): boolean {
    const { waiting, protocol } = this.#state
    let taken = false
    this.#enter()
    const begun = waiting.beginWait()
    try {
      const isReady = (): boolean => protocol.isAvailableOrMarked(this.#word)
      const mask = this.#word + MutexLayout.words.waiters
      while (!taken && waiting.sleep(isReady, deadline, mask)) {
        taken = this.#tryTake()
        if (!taken) protocol.insist(this.#word)
      }
      return taken
    } finally {
      this.#leave(taken)
      waiting.endWait(this.#word * 4, begun, taken)
    }
  }

  /**
   * As {@link sleep}, without blocking the thread. Rejects with the reason of the deadline's signal
   * when that aborts, and with an OfflineError when this CPU goes offline.
   */
  async wait(deadline: Deadline): Promise<boolean> {
    const { waiting, protocol } = this.#state
    const isReady = (): boolean => protocol.isAvailableOrMarked(this.#word)
    let taken = false
    // What may throw comes first: a task that stayed in the queue would keep all others from their
    // turn.
    this.#enter()
    const begun = waiting.beginWait()
    const task = this.#queue()
    try {
      if (task !== this.#first && !(await takeTurn(task, deadline))) return false
      while (!taken && (await waiting.wait(isReady, deadline))) {
        taken = this.#tryTake()
        if (!taken) protocol.insist(this.#word)
      }
      return taken
    } finally {
      this.#unqueue(task)
      this.#leave(taken)
      waiting.endWait(this.#word * 4, begun, taken)
      if (waiting.isClosed) this.#endAll()
      // It may be first now.
      else this.#first?.begin?.()
    }
  }

  /** The CPU goes offline: nobody waits for a turn any more. */
  #endAll(): void {
    for (let task = this.#first; task; task = task.next) task.begin?.()
  }

  #queue(): Task {
    const task: Task = { previous: this.#last, next: undefined, begin: undefined }
    if (this.#last) this.#last.next = task
    else this.#first = task
    this.#last = task
    return task
  }
  #unqueue({ previous, next }: Task): void {
    if (previous) previous.next = next
    else this.#first = next
    if (next) next.previous = previous
    else this.#last = previous
  }

  #enter(): void {
    ensureStack(FEW)
    if (this.#sleepers === 0) this.#state.protocol.enter(this.#word)
    this.#sleepers++
  }

  #leave(taken: boolean): void {
    if (--this.#sleepers > 0) return
    if (taken) this.#state.protocol.leave(this.#word)
    else this.#state.protocol.withdraw(this.#word)
  }
}

/** One that waits asynchronously. */
interface Task {
  previous: Task | undefined
  next: Task | undefined
  /** While it waits for its turn: that has come. */
  begin: (() => void) | undefined
}

/**
 * Resolves to true when the task's turn has come, or to false at the deadline. Rejects with the
 * reason of the deadline's signal when that aborts. Until then the first task keeps the process
 * alive.
 */
function takeTurn(task: Task, deadline: Deadline): Promise<boolean> {
  return new Promise<boolean>((resolve, reject) => {
    deadline.throwIfAborted()
    const end = (): void => {
      task.begin = undefined
      stop()
    }
    const stop = deadline.watch(
      () => {
        end()
        resolve(false)
      },
      (reason) => {
        end()
        reject(reason)
      },
    )
    task.begin = () => {
      end()
      resolve(true)
    }
  })
}
