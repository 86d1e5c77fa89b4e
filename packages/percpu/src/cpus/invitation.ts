/**
 * Invitations: how a worker's end is told where no event of the worker tells it.
 *
 *     the inviter                                       the worker
 *     key, name of a lock, port  ── invitation ──▶      takes the lock, as long as it lives
 *                                ◀──── HELD ────
 *     asks for the lock          ───── GO ──────▶       becomes a CPU, by the key
 *
 * Browsers tell nothing, but give a Web Lock back once its holder has ended. After `terminate()` a
 * busy thread was seen to run on for 2.2 s; the lock came after its last write. The inviter asks
 * for it before the thread may become a CPU. So a grant means: either it has ended, or it will
 * never be one.
 *
 * Deno tells of an end when it comes: at `close` of the port, if the worker holds a lock. Without
 * one a busy thread never ends. There is no HELD and no GO then: the worker joins once it has the
 * lock.
 *
 * In Node and Bun the worker's own event tells. An invitation is no more than the handle there, and
 * the thread keeps its own key.
 */
import { ArgumentError } from '../errors.js'
import { isSafely } from '../machine/check.js'
import { BadHandleError, UnansweredError, UnsupportedError } from '../machine/errors.js'
import type { MachineHandle } from '../machine/handle.js'
import { hasThreadId, host, invitedKeys, makeKey, type Port } from '../machine/platform.js'
import type { Deadline } from '../machine/wait-options.js'

type HostPort = typeof globalThis extends { MessagePort: { prototype: infer P } } ? P : object

/** What a worker joins with, once, where its end is told by it. */
export interface Invitation {
  readonly type: 'percpu.invitation'
  readonly handle: MachineHandle
  /** Of the thread that it invites; 0: the thread's own. */
  readonly key: number
  /** To be transferred with it; none where it needs none. */
  readonly ports: HostPort[]
}

const HELD = 'held'
const GO = 'go'

/** What tells that a thread has ended: its worker's event, its port, or its lock. */
type Sign = 'event' | 'close' | 'lock'

function signOfEnds(): Sign | undefined {
  const isComplete = host.navigator?.locks !== undefined && host.MessageChannel !== undefined
  if (host.Deno !== undefined) return isComplete ? 'close' : undefined
  if (hasThreadId) return 'event'
  return isComplete ? 'lock' : undefined
}

function lockOf({ key }: Invitation, id: number): string {
  return `percpu ${id} ${key}`
}

/** The inviter's end of an invitation. */
export class Inviting {
  readonly invitation: Invitation
  /** Of the machine. */
  readonly id: number
  readonly #sign: Sign
  readonly #port: Port | undefined
  readonly #listeners = new Set<() => void>()
  #isAnswered = false
  #isOver = false

  /** @throws UnsupportedError */
  constructor(handle: MachineHandle, id: number) {
    const sign = signOfEnds()
    if (sign === undefined)
      throw new UnsupportedError(
        'nothing tells of the end of a worker here: there are no Web Locks, which need a secure context (https)',
      )
    const channel = sign === 'event' ? undefined : host.MessageChannel && new host.MessageChannel()
    this.#sign = sign
    this.#port = channel?.port1
    this.id = id
    const ports = channel ? [channel.port2 as unknown as HostPort] : []
    this.invitation = { type: 'percpu.invitation', handle, key: channel ? makeKey() : 0, ports }
    invitings.set(this.invitation, this)
    if (sign === 'lock' && this.#port) this.#port.onmessage = () => this.#answer()
  }

  /** `listener` is called once the thread has ended. */
  whenOver(listener: () => void): void {
    if (this.#isOver) host.queueMicrotask(listener)
    else this.#listeners.add(listener)
    // Not before: from then on it keeps the process alive.
    if (this.#sign !== 'close' || this.#listeners.size !== 1) return
    this.#port?.addEventListener('close', () => this.#end())
    this.#port?.start()
  }

  /** The worker was terminated. If it has not spoken before, it is not heard any more. */
  withdraw(): void {
    if (this.#sign === 'lock' && !this.#isAnswered) this.#end()
  }

  #answer(): void {
    this.#isAnswered = true
    // Before GO: the thread is no CPU yet, and holds the lock. Mutant: cpus/go-before-lock.
    void host.navigator?.locks?.request(lockOf(this.invitation, this.id), () => this.#end())
    this.#port?.postMessage(GO)
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    // A message may be under way. Mutant: cpus/withdrawn-heard.
    if (this.#port) this.#port.onmessage = null
    this.#port?.close()
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }
}

const invitings = new WeakMap<object, Inviting>()

/** @throws ArgumentError unless this thread made it, for the machine with this number. */
export function invitingOf(invitation: Invitation, id: number): Inviting {
  const found = Object(invitation) === invitation ? invitings.get(invitation) : undefined
  if (found?.id === id) return found
  throw new ArgumentError(
    'not an invitation to this machine, as machine.invite() gave it to this thread: supervise where you invite',
    { invitation },
  )
}

/** Of a thread: its locks and ports last as long as it does. By the names of the locks. */
const accepted = new Map<string, { readonly port: Port; readonly mayJoin: Promise<void> }>()

/**
 * Resolves when the calling thread may join: with its key, or undefined for its own.
 *
 * @throws BadHandleError; UnsupportedError; UnansweredError; the reason of the signal.
 */
export async function accept(
  invitation: Invitation,
  id: number,
  deadline: Deadline,
): Promise<number | undefined> {
  const sign = signOfEnds()
  if (sign === 'event') return undefined
  const name = lockOf(invitation, id)
  const { mayJoin } = accepted.get(name) ?? begin(invitation, name, sign)
  invitedKeys.add(invitation.key)
  await within(mayJoin, deadline)
  return invitation.key
}

function begin(invitation: Invitation, name: string, sign: Sign | undefined): { mayJoin: Promise<void> } {
  const [port] = invitation.ports as unknown as readonly (Port | undefined)[]
  if (!isSafely(() => typeof port?.postMessage === 'function') || port === undefined) {
    throw new BadHandleError(
      'the invitation has lost its port: give `invitation.ports` to the worker as what is transferred',
      { invitation },
    )
  }
  const { locks } = host.navigator ?? {}
  if (locks === undefined || sign === undefined)
    throw new UnsupportedError('there are no Web Locks here, which need a secure context (https)')
  const mayJoin = new Promise<void>((resolve, reject) => {
    if (sign === 'lock') port.onmessage = () => resolve()
    const held = (): Promise<void> => {
      if (sign === 'lock') port.postMessage(HELD)
      else resolve()
      return new Promise(() => undefined)
    }
    locks.request(name, held).catch(reject)
  })
  const entry = { port, mayJoin }
  accepted.set(name, entry)
  return entry
}

/** The time is over: the invitation stays, and may be accepted later. */
function within(promise: Promise<void>, deadline: Deadline): Promise<void> {
  return new Promise((resolve, reject) => {
    deadline.throwIfAborted()
    const late = (): void => {
      reject(new UnansweredError(`the thread that invites has not answered within ${deadline.timeout} ms`))
    }
    const stop = deadline.watch(late, reject)
    promise.then(resolve, reject).finally(stop)
  })
}

/** @throws BadHandleError */
export function checkInvitation(invitation: Partial<Invitation>): asserts invitation is Invitation {
  const isOne = isSafely(
    () =>
      Object(invitation) === invitation &&
      invitation.type === 'percpu.invitation' &&
      typeof invitation.key === 'number' &&
      Array.isArray(invitation.ports),
  )
  if (isOne) return
  throw new BadHandleError(
    'not an invitation: pass what machine.invite() gave to the other thread, as it is',
    {
      invitation,
    },
  )
}
