/**
 * What ends with its thread, and what that has not ended itself.
 *
 *     leaves       drops its snapshots without a name, as far as it waits for that
 *     is killed    its reaper ends all, and what other threads left that are gone
 *     both         the next thread that uses spaces for the first time, or forks one, does so too
 *
 * So nothing stays because a reaper died in its turn, or because a thread left in a hurry.
 */
import { loadAtomic32 } from '#mem'
import type { LayerContext } from '../bootmem/layer.js'
import { CollectionHead, isRemoving } from '../collections/presence.js'
import type { Removal } from '../collections/removal.js'
import { ObjectMissingError } from '../machine/errors.js'
import { reportError } from '../machine/platform.js'
import { cpuOf, incarnationOf } from '../machine/token.js'
import { Deadline } from '../machine/wait-options.js'
import type { Changes } from './changes.js'
import { PinnedError } from './errors.js'
import type { Pager } from './pager.js'
import type { SpaceRegistry, Wanted } from './registry.js'

interface LeftBehindParts {
  readonly context: LayerContext
  readonly removal: Removal
  readonly registry: SpaceRegistry
  readonly pager: Pager
  readonly changes: Changes
}
/** A thread's time as a CPU. */
interface Thread {
  readonly cpu: number
  readonly incarnation: number
}
type Found = Wanted & { readonly address: number }

/** Of a snapshot without a name. `number`: no two of a thread are alike. */
export function snapshotName({ cpu, incarnation }: Thread, number: number): string {
  return `${cpu}.${incarnation}.${number}`
}
/** Whose the snapshot of such a name is. */
function ownerOf(name: string): Thread {
  const [cpu = NaN, incarnation = NaN] = name.split('.').map(Number)
  return { cpu, incarnation }
}

export class LeftBehind {
  readonly #parts: LeftBehindParts
  #isLooking = false

  constructor(parts: LeftBehindParts) {
    this.#parts = parts
  }

  /** This thread is about to leave: its own are dropped, but for those with pinned pages. */
  async leave(): Promise<void> {
    const { cpu, incarnation } = this.#parts.context.own
    const isOwn = (owner: Thread): boolean => owner.cpu === cpu && owner.incarnation === incarnation
    const remove = this.#remove(({ kind, name }) => kind === 'snapshot' && isOwn(ownerOf(name)))
    // What cannot be dropped now is left to others, as is what this thread is in too great a hurry
    // for.
    await remove.catch(() => undefined)
  }

  /** Ends what threads left that are gone, if there is anything, later. Errors are reported. */
  lookLater(): void {
    if (this.#isLooking || !this.#hasAny()) return
    this.#isLooking = true
    const done = (): void => void (this.#isLooking = false)
    this.end()
      .catch((error: unknown) => {
        if (this.#parts.context.own.isOnline) reportError(error)
      })
      .then(done, done)
  }
  #hasAny(): boolean {
    const { registry, pager } = this.#parts
    for (const space of registry.each()) if (this.#isLeft(space)) return true
    return pager.notes.some(
      (note, cpu) => this.#isGone(this.#threadOf(cpu)) && pager.gatherOf(note).count > 0,
    )
  }

  /**
   * Gives up what threads had unmapped that are gone, and ends what they were making or removing.
   * `dead`: one that this thread cleans up after, and may not have ended doing so.
   *
   * @throws OfflineError; LockTimeoutError; what else kept one from being ended, after the others.
   */
  async end(dead?: Thread): Promise<void> {
    // Not in the middle of whatever calls this.
    await Promise.resolve()
    const { context, registry, pager, changes } = this.#parts
    for (const [cpu, note] of pager.notes.entries()) {
      const thread = this.#threadOf(cpu)
      const gather = pager.gatherOf(note)
      // The list is its own as long as the thread is there.
      if (!this.#isGone(thread, dead) || gather.count === 0) continue
      const isSame = (): boolean => this.#threadOf(cpu).incarnation === thread.incarnation
      await changes.giveUpAll(gather, new Deadline(), isSame)
    }
    await this.#remove((space) => this.#isLeft(space, dead))
    for (const { kind, ...space } of [...registry.each()]) {
      // What is being removed is its remover's: who begins to later on waits for this stretch.
      const isThere = (): boolean =>
        context.names.has(kind, space) && !isRemoving(context.own.memory, space.address)
      await changes.settleLeft(space, isThere)
    }
  }

  /** Removes all that are so. What is pinned stays, to be removed again. */
  async #remove(isSo: (space: Found) => boolean): Promise<void> {
    const { removal, registry } = this.#parts
    const errors: unknown[] = []
    for (const { kind, name } of [...registry.each()].filter(isSo)) {
      await removal.remove(kind, name).catch((error: unknown) => {
        // Mutant: paging/pinned-reported.
        if (!(error instanceof ObjectMissingError || error instanceof PinnedError)) errors.push(error)
      })
    }
    if (errors.length > 0) throw errors[0]
  }

  /** Whether it was to end with a thread that is gone, or was being made or removed by one. */
  #isLeft({ kind, name, address }: Found, dead?: Thread): boolean {
    const { memory } = this.#parts.context.own
    // atomic: as in Removal. What others have begun is theirs.
    const removing = loadAtomic32(memory.i32, address / 4 + CollectionHead.words.removing)
    if (removing > 0)
      return this.#isGone({ cpu: cpuOf(removing), incarnation: incarnationOf(removing) }, dead)
    return kind === 'snapshot' && this.#isGone(ownerOf(name), dead)
  }
  #threadOf(cpu: number): Thread {
    return { cpu, incarnation: this.#parts.context.own.table.incarnation(cpu) }
  }
  /** Whether its time is over, and it is cleaned up after. Mutant: paging/dead-only. */
  #isGone({ cpu, incarnation }: Thread, dead?: Thread): boolean {
    const { table } = this.#parts.context.own
    if (cpu === dead?.cpu && incarnation === dead.incarnation) return true
    return table.incarnation(cpu) !== incarnation || table.state(cpu) === 'offline'
  }
}
