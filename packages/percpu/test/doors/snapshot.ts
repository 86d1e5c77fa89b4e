/** The memory of a machine at one moment, byte for byte. */
import type { Machine } from 'percpu'

export class Snapshot {
  readonly #machine: Machine
  readonly #now: Buffer
  readonly #then: Buffer

  constructor(machine: Machine) {
    this.#machine = machine
    this.#now = Buffer.from(machine.handle.buffer)
    this.#then = Buffer.from(this.#now)
  }

  /** The struct of the first word that has changed; undefined if none has. */
  difference(): string | undefined {
    if (this.#now.equals(this.#then)) return undefined
    const at = this.#then.findIndex((byte, index) => byte !== this.#now[index]) & ~3
    const struct = this.#machine.watch
      .structs()
      .find(({ address, struct: { size } }) => at >= address && at < address + size)
    const name = struct && `${struct.name}.${struct.struct.nameAt(at - struct.address) ?? '?'}`
    return `${name ?? 'memory of users'} at ${at}: ${this.#then.readInt32LE(at)} became ${this.#now.readInt32LE(at)}`
  }
}
