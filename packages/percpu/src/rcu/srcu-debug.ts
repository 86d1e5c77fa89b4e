/**
 * The debug mode of SRCU (`boot({ debugRcu: true })`), on one thread. Domains that are opened in
 * this mode have functions of their own in place of those that begin, end and wait. So the others
 * pay nothing.
 *
 * What is certain is thrown, and nothing was changed then. What may be right, or is found where
 * nobody can catch it, is told in the event `rcuMisuse`.
 *
 *     thrown   a token that is not of a section under way on this CPU, in this domain
 *              waiting for a domain within its `protect`, or blocking inside a section of it
 *              waiting for A within `protect` of B, if somebody has waited for B inside A;
 *              the same for more domains, and for blocking inside any section
 *     told     the same of other sections, once the wait has lasted: in JavaScript nobody can tell
 *              whether the waiting task or another one is to end a section
 *              a section whose guard was collected
 *              a section whose task has ended, when it has not ended for a while after
 *
 * Waits inside sections are noted in shared memory for good (debug-notes.ts), so a circle is found
 * also if its waits are never at the same time. (After the kernel's lockdep.)
 *
 * Cost: a stack for each section.
 */
import { shown } from '../machine/check.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { Clock } from '../machine/clock.js'
import { host } from '../machine/platform.js'
import { tokenOf } from '../machine/token.js'
import { SelfDeadlockError } from '../sync/errors.js'
import { HANDED_OVER, SECTION, WAIT } from './debug-layouts.js'
import { circleOf, describeCircle, misuse } from './debug-misuse.js'
import type { Note, Notes } from './debug-notes.js'
import { indented, stackAbove } from './debug-stack.js'
import { Tasks } from './debug-tasks.js'
import { cpuOf, isHandedOver, isNoted, isToken, makeToken, rankOf, serialOf } from './debug-tokens.js'
import type { SrcuMisuse, SrcuMisuseError } from './srcu-errors.js'
import { SrcuSection } from './srcu-section.js'
import type { Srcu } from './srcu.js'
import { visible } from '../shown.js'

/** A section that this thread has begun. */
export interface DebuggedSection {
  readonly domain: Srcu
  readonly token: number
  readonly lockedAt: string
  /** It is around a call: what runs in its frame is inside it. */
  readonly isExact: boolean
  /** Where its note is. */
  readonly note: number | undefined
  isOpen: boolean
  endedAt: string
  isTold: boolean
}

type Caller = (...args: never[]) => unknown

/** Sections of this thread that are remembered after their end. */
const REMEMBERED = 1000

export class SrcuDebug {
  readonly #own: OwnCpu
  readonly #notes: Notes
  readonly #clock: Clock
  readonly #tell: (error: SrcuMisuseError) => void
  readonly #tasks = new Tasks<DebuggedSection>((section) => this.#taskEnded(section))
  readonly #guards = new FinalizationRegistry((section: DebuggedSection) => {
    this.#tellOf(
      section,
      'guard-lost',
      'nobody has the object that section() returned any more, so it cannot end',
    )
  })
  /** By their tokens. */
  readonly #open = new Map<number, DebuggedSection>()
  /** Of late, in the order of their ends. */
  readonly #ended = new Map<number, DebuggedSection>()

  /** `tell`: is given what cannot be thrown. */
  constructor(own: OwnCpu, notes: Notes, tell: (error: SrcuMisuseError) => void) {
    this.#own = own
    this.#notes = notes
    this.#tell = tell
    this.#clock = new Clock(own.memory)
  }

  begun(domain: Srcu, rank: number, above: Caller, isExact = false): DebuggedSection {
    const lockedAt = stackAbove(above)
    const { token, note } = this.#note(domain, rank, SECTION, lockedAt)
    const section = { domain, token, lockedAt, isExact, note, isOpen: true, endedAt: '', isTold: false }
    this.#open.set(token, section)
    if (!isExact) this.#tasks.enter(section)
    return section
  }
  /** Its token. */
  handedOver(domain: Srcu, rank: number, above: Caller): number {
    return this.#note(domain, rank, HANDED_OVER, stackAbove(above)).token
  }

  /** `end`: takes the rank. @throws SrcuMisuseError. */
  end(domain: Srcu, token: number, above: Caller, end: (rank: number) => void): void {
    const section = this.#open.get(token)
    if (section === undefined) throw this.#unknown(domain, token, above)
    if (section.domain.words.words !== domain.words.words)
      throw misuse(
        domain,
        'other-domain',
        `the token is that of a section of ${visible(section.domain.name)}`,
        {
          token,
          lockedAt: section.lockedAt,
        },
      )
    end(rankOf(token))
    section.isOpen = false
    section.endedAt = stackAbove(above)
    this.#open.delete(token)
    this.#ended.set(token, section)
    const [oldest = token] = this.#ended.keys()
    if (this.#ended.size > REMEMBERED) this.#ended.delete(oldest)
    if (section.note !== undefined) this.#notes.remove(section.note, SECTION)
    this.#tasks.left()
  }
  /** As {@link end}, of a section handed over. */
  endHandedOver(domain: Srcu, token: number, end: (rank: number) => void): void {
    if (!isToken(token) || !isHandedOver(token))
      throw misuse(domain, 'no-section', `${shown(token)} is no token of downRead`, { token })
    if (isNoted(token)) {
      const note = this.#noteOf(token)
      if (note === undefined) throw misuse(domain, 'ended-twice', 'this section has ended before', { token })
      if (note.domain !== domain.words.words)
        throw misuse(domain, 'other-domain', 'the token is that of a section of another domain', {
          token,
          lockedAt: note.text,
        })
      if (!this.#notes.remove(note.at, HANDED_OVER))
        throw misuse(domain, 'ended-twice', 'this section has ended before', { token, lockedAt: note.text })
    }
    end(rankOf(token))
  }

  /** What `section()` returns. */
  guard(section: DebuggedSection): SrcuSection {
    const { domain, token } = section
    const guard = new SrcuSection(() => domain.readUnlock(token))
    this.#guards.register(guard, section)
    return guard
  }

  run<Result>(section: DebuggedSection, work: () => Result): Result {
    return this.#tasks.run(section, work)
  }

  /** @throws SrcuMisuseError before it waits, if it would wait for itself. */
  async wait(domain: Srcu, above: Caller, wait: () => Promise<void>): Promise<void> {
    const waitedAt = stackAbove(above)
    const around = this.#tasks.sections()
    this.#checkInside(
      around.filter(({ isExact }) => isExact),
      domain,
      waitedAt,
    )
    const candidates = this.#tasks.areKnown ? around : [...this.#open.values()]
    const perhaps = candidates.filter(({ isExact }) => !isExact)
    const stop = perhaps.length > 0 ? this.#later(() => this.#lasts(perhaps, domain, waitedAt)) : undefined
    try {
      await wait()
    } finally {
      stop?.()
    }
  }
  /** As {@link wait}, of the whole thread: none of its sections can end meanwhile. */
  block(domain: Srcu, above: Caller): void {
    const waitedAt = stackAbove(above)
    const open = [...this.#open.values()]
    const own = open.filter((section) => isOf(section, domain))
    const [first] = own
    if (first)
      throw new SelfDeadlockError(
        `${visible(domain.name)}: this CPU has sections under way (${own.length}), which cannot end while it blocks` +
          indented('begun', first.lockedAt),
        { name: domain.name, sections: own.length, lockedAt: first.lockedAt },
      )
    this.#checkInside(open, domain, waitedAt)
  }

  /** The domain is gone. */
  forgetDomain(domain: Srcu): void {
    this.#notes.forgetDomain(domain.words.words)
  }
  /** This CPU goes offline. Returns where its sections were begun. */
  close(): readonly string[] {
    this.#notes.forget(tokenOf(this.#own.cpu, this.#own.incarnation))
    return this.abandon()
  }
  /** As {@link close}, and leaves shared memory alone. */
  abandon(): readonly string[] {
    for (const section of this.#open.values()) section.isOpen = false
    return [...this.#open.values()].map(({ lockedAt }) => lockedAt)
  }

  #note(
    domain: Srcu,
    rank: number,
    kind: number,
    text: string,
  ): { readonly token: number; readonly note: number | undefined } {
    const { cpu } = this.#own
    const serial = this.#notes.nextSerial()
    const note = this.#add({ kind, domain: domain.words.words, awaited: 0, serial, text })
    return {
      token: makeToken({
        serial,
        cpu,
        rank,
        isHandedOver: kind === HANDED_OVER,
        isNoted: note !== undefined,
      }),
      note,
    }
  }
  #add(note: Omit<Note, 'at' | 'cpu' | 'since'>): number | undefined {
    const { cpu, incarnation } = this.#own
    return this.#notes.add({ ...note, cpu, since: this.#clock.now() }, tokenOf(cpu, incarnation))
  }
  #noteOf(token: number): Note | undefined {
    return this.#notes.all().find(({ kind, serial }) => kind !== WAIT && serial === serialOf(token))
  }

  #unknown(domain: Srcu, token: number, above: Caller): SrcuMisuseError {
    const ended = this.#ended.get(token)
    if (ended) {
      const stacks = { lockedAt: ended.lockedAt, endedAt: ended.endedAt, endedAgainAt: stackAbove(above) }
      return misuse(domain, 'ended-twice', 'this section has ended before', { token, ...stacks })
    }
    if (!isToken(token))
      return misuse(domain, 'no-section', `${shown(token)} is no token of a section`, { token })
    if (isHandedOver(token))
      return misuse(domain, 'no-section', 'a section that downRead began is ended by upRead', { token })
    const cpu = cpuOf(token)
    const lockedAt = this.#noteOf(token)?.text
    if (cpu === this.#own.cpu)
      return misuse(domain, 'no-section', 'the section ended long ago, or was of another thread', { token })
    return misuse(domain, 'other-cpu', `CPU ${cpu} began this section, and has to end it; see downRead`, {
      token,
      cpu,
      lockedAt,
    })
  }

  #checkInside(sections: readonly DebuggedSection[], domain: Srcu, waitedAt: string): void {
    for (const section of sections) {
      const { lockedAt } = section
      if (isOf(section, domain))
        throw misuse(domain, 'wait-inside', 'a wait for a grace period inside a section of the same domain', {
          lockedAt,
          waitedAt,
        })
      const error = this.#circle(section, domain, waitedAt)
      if (error) throw error
    }
  }
  /** Notes a wait inside a section of another domain. An error if it closes a circle. */
  #circle(section: DebuggedSection, domain: Srcu, waitedAt: string): SrcuMisuseError | undefined {
    const { lockedAt } = section
    const inside = section.domain.words.words
    const awaited = domain.words.words
    const isSame = (note: Note): boolean =>
      note.kind === WAIT && note.domain === inside && note.awaited === awaited
    const isKnown = this.#notes.all().some(isSame)
    const text = `inside ${visible(section.domain.name)}, waited for ${visible(domain.name)}\n${waitedAt}`
    // Before the others are looked at: of two threads that close a circle, one finds it.
    const added = isKnown ? undefined : this.#add({ kind: WAIT, domain: inside, awaited, serial: 0, text })
    const circle = circleOf(
      this.#notes.all().filter(({ kind }) => kind === WAIT),
      inside,
      awaited,
    )
    if (circle === undefined) return undefined
    // The caller does not wait after all.
    if (added !== undefined) this.#notes.remove(added, WAIT)
    const what = `a wait inside a section of ${visible(section.domain.name)} closes a circle:${describeCircle(circle)}`
    return misuse(domain, 'circle', what, { lockedAt, waitedAt, circle: circle.map((note) => note.text) })
  }

  /** A wait has lasted, which was begun where these sections were under way. */
  #lasts(sections: readonly DebuggedSection[], domain: Srcu, waitedAt: string): void {
    for (const section of sections) {
      if (!section.isOpen) continue
      if (isOf(section, domain))
        this.#tellOf(
          section,
          'wait-inside',
          'a task waits for a grace period that waits for this section; if it is the same task, for ever',
          waitedAt,
        )
      else {
        const error = this.#circle(section, domain, waitedAt)
        if (error) this.#tell(error)
      }
    }
  }
  #taskEnded(section: DebuggedSection): void {
    // Another task may be about to end it.
    if (section.isOpen)
      this.#later(() => this.#tellOf(section, 'task-ended', 'the task that began it has ended'))
  }
  #tellOf(section: DebuggedSection, kind: SrcuMisuse, what: string, waitedAt?: string): void {
    if (!section.isOpen || section.isTold) return
    section.isTold = true
    const { domain, token, lockedAt } = section
    this.#tell(
      misuse(domain, kind, `a section has not ended: ${what}`, {
        token,
        lockedAt,
        ...(waitedAt === undefined ? {} : { waitedAt }),
      }),
    )
  }
  /** After the patience of this thread. */
  #later(run: () => void): () => void {
    const { patience } = this.#own.gracePeriods.stalls
    if (!(patience < 2 ** 31)) return () => undefined
    const timer = host.setTimeout(run, patience)
    timer.unref?.()
    return () => host.clearTimeout(timer)
  }
}

function isOf(section: DebuggedSection, domain: Srcu): boolean {
  return section.domain.words.words === domain.words.words
}
