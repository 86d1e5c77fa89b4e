/**
 * Registration of VPAs and dispatch logs: which area a CPU shares with its supervisors. (After
 * PAPR's H_REGISTER_VPA.)
 *
 *     watch.area, logArea    allocated at boot for every possible CPU, near its node; 0 once given
 *                            back
 *     watch.vpa              0 ──register──▶ incarnation, address ──unregister──▶ 0
 *     watch.log              the same, but only while a VPA is registered
 *
 * A CPU registers its own VPA, then its log, when it comes online, and unregisters in the opposite
 * order when it leaves. One that dies unregisters nothing: the area stays as it was until its
 * reaper is done with it. Each registration is one word with the incarnation in it. So a thread
 * killed at any point has registered or not, and the registration of an earlier incarnation is
 * replaced.
 *
 * Cost: some µs, once an incarnation.
 */
import {
  compareExchangeAtomicU64,
  loadAtomic32,
  loadAtomicU64,
  loadBigU16,
  loadBigU32,
  storeAtomic32,
  storeAtomicU64,
} from '#mem'
import { checkCpu, checkRange, shown } from '../machine/check.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { VpaError } from '../machine/errors.js'
import { UNIT } from '../machine/limits.js'
import { MAX_INCARNATION } from '../machine/token.js'
import type { Memblock } from '../bootmem/memblock.js'
import { CpuWatch, LOG_SIZE, Vpa, VPA_ALIGN, VPA_BOUNDARY, VPA_DESCRIPTOR } from './vpa-layout.js'
import { VPA_MIN_SIZE, VPA_SIZE } from './vpa-layout.js'
import type { WatchMap } from './watch-map.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

/** Byte addresses; `log` is undefined while only the VPA is registered. */
export interface Registration {
  readonly incarnation: number
  readonly vpa: number
  readonly log: number | undefined
}

const { words, offsets } = CpuWatch

/** What users have of it: `machine.watch.registrations`. */
export type Registrations = Pick<
  VpaRegistry,
  'areas' | 'register' | 'registerLog' | 'unregister' | 'unregisterLog' | 'find'
>

export class VpaRegistry {
  static {
    showAs(this, () => ({}))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #table: CpuTable
  readonly #map: WatchMap

  constructor(table: CpuTable, map: WatchMap) {
    this.#table = table
    this.#map = map
  }

  /** For boot: an area and a log for every possible CPU, each allocated near its CPU. */
  allocate(memblock: Memblock): void {
    for (let cpu = 0; cpu < this.#table.map.cpus; cpu++) {
      const node = this.#table.node(cpu)
      const area = memblock.alloc({
        size: VPA_SIZE,
        align: VPA_ALIGN,
        noCross: VPA_BOUNDARY,
        node,
        label: areaLabel(cpu),
      })
      const log = memblock.alloc({ size: LOG_SIZE, align: VPA_BOUNDARY, node, label: logLabel(cpu) })
      memblock.persist(area)
      memblock.persist(log)
      this.#store(cpu, words.area, area / UNIT)
      this.#store(cpu, words.logArea, log / UNIT)
      this.#store(cpu, words.home, node)
    }
  }

  /** Byte addresses of what boot allocated for the CPU, or undefined once that was given back. */
  areas(cpu: number): { readonly vpa: number; readonly log: number } | undefined {
    checkCpu(cpu, this.#table.map.cpus)
    const vpa = this.#load(cpu, words.area) * UNIT
    const log = this.#load(cpu, words.logArea) * UNIT
    return vpa === 0 || log === 0 ? undefined : { vpa, log }
  }

  /**
   * Gives back the areas of a CPU that is not possible any more. If the caller dies half-way,
   * calling it again finishes the job.
   */
  giveBack(cpu: number, memblock: Memblock): void {
    this.#giveBackOne(cpu, words.area, areaLabel(cpu), memblock)
    this.#giveBackOne(cpu, words.logArea, logLabel(cpu), memblock)
  }

  #giveBackOne(cpu: number, field: number, label: string, memblock: Memblock): void {
    const address = this.#load(cpu, field) * UNIT
    if (address === 0) return
    // Another thread that gives it back at this moment may have freed it, and a third one taken
    // that memory.
    memblock.freeLabelled(address, label)
    this.#store(cpu, field, 0)
  }

  /**
   * Registers the VPA at `address` for an incarnation of a CPU. A registration that an earlier
   * incarnation left behind, by a crash, is replaced.
   *
   * @throws VpaError for a wrong alignment or descriptor, an advertised size below 640 bytes, an
   *   area that crosses a 4096-byte boundary or the end of the memory, or if this incarnation has
   *   registered one already; ArgumentError for a CPU that is not possible.
   */
  register(cpu: number, address: number, incarnation: number): void {
    checkCpu(cpu, this.#table.map.cpus)
    checkStay(incarnation)
    this.#checkVpa(cpu, address)
    const found = this.#word(cpu, offsets.vpa)
    if (incarnationOf(found) === incarnation && found !== 0n)
      throw refuse(
        cpu,
        address,
        'registered',
        `its VPA at ${addressOf(found)} is registered: unregister that first`,
      )
    // The log of an earlier incarnation must not become this one's.
    this.#set(cpu, offsets.log, 0n)
    this.#set(cpu, offsets.vpa, pack(incarnation, address))
  }

  /**
   * Registers the dispatch log of the incarnation whose VPA is registered.
   *
   * @throws VpaError if no VPA of that incarnation is registered, or the log is misaligned, not
   *   advertised as 4096 bytes, or registered already.
   */
  registerLog(cpu: number, address: number, incarnation: number): void {
    checkCpu(cpu, this.#table.map.cpus)
    checkStay(incarnation)
    if (
      !isAligned(address, VPA_BOUNDARY) ||
      address <= 0 ||
      address + LOG_SIZE > this.#table.memory.byteLength
    )
      throw refuse(cpu, address, 'alignment', `a dispatch log must lie at a multiple of ${VPA_BOUNDARY}`)
    const size = loadBigU32(this.#table.memory.bytes, address + 4)
    if (size !== LOG_SIZE)
      throw refuse(cpu, address, 'size', `the log says that it has ${size} bytes instead of ${LOG_SIZE}`)
    const vpa = this.#word(cpu, offsets.vpa)
    if (vpa === 0n || incarnationOf(vpa) !== incarnation)
      throw refuse(cpu, address, 'order', 'the VPA must be registered before the dispatch log')
    if (this.#word(cpu, offsets.log) !== 0n)
      throw refuse(cpu, address, 'registered', 'a dispatch log is registered: unregister that first')
    this.#set(cpu, offsets.log, pack(incarnation, address))
  }

  unregisterLog(cpu: number): void {
    this.#set(cpu, offsets.log, 0n)
  }

  /** @throws VpaError while the dispatch log is registered. */
  unregister(cpu: number): void {
    if (this.#word(cpu, offsets.log) !== 0n)
      throw refuse(cpu, addressOf(this.#word(cpu, offsets.vpa)), 'order', 'unregister the dispatch log first')
    this.#set(cpu, offsets.vpa, 0n)
  }

  /**
   * For the reaper, when it is done: nothing of this incarnation is registered any more. Can be
   * repeated.
   */
  unregisterDead(cpu: number, incarnation: number): void {
    for (const field of [offsets.log, offsets.vpa]) {
      const found = this.#word(cpu, field)
      if (found !== 0n && incarnationOf(found) === incarnation) this.#exchange(cpu, field, found)
    }
  }

  /**
   * The registration of the CPU at this moment. After a crash it is that of the dead incarnation,
   * until that is reaped.
   */
  find(cpu: number): Registration | undefined {
    const vpa = this.#word(cpu, offsets.vpa)
    if (vpa === 0n) return undefined
    const log = this.#word(cpu, offsets.log)
    const incarnation = incarnationOf(vpa)
    const ofThisStay = log !== 0n && incarnationOf(log) === incarnation
    return { incarnation, vpa: addressOf(vpa), log: ofThisStay ? addressOf(log) : undefined }
  }

  #checkVpa(cpu: number, address: number): void {
    const { memory } = this.#table
    if (!isAligned(address, VPA_ALIGN))
      throw refuse(cpu, address, 'alignment', `it must lie at a multiple of ${VPA_ALIGN}`)
    if (address <= 0 || address + VPA_MIN_SIZE > memory.byteLength)
      throw refuse(cpu, address, 'bounds', 'it lies outside the memory')
    const descriptor = loadBigU32(memory.bytes, address + Vpa.offsets.desc)
    if (descriptor !== VPA_DESCRIPTOR) {
      const expected = VPA_DESCRIPTOR.toString(16)
      throw refuse(
        cpu,
        address,
        'descriptor',
        `it begins with ${descriptor.toString(16)} instead of ${expected}`,
      )
    }
    const size = loadBigU16(memory.bytes, address + Vpa.offsets.size)
    if (size < VPA_MIN_SIZE)
      throw refuse(cpu, address, 'size', `it advertises ${size} bytes, fewer than ${VPA_MIN_SIZE}`)
    if (Math.floor(address / VPA_BOUNDARY) !== Math.floor((address + size - 1) / VPA_BOUNDARY))
      throw refuse(cpu, address, 'boundary', `its ${size} bytes cross a multiple of ${VPA_BOUNDARY}`)
    if (address + size > memory.byteLength) throw refuse(cpu, address, 'bounds', 'it ends outside the memory')
  }

  #at(cpu: number, offset: number): number {
    checkCpu(cpu, this.#table.map.cpus)
    return this.#map.record(cpu) / 2 + offset / 8
  }
  #word(cpu: number, offset: number): bigint {
    // VF(watch.vpa) pairs with VE in #set: descriptor, size and what a watcher reads of the area
    // were written before. Mutant: watch/register-before-descriptor.
    return loadAtomicU64(this.#table.memory.u64, this.#at(cpu, offset))
  }
  #set(cpu: number, offset: number, value: bigint): void {
    // VE(watch.vpa) pairs with VF in #word: the area is the watchers' to read until it is
    // unregistered, and its memory stays what it is until its incarnation was reaped. Mutant:
    // watch/register-before-descriptor.
    storeAtomicU64(this.#table.memory.u64, this.#at(cpu, offset), value)
  }
  #exchange(cpu: number, offset: number, found: bigint): void {
    // atomic: nothing if another reaper has come further already.
    compareExchangeAtomicU64(this.#table.memory.u64, this.#at(cpu, offset), found, 0n)
  }
  #load(cpu: number, field: number): number {
    // atomic: written by boot, and once more when the CPU is given up.
    return loadAtomic32(this.#table.memory.i32, this.#map.record(cpu) + field)
  }
  #store(cpu: number, field: number, value: number): void {
    // atomic: as #load.
    storeAtomic32(this.#table.memory.i32, this.#map.record(cpu) + field, value)
  }
}

function checkStay(incarnation: number): void {
  checkRange('incarnation', incarnation, 1, MAX_INCARNATION)
}
/**
 * Address and incarnation, 32 bits each: an incarnation has 21, an address in units of 64 bytes 27.
 */
function pack(incarnation: number, address: number): bigint {
  return (BigInt(incarnation) << 32n) | BigInt(address / UNIT)
}
function incarnationOf(word: bigint): number {
  return Number(word >> 32n)
}
function addressOf(word: bigint): number {
  return Number(word & 0xffffffffn) * UNIT
}
function isAligned(address: number, to: number): boolean {
  return Number.isInteger(address) && address % to === 0
}
function areaLabel(cpu: number): string {
  return `vpa ${cpu}`
}
function logLabel(cpu: number): string {
  return `dispatch log ${cpu}`
}
function refuse(cpu: number, address: number, rule: string, why: string): VpaError {
  return new VpaError(`CPU ${cpu}, area at ${shown(address)}: ${why}`, { cpu, address, rule })
}
