/** One run: a machine, its threads, and the verdict. */
import { setTimeout as sleep } from 'node:timers/promises'
import { boot, type Machine } from 'percpu'
import { storeAtomic32 } from 'percpu/mem'
import { Coordinator } from './coordinator.js'
import { Crew, OWN_OWNER, OWN_SLOT } from './crew.js'
import { checkAtTheEnd } from './final-checks.js'
import { State, STATE_NAME } from './layout.js'
import { checkOptions, type TortureOptions } from './options.js'
import { Random } from './random.js'
import { openSession, tasksOf } from './session.js'
import { PATIENCE, type Session } from './task.js'
import { judge, type Counted, type TortureResult } from './verdict.js'

/** Milliseconds that threads have to end after a failure. */
const AFTER_FAILURE = 500
/** CPUs for visitors, and for numbers that are being cleaned up after. */
const SPARE = 8
/** What is told of failures, at most. */
const NOTES = 10

export interface Observer {
  /** Several times a second. */
  progress(counted: Counted): void
  readonly signal?: AbortSignal | undefined
}

/**
 * Tortures one flavour. It ends early at a failure, or when `signal` aborts.
 *
 * @throws UsageError for options that contradict each other.
 */
export async function torture(options: TortureOptions, observer: Observer): Promise<TortureResult> {
  checkOptions(options)
  const run = new Run(options, observer)
  try {
    return await run.toTheEnd()
  } finally {
    await run.close()
  }
}

class Run {
  readonly #options: TortureOptions
  readonly #observer: Observer
  readonly #machine: Machine
  readonly #session: Session
  readonly #crew: Crew
  readonly #coordinator: Coordinator
  readonly #notes: string[] = []
  readonly #stalls: string[] = []
  #began = performance.now()
  readonly #isTiny: boolean
  /** The cookie of the end; the domain is cleaned up after. */
  #gracePeriods: number | undefined
  #ownTasks: Promise<void> | undefined
  #isOwnResting = true

  constructor(options: TortureOptions, observer: Observer) {
    this.#options = options
    this.#observer = observer
    this.#isTiny = options.flavour === 'tiny'
    this.#machine = this.#boot()
    const { memory, objects } = this.#machine
    const state = objects.create(STATE_NAME, State).address / 4
    // atomic: nobody else is there. There is no current element yet.
    storeAtomic32(memory.i32, state + State.words.current, -1)
    const own = { flavour: options.flavour, slot: OWN_SLOT, owner: OWN_OWNER }
    const tell = (text: string): void => {
      if (this.#notes.length < NOTES && !this.#notes.includes(text)) this.#notes.push(text)
    }
    const random = new Random(options.seed, OWN_OWNER)
    this.#session = openSession(own, { machine: this.#machine, random, lasting: Infinity, tell })
    this.#crew = new Crew(this.#session, options)
    this.#coordinator = new Coordinator({
      ...{ session: this.#session, crew: this.#crew, kill: options.kill, hasThreads: !this.#isTiny },
      ownResting: () => this.#isOwnResting || this.#session.isResting,
    })
    this.#machine.on('stall', ({ text: stall }) => this.#stalls.push(stall))
  }
  #boot(): Machine {
    const { readers, writers, fakeWriters, fanout } = this.#options
    if (this.#isTiny) return boot({ smp: false, memory: '32 MiB' })
    const cpus = 1 + readers + writers + fakeWriters + UP_DOWN + SPARE
    return boot({ cpus, fanout, memory: '64 MiB' })
  }

  async toTheEnd(): Promise<TortureResult> {
    const { pool, flavour, tally } = this.#session
    const first = pool.take(OWN_OWNER, 0) ?? 0
    pool.fill(first)
    pool.publish(first, OWN_OWNER)
    const before = flavour.getState()
    await this.#start()
    this.#began = performance.now()
    const end = this.#began + this.#options.milliseconds
    const ticker = setInterval(() => this.#observer.progress(this.#counted(before)), 250)
    try {
      while (!tally.hasFailed && this.#observer.signal?.aborted !== true) {
        // On a busy computer nothing may have happened yet.
        const hasBegun = tally.count('reads') > 0 && tally.count('versions') > 0
        if (performance.now() > (hasBegun ? end : end + PATIENCE)) break
        await this.#coordinator.step()
      }
      await this.#stop()
    } catch (error) {
      this.#session.failWith(error)
    } finally {
      clearInterval(ticker)
    }
    return judge(this.#options, this.#counted(before))
  }
  async close(): Promise<void> {
    await this.#crew.ended(0)
    // A task of this thread that hangs would find its memory gone.
    if (this.#isOwnResting) await this.#machine.offline()
  }

  /** Resolves when all threads have joined: that can take long on a busy computer. */
  async #start(): Promise<void> {
    const { readers, writers, fakeWriters } = this.#options
    const { flavour, tally } = this.#session
    const upDown = flavour.downRead ? UP_DOWN : 0
    const counts = { reader: readers, writer: writers, fake: fakeWriters, updown: upDown } as const
    const roles = (['reader', 'writer', 'fake', 'updown'] as const).flatMap((role) =>
      Array.from({ length: counts[role] }, () => role),
    )
    if (!this.#isTiny) {
      for (const role of roles) this.#crew.launch(role)
      const end = performance.now() + PATIENCE
      while (tally.count('threads') < roles.length && performance.now() < end) await sleep(5)
      return
    }
    this.#isOwnResting = false
    this.#ownTasks = this.#session.run(roles.flatMap((role) => tasksOf(role, flavour))).then(() => {
      this.#isOwnResting = true
    })
  }

  async #stop(): Promise<void> {
    const { memory, state, tally } = this.#session
    // atomic: a request.
    storeAtomic32(memory.i32, state + State.words.stop, 1)
    const hasFailed = tally.hasFailed
    const patience = hasFailed ? AFTER_FAILURE : 2 * PATIENCE
    const isInTime = await this.#crew.ended(patience)
    await (hasFailed ? Promise.race([this.#ownTasks, sleep(AFTER_FAILURE)]) : this.#ownTasks)
    if (!isInTime && !hasFailed)
      this.#session.fail('stalled', `some threads did not end within ${patience} ms`)
    if (tally.hasFailed) return
    const { flavour } = this.#options
    this.#gracePeriods = this.#session.flavour.getState()
    await checkAtTheEnd(this.#session, { coordinator: this.#coordinator, crew: this.#crew, flavour })
  }

  #counted(before: number): Counted {
    const { tally, flavour } = this.#session
    return {
      milliseconds: performance.now() - this.#began,
      tally,
      gracePeriods: (((this.#gracePeriods ?? flavour.getState()) - before) | 0) / 4,
      kills: this.#crew.kills,
      orphans: this.#crew.orphans,
      lostElements: this.#coordinator.lost,
      callbacksLost: this.#coordinator.callbacksLost,
      pauses: this.#coordinator.pauses,
      notes: this.#notes,
      stalls: this.#stalls,
    }
  }
}

/** Threads that hand sections to each other. */
const UP_DOWN = 2
