/** The threads of a torture run, and what is done when one of them is terminated. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { storeAtomic32, loadAtomic32 } from 'percpu/mem'
import { SLOTS, State } from './layout.js'
import type { TortureOptions } from './options.js'
import type { Assignment, Role } from './session.js'
import { waits, type Session } from './task.js'

interface Member {
  readonly role: Role
  readonly slot: number
  readonly owner: number
  readonly worker: Worker
  readonly reaped: Promise<readonly number[]>
  isExpected: boolean
}

/** Of the coordinator itself. */
export const OWN_SLOT = 0
export const OWN_OWNER = 1

export class Crew {
  readonly #session: Session
  readonly #options: TortureOptions
  readonly #members = new Map<number, Member>()
  #owners = OWN_OWNER
  /** Threads terminated. */
  kills = 0
  /** Elements of theirs. */
  orphans = 0

  /** `session`: the coordinator's. */
  constructor(session: Session, options: TortureOptions) {
    this.#session = session
    this.#options = options
  }

  /** Starts a thread. */
  launch(role: Role, slot: number = this.#freeSlot()): Member {
    const { machine, state } = this.#session
    const { flavour, seed, onoff } = this.#options
    const owner = ++this.#owners
    // atomic: the thread does not exist yet.
    storeAtomic32(machine.memory.i32, state + State.words.resting + slot, 0)
    const workerData: Assignment = { handle: machine.handle, flavour, role, slot, owner, seed, onoff }
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData })
    const { reaped } = machine.supervise(worker)
    const member: Member = { role, slot, owner, worker, reaped, isExpected: role === 'visitor' }
    worker.on('message', (text: string) => this.#session.tell(text))
    worker.on('error', (error) => {
      this.#session.fail(
        'uncaught',
        `in a ${role}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
    })
    worker.once('exit', (code) => {
      if (!member.isExpected)
        this.#session.fail('uncaught', `a ${role} ended before it was told to, with ${code}`)
      this.#members.delete(slot)
    })
    this.#members.set(slot, member)
    return member
  }
  #freeSlot(): number {
    for (let slot = OWN_SLOT + 1; slot < SLOTS; slot++) if (!this.#members.has(slot)) return slot
    throw new RangeError('there are no more slots')
  }

  /** Terminates a random thread wherever it is, and starts another one in its place. */
  async kill(): Promise<void> {
    const { random } = this.#session
    const member = random.pick([...this.#members.values()].filter(({ role }) => role !== 'updown'))
    if (!member) return
    member.isExpected = true
    this.kills++
    await member.worker.terminate()
    await member.reaped
    await this.adopt(member.owner)
    this.launch(member.role, member.slot)
  }
  /** Elements that a dead thread had go round at once, after a grace period. */
  async adopt(owner: number): Promise<void> {
    const { pool, flavour } = this.#session
    const orphans = pool.orphansOf(owner)
    if (orphans.length === 0) return
    await flavour.synchronize(waits)
    for (const element of orphans) pool.release(element)
    this.orphans += orphans.length
  }
  /** Threads that join, read a little, and end. */
  async visit(count: number): Promise<void> {
    const visitors = Array.from({ length: count }, () => this.launch('visitor'))
    for (const { reaped } of visitors) await reaped
    this.#session.tally.add('readExits', count)
  }

  /** Whether all threads rest. */
  get isResting(): boolean {
    return this.restless.length === 0
  }
  /** Those that do not rest, by role and slot. */
  get restless(): string[] {
    const { memory, state } = this.#session
    // TE(torture.resting) pairs with TF in setResting.
    const isRestless = (slot: number): boolean =>
      loadAtomic32(memory.i32, state + State.words.resting + slot) !== 1
    return [...this.#members]
      .filter(([slot]) => isRestless(slot))
      .map(([slot, { role }]) => `${role} ${slot}`)
  }
  get size(): number {
    return this.#members.size
  }
  /** They have been told to stop. Resolves to false if some had not ended after so many ms. */
  async ended(patience: number): Promise<boolean> {
    const members = [...this.#members.values()]
    for (const member of members) member.isExpected = true
    const end = performance.now() + patience
    while (this.#members.size > 0 && performance.now() < end) await sleep(5)
    const late = [...this.#members.values()]
    await Promise.all(late.map(({ worker }) => worker.terminate()))
    await Promise.all(members.map(({ reaped }) => reaped))
    return late.length === 0
  }
}
