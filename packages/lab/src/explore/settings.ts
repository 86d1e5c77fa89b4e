/**
 * Settings that the `percpu-lab` command makes for the explorations in the programs that it runs.
 * They are kept with the global object, so that a program finds them whichever copy of this package
 * it imports.
 */
import type { ExploreOptions } from './options.js'
import type { Outcome } from './outcome.js'

export interface Settings {
  /** Options in place of the program's. */
  readonly override: ExploreOptions
  /** Whether the exploration of this name is to run. The others are passed over. */
  selects(name: string): boolean
  /** A shell command that replays an execution of the exploration. */
  replayCommand(name: string, schedule: string): string
  /** Told of each exploration that ran; resolves with the outcome of all shards together. */
  ended(name: string, outcome: Outcome): Promise<Outcome>
  /** Whether another shard has found a failure: then the rest of this one is of no use. */
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
