/**
 * Machine time: milliseconds since the machine was booted, the same on all its threads up to the
 * drift of their host clocks.
 *
 * Cost: that of `performance.now()`, 30 ns.
 */
import { loadF64, type Memory } from '#mem'
import { Header } from './layouts.js'
import { host } from './platform.js'

/** Milliseconds since the Unix epoch, with fractions. */
export function unixTime(): number {
  return host.performance.timeOrigin + host.performance.now()
}

/** A thread's reading of machine time. */
export class Clock {
  readonly #offset: number
  readonly #host = host.performance

  constructor(memory: Memory) {
    this.#offset = this.#host.timeOrigin - loadF64(memory.f64, Header.offsets.epoch / 8)
  }

  now(): number {
    return this.#host.now() + this.#offset
  }
}
