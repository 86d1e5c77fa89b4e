/**
 * Hotplug callbacks: how a layer gets its per-CPU state ready when its CPU comes online, and back
 * when it leaves or dies. (After the kernel's cpuhp states.)
 *
 * Each thread that uses a layer adds the layer's callbacks. `startup` runs at once, on the CPU
 * concerned. `teardown` runs on it when it goes offline, in the opposite order. `dead` runs in the
 * opposite order too, but on the thread that reaps a CPU. That CPU's thread died at any point, so
 * `dead` must cope with half-done work and with being run again.
 */
import { ArgumentError } from '../errors.js'
import {
  checkFunction,
  checkObject,
  checkOptions,
  checkStored,
  shown,
  type OptionNames,
} from '../machine/check.js'
import { NAME_BYTES } from '../machine/limits.js'
import { HotplugError, UnansweredError } from '../machine/errors.js'
import type { AttachedLayer } from './layer.js'

/** What runs when a CPU comes, goes or dies: docs/machine.md. */
export interface HotplugCallbacks {
  /** Unique on its machine object; named in errors. */
  readonly name: string
  /** When this CPU has joined. */
  readonly startup?: () => void
  /** Before this CPU goes offline, in the reverse order. */
  readonly teardown?: () => void | Promise<void>
  /** On the thread that cleans up after a dead CPU. */
  readonly dead?: (cpu: number, incarnation: number) => void
}

const callbackNames: OptionNames<HotplugCallbacks> = {
  name: true,
  startup: true,
  teardown: true,
  dead: true,
}

/** How the calling thread's CPU goes offline. */
export interface CpuExit {
  /** Whether another thread declared the CPU dead before. */
  readonly isOver: () => boolean
  /** Answers what was rung so far, while everything is still there. */
  readonly answer: () => void
  readonly leave: () => void
  /** Resolves when nobody waits any longer for teardowns that have been begun. */
  readonly hurried: Promise<unknown>
}

/**
 * The callbacks of the machine objects that are online in this module, by machine and thread. A
 * thread that leaves and joins again has other callbacks, and its supervision goes on with them.
 */
const online = new Map<number, Map<number, Hotplug>>()

/** The callbacks that this thread has for the machine now. */
export function hotplugOf(machine: number, thread: number): Hotplug | undefined {
  return online.get(machine)?.get(thread)
}

export class Hotplug {
  readonly #callbacks: HotplugCallbacks[] = []
  /** The name of the teardown that is under way. */
  running: string | undefined
  readonly #machine: number
  readonly #thread: number

  constructor(machine: number, thread: number) {
    this.#machine = machine
    this.#thread = thread
    const ofMachine = online.get(machine) ?? new Map<number, Hotplug>()
    online.set(machine, ofMachine.set(thread, this))
  }

  /** The machine object is offline. */
  close(): void {
    const ofMachine = online.get(this.#machine)
    if (ofMachine?.get(this.#thread) !== this) return
    ofMachine.delete(this.#thread)
    if (ofMachine.size === 0) online.delete(this.#machine)
  }

  /**
   * Runs `startup` and keeps the rest for later. If it throws, nothing is added. Returns a function
   * that takes the callbacks back, without a teardown.
   *
   * @throws HotplugError with what `startup` threw as its cause; ArgumentError for a name that is
   *   taken.
   */
  add(callbacks: HotplugCallbacks): () => void {
    checkObject('callbacks', callbacks)
    checkOptions('addHotplug', callbacks, callbackNames)
    const { name } = callbacks
    checkStored('name', name, NAME_BYTES)
    if (this.#callbacks.some((other) => other.name === name)) {
      throw new ArgumentError(`hotplug callbacks named ${shown(name)} were added before`, { name })
    }
    for (const when of ['startup', 'teardown', 'dead'] as const)
      if (callbacks[when] !== undefined) checkFunction(when, callbacks[when])
    try {
      callbacks.startup?.()
    } catch (error) {
      throw new HotplugError(`startup of ${shown(name)} failed; it was not added`, { name }, { cause: error })
    }
    this.#callbacks.push(callbacks)
    return () => {
      const index = this.#callbacks.indexOf(callbacks)
      if (index >= 0) this.#callbacks.splice(index, 1)
    }
  }

  /**
   * Tears down in the opposite order, and then the machine's layers. Every callback runs, whatever
   * others throw.
   *
   * From the layers on it is one stretch, in which nothing is answered. Otherwise another task of
   * this thread, or a handler, could take memory or locks of a layer that has already detached.
   */
  async teardown(
    layers: readonly AttachedLayer[],
    { isOver, answer, leave, hurried }: CpuExit,
  ): Promise<HotplugError | undefined> {
    const errors: unknown[] = []
    const failed: string[] = []
    const fail = (name: string, error: unknown): void => {
      errors.push(error)
      failed.push(name)
    }
    await this.#tearDownUsers(fail, hurried)
    const isAbandoned = isOver()
    // While the layers that it may use are there. Mutant: cpus/never-answered.
    if (!isAbandoned) answer()
    for (const layer of [...layers].reverse()) {
      try {
        if (isAbandoned) layer.abandon?.()
        else layer.detach?.()
      } catch (error) {
        fail(layer.name, error)
      }
    }
    leave()
    return summarise('teardown', failed, errors)
  }

  /** The users' part alone, of a CPU that has ended already. */
  async tearDownUsers(): Promise<HotplugError | undefined> {
    const errors: unknown[] = []
    const failed: string[] = []
    await this.#tearDownUsers(
      (name, error) => {
        errors.push(error)
        failed.push(name)
      },
      new Promise(() => undefined),
    )
    return summarise('teardown', failed, errors)
  }
  async #tearDownUsers(
    fail: (name: string, error: unknown) => void,
    hurried: Promise<unknown>,
  ): Promise<void> {
    const late = {}
    for (let last = this.#callbacks.pop(); last; last = this.#callbacks.pop()) {
      const { name, teardown } = last
      this.running = name
      try {
        const outcome = await Promise.race([teardown?.(), hurried.then(() => late)])
        if (outcome === late) throw new UnansweredError('it has not ended in time', { name })
      } catch (error) {
        fail(name, error)
      }
    }
    this.running = undefined
  }

  /** Lets every layer clean up after a dead CPU. Every callback runs, whatever others throw. */
  dead(cpu: number, incarnation: number): HotplugError | undefined {
    const errors: unknown[] = []
    const failed: string[] = []
    for (const { name, dead } of [...this.#callbacks].reverse()) {
      try {
        dead?.(cpu, incarnation)
      } catch (error) {
        errors.push(error)
        failed.push(name)
      }
    }
    return summarise('dead', failed, errors)
  }
}

function summarise(
  step: string,
  failed: readonly string[],
  errors: readonly unknown[],
): HotplugError | undefined {
  if (failed.length === 0) return undefined
  const cause = errors.length === 1 ? errors[0] : new AggregateError(errors)
  const why = errors.map((error) => (error instanceof Error ? error.message : shown(error))).join('; ')
  return new HotplugError(
    `${step} of ${failed.join(', ')} failed; the other layers went on: ${why}`,
    { failed },
    { cause },
  )
}
