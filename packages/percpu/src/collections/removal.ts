/**
 * Removing a collection: it loses its name, and all its memory is freed.
 *
 *     step                      a death after it leaves
 *     ─────────────────────────────────────────────────────────────────────────────────────
 *     marked (presence.ts)      a name that nobody can open, and that can be removed again
 *     told, a grace period      the same
 *     emptied, step by step     the same, with less in it: each step is noted (notes.ts)
 *     the name taken away       nothing: names.ts frees the object after a grace period
 *
 * The mark names who removes it. Another thread that wants to remove it waits until the name is
 * gone, or until that one has been cleaned up after, and goes on in its place.
 */
import { compareExchangeAtomic32, loadAtomic32, type Memory } from '#mem'
import type { LayerContext } from '../bootmem/layer.js'
import type { NamedThing } from '../bootmem/names.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { ObjectMissingError, UnansweredError } from '../machine/errors.js'
import { cpuOf, incarnationOf, tokenOf } from '../machine/token.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { missing } from '../names/nouns.js'
import { SrcuBusyError } from '../rcu/srcu-errors.js'
import { visible } from '../shown.js'
import { CollectionHead, nouns, type Presence, type PresentKind } from './presence.js'

/** In the place of the token, once a removal has failed: no token has all bits. */
const ABANDONED = -1
/** Milliseconds between two looks at what another thread does. */
const PAUSE = 1

/** What is to be known of one kind. */
export interface Removable {
  /** @throws ObjectMissingError; ArgumentError. */
  find(name: string): NamedThing
  /**
   * Frees all that the collection has but its named object. Nobody else uses it by then, but for
   * those who are just leaving. May be repeated after it has failed.
   */
  empty(address: number, deadline: Deadline, name: string): Promise<void>
}

/** By kind. */
export type Removables = Partial<Record<PresentKind, Removable>>

export class Removal {
  readonly #context: LayerContext
  readonly #presence: Presence
  readonly #kinds: Readonly<Removables>
  readonly #settle: (deadline: Deadline) => Promise<void>

  /** `settle`: resolves when what this CPU has queued to be freed is. */
  constructor(
    context: LayerContext,
    presence: Presence,
    kinds: Readonly<Removables>,
    settle: (deadline: Deadline) => Promise<void>,
  ) {
    this.#context = context
    this.#presence = presence
    this.#kinds = kinds
    this.#settle = settle
  }

  /** Any kind, also of the library's own. @throws as `machine.remove`. */
  async remove(kind: PresentKind, name: string, options: WaitOptions = {}): Promise<void> {
    const { own } = this.#context
    own.assertOnline()
    checkWait(options)
    const removable = this.#kinds[kind]
    if (removable === undefined) throw missing(kind, name)
    const thing = removable.find(name)
    this.#presence.attach()
    const deadline = new Deadline(options)
    // In the stretch in which it was found.
    if (!this.#claim(thing) && !(await this.#claimLater(kind, name, thing, deadline))) return
    const { address } = thing
    try {
      this.#presence.announceRemoval()
      await own.gracePeriods.synchronize(deadline)
      await removable.empty(address, deadline, name)
      this.#unname(kind, name, thing)
    } catch (error) {
      this.#giveUp(address)
      throw own.isOnline ? unfinished(kind, name, error) : own.offlineError()
    }
    this.#presence.removing.delete(address)
    // It is removed, whether this one waits for its last memory or not.
    await this.#settle(deadline).catch(() => undefined)
  }
  /** Others may go on. It has its name: only this thread could take that away. */
  #giveUp(address: number): void {
    this.#presence.removing.delete(address)
    const { memory, cpu, incarnation, isOnline } = this.#context.own
    if (!isOnline) return
    const word = address / 4 + CollectionHead.words.removing
    // atomic: unless it was taken for dead. Mutant: collections/removal-kept.
    compareExchangeAtomic32(memory.i32, word, tokenOf(cpu, incarnation), ABANDONED)
  }

  /** Marks it, unless a thread that is at it has. In the stretch in which it was found. */
  #claim({ address }: NamedThing): boolean {
    const { memory, cpu, incarnation } = this.#context.own
    const word = address / 4 + CollectionHead.words.removing
    if (!claim(memory, word, tokenOf(cpu, incarnation), (token) => this.#isAt(token, address))) return false
    this.#presence.removing.add(address)
    return true
  }
  /** As {@link #claim}, as soon as that can be. False: somebody else has removed it meanwhile. */
  async #claimLater(
    kind: PresentKind,
    name: string,
    thing: NamedThing,
    deadline: Deadline,
  ): Promise<boolean> {
    const { own, names } = this.#context
    const late = (): string => `another thread has not removed the ${nouns[kind]} ${visible(name)} in time`
    do {
      await pause(own, deadline, late)
      if (!names.has(kind, thing)) return false
    } while (!this.#claim(thing))
    return true
  }
  /** Whether the thread with a token removes it, as far as this one knows. */
  #isAt(token: number, address: number): boolean {
    const { own } = this.#context
    if (token === ABANDONED) return false
    const cpu = cpuOf(token)
    if (token === tokenOf(own.cpu, own.incarnation)) return this.#presence.removing.has(address)
    // Offline: it has left, or its reaper is done.
    return own.table.incarnation(cpu) === incarnationOf(token) && own.table.state(cpu) !== 'offline'
  }

  #unname(kind: PresentKind, name: string, { address }: NamedThing): void {
    const other = new ObjectMissingError('it is another one by now', { name })
    try {
      this.#context.names.remove(kind, name, (found) => {
        if (found !== address) throw other
      })
    } catch (error) {
      // Who took this thread for dead was faster.
      if (!(error instanceof ObjectMissingError)) throw error
    }
  }
}

/** What ends the wait of a removal says how that goes on. */
function unfinished(kind: PresentKind, name: string, error: unknown): unknown {
  for (const Late of [UnansweredError, SrcuBusyError])
    if (error instanceof Late)
      return new Late(
        `${error.message}; the ${nouns[kind]} ${visible(name)} cannot be opened any more: remove it again to go on`,
        { ...error.details, kind, name },
        { cause: error },
      )
  return error
}

/**
 * Before another look.
 *
 * @throws UnansweredError at the deadline; the reason of its signal; OfflineError.
 */
export async function pause(own: OwnCpu, deadline: Deadline, late: () => string): Promise<void> {
  const { timeout } = deadline
  if (deadline.left === 0) throw new UnansweredError(late(), { timeout })
  // A wait like others: it patrols. Mutant: collections/removal-off-patrol.
  await own.doorbell.sleepUntil([], () => false, new Deadline({ timeout: PAUSE }))
  own.assertOnline()
  deadline.throwIfAborted()
}

/** Marks it as removed by `token`, unless one that is at it has. */
function claim({ i32 }: Memory, word: number, token: number, isAt: (token: number) => boolean): boolean {
  // atomic: of two that remove, one does.
  const present = loadAtomic32(i32, word)
  // Mutant: collections/removed-twice.
  if (present !== 0 && isAt(present)) return false
  // atomic: as above.
  return compareExchangeAtomic32(i32, word, present, token) === present
}
