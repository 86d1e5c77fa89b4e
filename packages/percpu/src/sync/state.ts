/** What the objects of this layer share on one thread: its CPU's token, lists and waiting. */
import type { Memory } from '#mem'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { tokenOf } from '../machine/token.js'
import { HeldLocks } from './held-locks.js'
import { Journal } from './journal.js'
import { MutexProtocol } from './mutex-words.js'
import { Sections } from './section.js'
import type { SyncMap } from './sync-map.js'
import { Waiting } from './waiting.js'

export class SyncState {
  readonly memory: Memory
  readonly cpu: number
  readonly cpus: number
  /** Names this incarnation of the CPU. */
  readonly token: number
  readonly protocol: MutexProtocol
  readonly heldLocks: HeldLocks
  readonly sections: Sections
  readonly waiting: Waiting
  readonly own: OwnCpu

  constructor(own: OwnCpu, map: SyncMap) {
    const { table, doorbell, cpu, incarnation } = own
    this.own = own
    this.memory = table.memory
    this.cpu = cpu
    this.cpus = table.map.cpus
    this.token = tokenOf(cpu, incarnation)
    this.protocol = new MutexProtocol(this.memory, doorbell.ringer, this.cpus, this.cpu, this.token)
    this.heldLocks = new HeldLocks(this.memory, map.record(this.cpu))
    this.sections = new Sections(new Journal(this.memory, map.journal(this.cpu)))
    this.waiting = new Waiting(own, this.sections)
    own.doorbell.isHeldBack = () => this.sections.isOpen
  }
}
