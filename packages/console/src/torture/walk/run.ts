/**
 * `percpu torture --walk`: threads that walk a space, deaf ones too, against threads that map,
 * unmap, split, collapse, fork and free at full speed, while random ones are terminated. Pages and
 * tables that are freed are filled with poison. Each read must give what was mapped at that time,
 * or fault.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, type AddressSpace, type Machine } from 'percpu'
import { Random } from '../random.js'
import { BoardView, counters, DEAF, failures, PINNED, SPACES, type Counter, type Failure } from './board.js'
import type { WalkAssignment, WalkRole } from './worker.js'

export interface WalkOptions {
  readonly milliseconds: number
  /** Threads that read, half of them deaf; two more pin. */
  readonly readers: number
  /** Threads that map in the common space, 1 or 2; two more have spaces of their own. */
  readonly writers: number
  readonly kill: boolean
  readonly seed: number
}
export interface WalkResult {
  readonly verdict: 'SUCCESS' | 'FAILURE'
  readonly options: WalkOptions
  readonly seconds: number
  readonly kills: number
  readonly counts: Readonly<Record<Counter, number>>
  readonly failures: Readonly<Partial<Record<Failure, number>>>
  readonly notes: readonly string[]
}
interface Member {
  readonly role: WalkRole
  readonly number: number
  readonly worker: Worker
  readonly reaped: Promise<unknown>
  isExpected: boolean
}

/** Milliseconds between two terminations, and for threads to end. */
const BETWEEN_KILLS = 40
const PATIENCE = 30_000
/** Threads that pin, and CPUs for numbers that are being cleaned up after. */
const PINNERS = 2
const SPARE = 6
const NOTES = 10
/** What a run is about: one without any of it has shown nothing. */
const essential: readonly Counter[] = ['reads', 'faults', 'maps', 'unmaps', 'pins']

export async function tortureWalks(options: WalkOptions, signal?: AbortSignal): Promise<WalkResult> {
  const run = new Run(options)
  return run.toTheEnd(signal)
}

class Run {
  readonly #options: WalkOptions
  readonly #machine: Machine
  readonly #space: AddressSpace
  readonly #board: BoardView
  readonly #random: Random
  readonly #members = new Set<Member>()
  readonly #notes: string[] = []
  #owners = 0
  #kills = 0

  constructor(options: WalkOptions) {
    this.#options = options
    const cpus = 3 + options.readers + options.writers + PINNERS + SPARE
    // In debug mode the heap poisons what page tables give up.
    this.#machine = boot({ cpus, memory: '256 MiB', debugHeap: true })
    this.#space = this.#machine.space(SPACES[0])
    this.#board = new BoardView(this.#machine)
    this.#random = new Random(options.seed, 0)
  }

  async toTheEnd(signal: AbortSignal | undefined): Promise<WalkResult> {
    const { readers, writers, milliseconds, kill } = this.#options
    for (let i = 0; i < readers; i++) this.#launch(i % 2 === 0 ? 'reader' : 'deaf', 0)
    for (let i = 0; i < writers; i++) this.#launch('mapper', i)
    for (let i = 0; i < PINNERS; i++) this.#launch('pinner', 0)
    for (const mapper of [PINNED, DEAF]) this.#launch('mapper', mapper)
    const began = performance.now()
    const end = began + milliseconds
    const hasBegun = (): boolean => this.#board.counted('threads') >= readers + writers + PINNERS + 2
    const needed = readers > 1 ? [...essential, 'deafReads' as const] : essential
    // On a busy computer much may not have happened yet.
    const isEnough = (): boolean =>
      hasBegun() && needed.every((name) => this.#board.counted(name) > 0) && (!kill || this.#kills > 0)
    while (!this.#board.hasFailed && signal?.aborted !== true) {
      if (performance.now() > (isEnough() ? end : end + PATIENCE)) break
      await sleep(BETWEEN_KILLS)
      if (kill && hasBegun()) await this.#kill()
    }
    const seconds = Math.round((performance.now() - began) / 100) / 10
    await this.#stop()
    const counts = Object.fromEntries(counters.map((name) => [name, this.#board.counted(name)]))
    const failed = failures.map((name) => [name, this.#board.failed(name)] as const)
    const found = Object.fromEntries(failed.filter(([, count]) => count > 0))
    const verdict = Object.keys(found).length === 0 ? 'SUCCESS' : 'FAILURE'
    await this.#machine.offline()
    return {
      ...{ verdict, options: this.#options, seconds, kills: this.#kills, failures: found },
      counts: counts as Record<Counter, number>,
      notes: this.#notes,
    }
  }

  #launch(role: WalkRole, number: number): void {
    const { seed } = this.#options
    const workerData: WalkAssignment = {
      ...{ handle: this.#machine.handle, role, number, seed, owner: ++this.#owners },
    }
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData })
    const { reaped } = this.#machine.supervise(worker)
    const member: Member = { role, number, worker, reaped, isExpected: false }
    worker.on('error', (error) => {
      this.#fail(
        'uncaught',
        `in a ${role}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
    })
    worker.once('exit', () => {
      if (!member.isExpected && !this.#board.isStopped) this.#fail('uncaught', `a ${role} ended early`)
      this.#members.delete(member)
    })
    this.#members.add(member)
  }
  #fail(failure: Failure, note: string): void {
    this.#board.fail(failure)
    if (this.#notes.length < NOTES && !this.#notes.includes(note)) this.#notes.push(note)
  }

  async #kill(): Promise<void> {
    const member = this.#random.pick([...this.#members])
    if (member === undefined) return
    member.isExpected = true
    this.#kills++
    await member.worker.terminate()
    await member.reaped
    this.#launch(member.role, member.number)
  }

  /** All threads end; then all tables and counts must be right. */
  async #stop(): Promise<void> {
    this.#board.stop()
    const exits = [...this.#members].map(({ worker }) => once(worker, 'exit'))
    const isInTime = await Promise.race([
      Promise.all(exits).then(() => true),
      sleep(PATIENCE, false, { ref: false }),
    ])
    if (!isInTime) {
      const roles = [...this.#members].map(({ role, number }) => `${role} ${number}`)
      this.#fail('uncaught', `${roles.join(', ')} did not end within ${PATIENCE} ms`)
      for (const member of this.#members) {
        member.isExpected = true
        await member.worker.terminate()
      }
    }
    try {
      this.#space.verify()
    } catch (error) {
      this.#fail('corrupt', error instanceof Error ? error.message : String(error))
    }
  }
}
