/**
 * How the grace periods of a domain come about. Nobody in particular drives them: each CPU that
 * waits for one does whatever is to be done next, and so does one that has asked for one. So none
 * is stuck when one of them dies, parks, or gives up.
 *
 *     idle  ──▶  scan 1  ──▶  scan 2  ──▶  idle        each step by a compare-and-exchange
 *
 * A CPU asks to be rung, looks whether the rank of this phase is drained, and moves the sequence on
 * if so. Else it sleeps until it is rung: a reader of that rank has left, another CPU has moved the
 * sequence, or a reader's CPU has died. Each move rings all who asked, so that they help with the
 * next phase.
 *
 * Cost: with several CPUs that wait, each makes the same scans. Their moves are shared. So a domain
 * for which many wait gets a tree, where all but one of them sleep: srcu-tree.ts. Who is in a hurry
 * scans itself.
 */
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Doorbell } from '../cpus/doorbell.js'
import { drainingRankOf, endOf, isDone, isIdle, nextPhase, phaseOf, SCAN1 } from '../cpus/sequence.js'
import type { Sleep } from '../cpus/stall.js'
import { Deadline, type AbortSignalLike } from '../machine/wait-options.js'
import type { SrcuTree } from './srcu-tree.js'
import type { SrcuWords } from './srcu-words.js'

/** What a thread drives the grace periods of a domain with. */
export interface SrcuDriverParts {
  readonly words: SrcuWords
  readonly cpu: number
  readonly table: CpuTable
  readonly doorbell: Doorbell
  /** ms for which this CPU counts on another one to scan. */
  readonly patience: number
  /** Of those who sleep; undefined while the domain is small. */
  readonly tree: () => SrcuTree | undefined
  /** The domain needs a tree. Nothing happens if there is no memory for it. */
  readonly grow: () => void
}

/** So many CPUs out of 32 that scan at the same time are too many. */
const CROWD = 8

/** What the flavours do differently. */
export interface SrcuScans {
  /** The phase with which a grace period begins. */
  readonly firstPhase: number
  /** Whether all sections of a rank have ended that began before; never while one has not. */
  scan(rank: number, deadline: Deadline): Promise<boolean>
  /** As {@link scan}, without the event loop. @throws UnansweredError at the deadline. */
  scanBlocking(rank: number, deadline: Deadline, sleep: Sleep): boolean
}

interface Wait {
  readonly cookie: number
  readonly expedited: boolean
  readonly settle: (isDone: boolean) => void
  readonly fail: (error: Error) => void
}

export class SrcuDriver {
  readonly #parts: SrcuDriverParts
  readonly #scans: SrcuScans
  readonly #waits = new Set<Wait>()
  /** What nobody waits for, and shall come about all the same. */
  #background: number | undefined
  /** That is urgent. */
  #isHurried = false
  /** One that is made in an answer of a thread that blocks asks again: {@link block} looks then. */
  #steps = 0
  #drive: Cancel | undefined
  /** Takes the bits away with which this CPU sleeps; while it does. */
  #leaveTree: (() => void) | undefined
  #closed: Error | undefined

  constructor(parts: SrcuDriverParts, scans: SrcuScans) {
    this.#parts = parts
    this.#scans = scans
  }

  /** Resolves to true when the cookie is done, to false at the deadline. It has been requested. */
  wait(cookie: number, deadline: Deadline, expedited = false): Promise<boolean> {
    return new Promise((resolve, reject) => {
      deadline.throwIfAborted()
      const settle = (isDone: boolean): void => {
        if (end()) resolve(isDone)
      }
      const fail = (error: Error): void => {
        if (end()) reject(error)
      }
      const wait = { cookie, expedited, settle, fail }
      const stop = deadline.watch(() => settle(isDone(this.#parts.words.sequence, cookie)), fail)
      const end = (): boolean => {
        if (!this.#waits.delete(wait)) return false
        stop()
        if (!this.#isWanted) this.#drive?.abort()
        return true
      }
      this.#waits.add(wait)
      this.#start()
      // It may be asleep.
      if (expedited) this.#parts.doorbell.recheck()
    })
  }

  /**
   * Lets the cookie be done some time, without anybody waiting for it; or soon, if it is urgent. It
   * has been requested.
   */
  help(cookie: number, isUrgent = false): void {
    if (this.#background === undefined || isDone(cookie, this.#background)) this.#background = cookie
    this.#isHurried ||= isUrgent
    this.#start()
    // It may be asleep. Mutant: rcu/srcu-hurried-asleep.
    if (isUrgent) this.#parts.doorbell.recheck()
  }

  /** As {@link wait}, and blocks the thread by `sleep`. */
  block(cookie: number, deadline: Deadline, sleep: Sleep): boolean {
    const { words, cpu, doorbell } = this.#parts
    try {
      for (;;) {
        const { sequence } = words
        if (isDone(sequence, cookie)) return true
        if (this.#begin(sequence)) continue
        const steps = this.#steps
        words.ask(cpu)
        if (this.#scans.scanBlocking(drainingRankOf(sequence), deadline, sleep)) this.#moveOn(sequence)
        else if (!sleep(() => this.#steps !== steps || this.#isNews(sequence), deadline))
          return isDone(words.sequence, cookie)
      }
    } finally {
      this.handOver()
      // What this thread drives by itself has lost its bit, and nobody rings it. Mutant:
      // rcu/srcu-block-untold.
      doorbell.recheck()
    }
  }

  /**
   * This CPU does not scan any more, nor does it sleep: if somebody is to, one that sleeps does.
   */
  handOver(): void {
    const { words, cpu, doorbell } = this.#parts
    // Mutant: rcu/srcu-tree-left-offline.
    this.#leaveTree?.()
    words.unask(cpu)
    if (words.isWanted && !words.isAsked(cpu)) this.#parts.tree()?.wakeOne(doorbell.ringer, cpu)
  }

  /** All waits reject. */
  close(error: Error): void {
    this.#closed = error
    this.#forgetBackground()
    for (const wait of [...this.#waits]) wait.fail(error)
    this.#drive?.abort()
  }

  get #isWanted(): boolean {
    return this.#waits.size > 0 || this.#background !== undefined
  }

  #start(): void {
    if (this.#closed) for (const wait of [...this.#waits]) wait.fail(this.#closed)
    else if (!this.#drive) void this.#run()
  }
  async #run(): Promise<void> {
    const cancel = (this.#drive = new Cancel())
    const deadline = new Deadline({ signal: cancel })
    try {
      for (;;) {
        const { sequence } = this.#parts.words
        this.#settle(sequence)
        if (!this.#isWanted || cancel.aborted) break
        await this.#step(sequence, deadline)
      }
    } catch (error) {
      if (!cancel.aborted) this.#fail(error as Error)
    }
    this.#drive = undefined
    if (!this.#closed) this.handOver()
    // Somebody came who found it being cancelled.
    if (this.#isWanted) this.#start()
  }
  #forgetBackground(): void {
    this.#background = undefined
    this.#isHurried = false
  }
  #fail(error: Error): void {
    this.#forgetBackground()
    for (const wait of [...this.#waits]) wait.fail(error)
  }
  #settle(sequence: number): void {
    for (const wait of [...this.#waits]) if (isDone(sequence, wait.cookie)) wait.settle(true)
    if (this.#background !== undefined && isDone(sequence, this.#background)) this.#forgetBackground()
  }

  async #step(sequence: number, deadline: Deadline): Promise<void> {
    const { words, cpu, doorbell } = this.#parts
    this.#steps++
    if (this.#begin(sequence)) return
    const slept = await this.#sleep(deadline)
    if (slept === 'again') return
    if (words.ask(cpu) > CROWD) this.#parts.grow()
    // Of several that have asked at the same time the first one scans.
    if (slept === 'alone' && this.#hasTree && words.isAsked(cpu, 'before')) {
      words.unask(cpu)
      return
    }
    if (await this.#scans.scan(drainingRankOf(sequence), deadline)) this.#moveOn(sequence)
    else await doorbell.until([], () => this.#isNews(sequence), deadline)
  }

  /**
   * Sleeps while another CPU scans, until a grace period is over that this one waits for, or for as
   * long as its patience lasts. Else this CPU is to scan: it is alone, or nothing has happened in
   * all that time, or somebody is in a hurry.
   */
  async #sleep(deadline: Deadline): Promise<'again' | 'alone' | 'late'> {
    const { words, cpu, doorbell, patience } = this.#parts
    const tree = this.#parts.tree()
    if (this.#isUrgent()) return 'late'
    if (!tree || !words.isAsked(cpu)) return 'alone'
    const cookies = new Set([...this.#waits].map(({ cookie }) => cookie))
    if (this.#background !== undefined) cookies.add(this.#background)
    const isOver = (): boolean => {
      const { sequence } = words
      return [...cookies].some((cookie) => isDone(sequence, cookie))
    }
    const { sequence, askers } = words
    const isToScan = (): boolean => this.#isUrgent() || !words.isAsked(cpu)
    const enter = (): boolean => {
      for (const cookie of cookies) tree.enter(cpu, cookie)
      return isOver() || isToScan()
    }
    const { signal } = deadline
    const rest = new Deadline(signal ? { timeout: patience, signal } : { timeout: patience })
    const leave = (): void => {
      for (const cookie of cookies) tree.leave(cpu, cookie)
    }
    this.#leaveTree = leave
    try {
      await doorbell.sleepUntil([], enter, rest)
    } finally {
      this.#leaveTree = undefined
      if (!this.#closed) leave()
    }
    if (isOver()) return 'again'
    if (!words.isAsked(cpu)) return 'alone'
    const hasMoved = words.sequence !== sequence || words.askers !== askers
    return hasMoved && !this.#isUrgent() ? 'again' : 'late'
  }
  get #hasTree(): boolean {
    return this.#parts.tree() !== undefined
  }
  /** Whether somebody on this thread is in a hurry. */
  #isUrgent(): boolean {
    return this.#isHurried || [...this.#waits].some(({ expedited }) => expedited)
  }

  /** If no grace period is under way, begins one that is wanted, or nothing. */
  #begin(sequence: number): boolean {
    if (!isIdle(sequence)) return false
    const { words, cpu, doorbell } = this.#parts
    if (!isDone(sequence, words.needed))
      words.move(sequence, sequence + this.#scans.firstPhase, doorbell.ringer, cpu)
    return true
  }
  /** The rank of this phase is drained. */
  #moveOn(sequence: number): void {
    const { words, cpu, doorbell } = this.#parts
    // Mutant: rcu/srcu-one-scan.
    const next = phaseOf(sequence) === SCAN1 ? nextPhase(sequence) : endOf(sequence)
    // Mutant: rcu/srcu-tree-untold.
    if (words.move(sequence, next, doorbell.ringer, cpu) && isIdle(next))
      this.#parts.tree()?.wake(next, doorbell.ringer, cpu)
  }
  /** Whether a look is worthwhile again. */
  #isNews(sequence: number): boolean {
    const { words, cpu } = this.#parts
    return !words.isAsking(cpu) || words.sequence !== sequence
  }
}

/** An AbortSignal that aborts itself: not every host has the real one. */
class Cancel implements AbortSignalLike {
  aborted = false
  readonly reason = new Error('nobody waits for this any more')
  readonly #listeners = new Set<() => void>()

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener)
  }
  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener)
  }
  abort(): void {
    if (this.aborted) return
    this.aborted = true
    for (const listener of [...this.#listeners]) listener()
  }
}
