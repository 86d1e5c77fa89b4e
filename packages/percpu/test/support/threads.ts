import { Worker } from 'node:worker_threads'
import { boot, type BootOptions, type Machine, type Supervision } from 'percpu'
import { loadAtomic32, storeAtomic32, waitAsync32, type Memory } from 'percpu/mem'
import type { ActorData, Command } from './actor.js'

/** A worker thread under a test's command. */
export class Actor {
  readonly worker: Worker
  readonly supervision: Supervision | undefined
  readonly ended: Promise<unknown>
  readonly #replies = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #next = 1

  constructor(machine: Machine, data: Omit<ActorData, 'handle'> & { supervised?: boolean } = {}) {
    const { supervised = true, ...rest } = data
    this.worker = new Worker(new URL('./actor.js', import.meta.url), {
      workerData: { ...rest, handle: machine.handle },
    })
    if (supervised) this.supervision = machine.supervise(this.worker)
    this.ended = new Promise((resolve) => this.worker.once('exit', resolve))
    this.worker.on('error', () => undefined)
    this.worker.on('message', ({ id, value, error }: { id: number; value: unknown; error?: string }) => {
      const reply = this.#replies.get(id)
      this.#replies.delete(id)
      if (error === undefined) reply?.resolve(value)
      else reply?.reject(new Error(error))
    })
  }

  static async start(
    machine: Machine,
    data: Omit<ActorData, 'handle'> & { supervised?: boolean } = {},
  ): Promise<Actor> {
    const actor = new Actor(machine, data)
    await actor.#reply(0)
    return actor
  }

  /** Sends a command; resolves with its result. */
  tell<Result = undefined>(command: Command): Promise<Result> {
    const id = this.#next++
    const reply = this.#reply(id)
    this.worker.postMessage({ id, command })
    return reply as Promise<Result>
  }

  async terminate(): Promise<readonly number[]> {
    await this.worker.terminate()
    return (await this.supervision?.reaped) ?? []
  }

  #reply(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#replies.set(id, { resolve, reject })
      this.worker.once('exit', () => reject(new Error(`the worker ended before it answered ${id}`)))
    })
  }
}

/**
 * Boots a machine, runs the test on it, and ends the workers that it started, whatever happened.
 */
export async function withMachine(
  options: BootOptions,
  test: (
    machine: Machine,
    start: (data?: Parameters<typeof Actor.start>[1]) => Promise<Actor>,
  ) => Promise<void>,
): Promise<void> {
  const machine = boot(options)
  const actors: Actor[] = []
  try {
    await test(machine, async (data) => {
      const actor = await Actor.start(machine, data)
      actors.push(actor)
      return actor
    })
  } finally {
    await Promise.all(actors.map((actor) => actor.worker.terminate()))
  }
}

/** Words for a test's own use: addresses of `count` atomic words, a line each. */
export function words(machine: Machine, count: number): number[] {
  return Array.from({ length: count }, () => machine.heap.memblock.alloc({ size: 4, label: 'test word' }))
}

/** Resolves when the word has another value than 0, which it returns. */
export async function becomesSet({ i32 }: Memory, address: number): Promise<number> {
  const keepAlive = setInterval(() => undefined, 1 << 30)
  try {
    for (;;) {
      const value = loadAtomic32(i32, address / 4)
      if (value !== 0) return value
      await waitAsync32(i32, address / 4, 0).value
    }
  } finally {
    clearInterval(keepAlive)
  }
}

export function set({ i32 }: Memory, address: number, value = 1): void {
  storeAtomic32(i32, address / 4, value)
}
export function get({ i32 }: Memory, address: number): number {
  return loadAtomic32(i32, address / 4)
}
