/**
 * How a CPU waits for whatever this layer has to wait for: asleep on its own bell, or
 * asynchronously.
 *
 * The condition is asked, and may leave a mark for whoever will make it true; then the CPU sleeps
 * until it is rung, and asks again. A ring is never lost (the bell is a word that keeps it), and
 * may come for no reason.
 */
import { awaitUntil } from '#mem'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { UnsupportedError } from '../machine/errors.js'
import type { Deadline } from '../machine/wait-options.js'
import type { Sections } from './section.js'

/** About a microsecond: as long as a short section of another CPU may take. */
const SPIN = 50

export class Waiting {
  readonly #own: OwnCpu
  readonly #sections: Sections
  #mayBlock: boolean | undefined
  #isClosed = false

  constructor(own: OwnCpu, sections: Sections) {
    this.#own = own
    this.#sections = sections
  }

  /** The CPU goes offline: nothing is waited for any more. */
  close(): void {
    this.#isClosed = true
    this.#mayBlock = false
    this.recheck()
  }
  get isClosed(): boolean {
    return this.#isClosed
  }
  /** @throws OfflineError once the CPU goes offline. */
  assertOpen(): void {
    if (this.#isClosed) throw this.#own.offlineError()
  }

  /** What to say of a wait in vain that blocked; '' if nothing. */
  get warning(): string {
    return this.#own.gracePeriods.stalls.warning()
  }

  /** @throws UnsupportedError on threads that must not block, whether or not it would have to. */
  assertMayBlock(): void {
    this.#mayBlock ??= this.#own.idle.mayBlock()
    if (this.#mayBlock) return
    this.assertOpen()
    throw new UnsupportedError(
      'this thread must not block (the main thread of a browser page): use the async form, or the try form',
    )
  }

  /**
   * A wait begins that may be long: what to give to {@link endWait} when it is over, so that it is
   * logged while locks are traced. Not for spinning. Cost: a plain load while they are not.
   */
  beginWait(): number {
    return this.#own.idle.watcher?.lockWaits() ?? 0
  }
  /** `address`: byte address of what was waited for; `acquired`: whether it was got. */
  endWait(address: number, begun: number, acquired: boolean): void {
    if (begun > 0) this.#own.idle.watcher?.lockWaited(address, begun, acquired)
  }

  /** A short while of busy waiting. `done` only loads. */
  spin(done: () => boolean): boolean {
    return awaitUntil(done, SPIN)
  }

  /**
   * Blocks until `done()` holds (true), or until the deadline (false). A quiescent state of this
   * CPU. Inside a section nothing else runs on this thread meanwhile: what it would see is
   * half-done. `mask`: as in Idle.
   */
  sleep(done: () => boolean, deadline: Deadline, mask?: number): boolean {
    const isDone = (): boolean => this.#isClosed || done()
    const held = this.#own.idle.sleepUntil(isDone, deadline, !this.#sections.isOpen, mask)
    // It was declared dead by mistake meanwhile.
    this.assertOpen()
    return held
  }

  /**
   * Resolves to true when `done()` holds, to false at the deadline. Rejects with the reason of the
   * deadline's signal when that aborts, and with an OfflineError when this CPU goes offline.
   */
  async wait(done: () => boolean, deadline: Deadline): Promise<boolean> {
    this.assertOpen()
    const held = await this.#own.doorbell.until([], () => this.#isClosed || done(), deadline)
    this.assertOpen()
    return held
  }

  /**
   * Lets all asynchronous waits of this thread ask again, after a change that only this thread
   * knows of.
   */
  recheck(): void {
    this.#own.doorbell.recheck()
  }
}
