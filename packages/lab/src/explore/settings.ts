/**
 * What the `percpu-lab` command asks of the explorations in the programs that it runs. It is kept with the global object, so that a
 * program finds it whichever copy of this package it imports.
 */
import type { ExploreOptions } from './options.js'
import type { Outcome } from './outcome.js'

export interface Settings {
  /** In place of what the program gives. */
  readonly override: ExploreOptions
  /** Whether the exploration of this name is to run; the others are passed over. */
  selects(name: string): boolean
  /** A shell command that replays an execution of the exploration. */
  replayCommand(name: string, schedule: string): string
  /** Told of each exploration that ran; gives the outcome of all shards together. */
  ended(name: string, outcome: Outcome): Promise<Outcome>
  /** Whether another shard has found a failure, so that nobody needs the rest of this one. */
  stopped(): boolean
}

const key = Symbol.for('percpu-lab.settings')
const store = globalThis as { [key]?: Settings | undefined }

export function settings(): Settings | undefined {
  return store[key]
}

export function setSettings(value: Settings | undefined): void {
  store[key] = value
}
