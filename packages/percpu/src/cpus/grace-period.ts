/**
 * Grace periods: wait until every CPU has passed a quiescent state, so that nobody still reads what
 * was unlinked before. (After the kernel's sched RCU. The two fences are those that make RCU over
 * plain accesses match LKMM.)
 *
 *     cpu.quiescent          counts quiescent states: an answered doorbell, going idle, going
 *                            offline, being found dead
 *     header.gracePeriods    two read-modify-writes per grace period, one at each end; one when a
 *                            CPU comes online
 *
 * A synchronous stretch of JavaScript is a read section without a lock: the CPU's answer is a job
 * of its own, so it can only run between two of them. `synchronize` notes each online CPU's
 * counter, and rings. It is over when each counter has moved, or the CPU is idle, offline or dead.
 *
 * Any move after the note will do, whatever made it. The CPU read nothing at that moment. From then
 * on it finds what was written before the note, since the note is a read-modify-write of two words:
 * the counter, and the word by which the CPU goes idle and comes back.
 *
 * Counters and incarnations wrap. Only equality is asked for: a CPU would have to pass 2^32
 * quiescent states, or a number 2^21 - 1 threads, between two looks of one grace period.
 *
 * Guarantees, all of them for plain words:
 *
 * GP-1: all reads of a section that began before `synchronize` was called have ended when it
 * resolves, and happen before what follows.
 * GP-2: a section that begins after it resolved sees what was written before it was called.
 * GP-3: two grace periods, one called after the other resolved, are ordered: both are
 * read-modify-writes of one word.
 *
 * What it does not do: protect a section that awaits, which ends at its first await. Nor does it
 * see through a CPU whose thread died unsupervised: it waits, so give it a timeout.
 */
import { addAtomic32, loadAtomic32 } from '#mem'
import { incarnationOf, stateOf, type CpuTable } from './cpu-table.js'
import type { Doorbell } from './doorbell.js'
import { REASON_QUIESCE, type Ringer } from './ringer.js'
import { UnansweredError } from '../machine/errors.js'
import { Cpu, Header } from '../machine/layouts.js'
import { Deadline } from '../machine/wait-options.js'

const { words } = Cpu

interface Snapshot {
  readonly cpu: number
  readonly stateWord: number
  readonly quiescent: number
}

export class GracePeriods {
  readonly #table: CpuTable
  readonly #doorbell: Doorbell
  readonly #cpu: number
  readonly #listeners = new Set<() => void>()

  constructor(table: CpuTable, doorbell: Doorbell, cpu: number) {
    this.#table = table
    this.#doorbell = doorbell
    this.#cpu = cpu
    doorbell.on(REASON_QUIESCE, () => this.announce())
  }

  /** This CPU is in a quiescent state right now. */
  announce(): void {
    announceQuiescent(this.#table, this.#doorbell.ringer, this.#cpu)
    this.refresh()
  }

  /**
   * Calls `listener` in each quiescent state of this CPU, and when it comes back from an idle
   * stretch. It finds whatever was written before the grace period began that the CPU reports to:
   * it is called after Q, or VK, and before anything else is read. Returns what ends it.
   */
  onQuiescent(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }
  /** Tells those listeners. */
  refresh(): void {
    for (const listener of this.#listeners) listener()
  }

  /** @throws UnansweredError at the deadline; the reason of its signal. */
  async synchronize(deadline = new Deadline()): Promise<void> {
    this.#fence()
    // This CPU's own sections end before the promise is awaited, at the latest.
    const others = this.#table.select((cpu) => cpu !== this.#cpu && isReading(this.#table.stateWord(cpu)))
    const snapshots = others.map((cpu) => this.#snapshot(cpu))
    for (const { cpu } of snapshots) this.#doorbell.ringer.ring(cpu, REASON_QUIESCE)
    const done = () => snapshots.every((snapshot) => this.#hasPassed(snapshot))
    if (!(await this.#doorbell.until(others, done, deadline))) {
      const late = snapshots.filter((snapshot) => !this.#hasPassed(snapshot)).map(({ cpu }) => cpu)
      if (late.length > 0)
        throw new UnansweredError(
          `no grace period: CPU ${late.join(', ')} did not return to its event loop; let long loops call machine.poll(), and ` +
            `supervise workers so that dead ones are noticed`,
          { cpus: late, timeout: deadline.timeout },
        )
    }
    this.#fence()
  }

  /**
   * This CPU has just come online. Either a grace period that began before found it online. Or this
   * fence comes after that one's, and finds what its updater had written plainly.
   */
  comeOnline(): void {
    this.#fence()
  }

  #fence(): void {
    // W(header.gracePeriods) pairs with W in #fence: the ends and beginnings of all grace periods,
    // and of incarnations, are totally ordered. So an updater of the next grace period, or a CPU
    // that comes online, does not read what was freed after this one. Mutants:
    // cpus/no-grace-period-fence, cpus/grace-period-open-end, cpus/online-without-fence.
    addAtomic32(this.#table.memory.i32, Header.words.gracePeriods, 1)
  }

  #snapshot(cpu: number): Snapshot {
    const stateWord = this.#table.stateWord(cpu)
    // VI(cpu.quiescent) hands over what this updater has written plainly; pairs with Q in
    // announceQuiescent: the next quiescent state, also one that answers an older ring, comes after
    // it and reads what it wrote. A load would order nothing. Mutant: cpus/snapshot-by-load.
    const quiescent = addAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.quiescent, 0)
    // VJ(cpu.idle) hands over the same to a CPU that is idle now, or later; pairs with VK in
    // #leave: it finds that when it comes back. Mutant: cpus/idle-by-load.
    addAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.idle, 0)
    return { cpu, stateWord, quiescent }
  }

  #hasPassed({ cpu, stateWord, quiescent }: Snapshot): boolean {
    const now = this.#table.stateWord(cpu)
    if (incarnationOf(now) !== incarnationOf(stateWord) || !isReading(now)) return true
    if (this.#quiescent(cpu) !== quiescent) return true
    // P(cpu.idle) pairs with O in Idle: an idle CPU's reads are over; its next ones come after VJ.
    // Mutant: cpus/idle-not-odd.
    return (loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.idle) & 1) === 1
  }

  #quiescent(cpu: number): number {
    // R(cpu.quiescent) pairs with Q in announceQuiescent: the CPU's reads up to there happened
    // before. Mutant: cpus/announce-nothing.
    return loadAtomic32(this.#table.memory.i32, this.#table.record(cpu) + words.quiescent)
  }
}

/**
 * Counts a quiescent state of `cpu` and tells whoever waits for one. By that CPU, or by its reaper.
 */
export function announceQuiescent(table: CpuTable, ringer: Ringer, cpu: number): void {
  // Q(cpu.quiescent) pairs with R in #quiescent, VI in #snapshot: the CPU's earlier reads are over,
  // what it read may be freed; its later ones find what was written before the snapshot. Mutant:
  // cpus/announce-nothing.
  addAtomic32(table.memory.i32, table.record(cpu) + words.quiescent, 1)
  ringer.wakeWaiters(cpu)
}

/**
 * Whether a CPU in this state may hold references. One that is starting holds none yet; when it
 * comes online afterwards, it finds what was published before (W).
 */
function isReading(stateWord: number): boolean {
  const state = stateOf(stateWord)
  return state === 'online' || state === 'stopping'
}
