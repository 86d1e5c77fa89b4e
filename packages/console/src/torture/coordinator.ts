/** What happens during a run: kills, pauses, barriers, visitors; and what must hold then. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Machine } from 'percpu'
import { storeAtomic32 } from 'percpu/mem'
import type { Crew } from './crew.js'
import { State } from './layout.js'
import { PATIENCE, waits, type Session } from './task.js'

/** Milliseconds between two pauses, and after which standing still is a failure. */
const BETWEEN_PAUSES = 2000
const STILL = 20_000
const VISITORS = 2

export interface CoordinatorParts {
  readonly session: Session
  readonly crew: Crew
  readonly kill: boolean
  /** Whether there can be other threads. */
  readonly hasThreads: boolean
  /** Whether all tasks of this thread itself rest. */
  readonly ownResting: () => boolean
}

export class Coordinator {
  readonly #parts: CoordinatorParts
  #pausedAt = performance.now()
  #versions = 0
  #movedAt = performance.now()
  pauses = 0
  /** Elements that threads lost at their death. */
  lost = 0
  callbacksLost = 0

  constructor(parts: CoordinatorParts) {
    this.#parts = parts
    parts.session.machine.on('callbacksLost', ({ count }) => (this.callbacksLost += count))
    this.#pausedAt -= BETWEEN_PAUSES / 2
  }

  /** One disturbance, chosen at random. */
  async step(): Promise<void> {
    const { session, crew, kill, hasThreads } = this.#parts
    const { random, flavour } = session
    this.#watch()
    if (performance.now() - this.#pausedAt > BETWEEN_PAUSES) await this.pause()
    else if (kill && (crew.kills === 0 || random.below(3) > 0)) await crew.kill()
    else if (flavour.barrier && random.oneIn(3)) await this.barrier()
    else if (hasThreads && random.oneIn(6)) await crew.visit(VISITORS)
    await sleep(20 + random.below(80))
  }

  /** All threads let go of what they have. Then all elements but the current one must be free. */
  async pause(): Promise<void> {
    const { session } = this.#parts
    this.#setPause(1)
    const end = performance.now() + PATIENCE
    while (!this.#isResting && !session.tally.hasFailed && performance.now() < end) await sleep(2)
    // A task that failed leaves its elements where they are.
    if (session.tally.hasFailed) return
    if (this.#isResting) await this.audit()
    else
      session.fail(
        'stalled',
        `threads ${this.#parts.crew.restless.join(', ')} did not come to rest within ${PATIENCE} ms: ${describe(session.machine)}`,
      )
    this.#setPause(0)
    this.pauses++
    this.#pausedAt = performance.now()
    this.#movedAt = performance.now()
  }
  get #isResting(): boolean {
    return this.#parts.crew.isResting && this.#parts.ownResting()
  }
  #setPause(value: number): void {
    const { memory, state } = this.#parts.session
    // TF(torture.pause) before the look at who rests; pairs with TE in isPaused.
    storeAtomic32(memory.i32, state + State.words.pause, value)
  }

  /** While all threads rest. A kill may lose one element, between two writes; nothing else may. */
  async audit(): Promise<void> {
    const { session, crew } = this.#parts
    const { pool, flavour } = session
    const lost = pool.lost()
    if (lost.length === 0) return
    this.lost += lost.length
    if (this.lost > crew.kills)
      session.fail(
        'lost-elements',
        `${lost.length} elements are neither free nor current, after ${crew.kills} kills`,
      )
    await flavour.synchronize(waits)
    for (const element of lost) pool.release(element)
  }

  /** Whatever any thread had queued before has run, or is lost with its thread. */
  async barrier(): Promise<void> {
    const { session } = this.#parts
    const { tally, flavour } = session
    const queued = tally.count('callsQueued')
    await flavour.barrier?.(waits)
    tally.add('barriers')
    const ran = tally.count('callsRun')
    if (ran + this.callbacksLost < queued)
      session.fail(
        'barrier',
        `of ${queued} callbacks ${ran} had run and ${this.callbacksLost} were lost after a barrier`,
      )
  }

  /** Whether writers get on. */
  #watch(): void {
    const { session } = this.#parts
    const versions = session.tally.count('versions')
    if (versions !== this.#versions) this.#movedAt = performance.now()
    else if (performance.now() - this.#movedAt > STILL)
      session.fail('stalled', `no writer has replaced anything for ${STILL} ms`)
    this.#versions = versions
  }
}

/** What holds grace periods up, in a line. */
function describe(machine: Machine): string {
  const { gracePeriods, cpus } = machine.watch.inspect()
  const busy = cpus.filter(({ state }) => state !== 'offline')
  const kinds = gracePeriods.map(
    ({ domain = 'rcu', isWanted, cpus: holders, sections, handedOver, callbacks, waiting }) =>
      `${domain} (${[
        isWanted ? 'wanted' : 'not wanted',
        `held up by CPU ${holders.join(' ') || '–'}`,
        `${sections} sections, ${handedOver} of them handed over`,
        `callbacks ${callbacks.join(' ')}`,
        `CPU ${waiting.join(' ') || '–'} waits`,
      ].join(', ')})`,
  )
  return `${kinds.join('; ')}; ${busy.map(({ cpu, activity }) => `CPU ${cpu} ${activity}`).join(', ')}`
}
