/**
 * Where things are in a machine's memory: fixed at boot, read from the header page by every thread that joins.
 *
 *     0        header page
 *     4096     one Cpu record per possible CPU
 *              call answers: cpus × cpus words (calls.ts)
 *              region tables: two per possible CPU (memblock.ts)
 *              a CpuWatch per possible CPU (vpa-layout.ts)
 *     …        boot memory, handed out by memblock
 */
import { loadU32, openMemory, loadAtomic32, type Memory } from '#mem'
import { PAGE_BYTES, roundUp } from '../arithmetic.js'
import { Cpu, FLAG_MMU, FLAG_SMP, Header, layoutHash, Region, RegionTable } from './layouts.js'
import { FORMAT_VERSION, MAGIC, maxRegions, UNIT } from './limits.js'
import { CpuWatch } from '../watch/vpa-layout.js'
import { BadHandleError, ForeignBufferError, TruncatedBufferError, VersionMismatchError } from './errors.js'

/** What `join` needs of a machine; survives `structuredClone`, `workerData` and `postMessage`. */
export interface MachineHandle {
  readonly type: 'percpu.machine'
  readonly version: number
  readonly layoutHash: number
  readonly buffer: SharedArrayBuffer
}

export interface MemoryMap {
  readonly cpus: number
  readonly nodes: number
  readonly smp: boolean
  readonly mmu: boolean
  readonly id: number
  /** Size of the memory in {@link UNIT}s. */
  readonly units: number
  /** Word indices. */
  readonly cpuTable: number
  readonly callTable: number
  readonly regionTables: number
  readonly watchTable: number
  /** First unit that memblock hands out. */
  readonly firstUnit: number
}

/** The map of a machine of this shape. Pure: boot writes it into the header, tests predict it. */
export function planMap(shape: {
  cpus: number
  nodes: number
  smp: boolean
  mmu: boolean
  units: number
  id: number
}): MemoryMap {
  const cpuTable = Math.max(PAGE_BYTES, Header.size)
  const callTable = cpuTable + shape.cpus * Cpu.stride
  const regionTables = roundUp(callTable + shape.cpus * shape.cpus * 4, UNIT)
  const watchTable = regionTables + 2 * shape.cpus * regionTableStride(shape.cpus)
  const end = watchTable + shape.cpus * CpuWatch.stride
  return {
    ...shape,
    cpuTable: cpuTable / 4,
    callTable: callTable / 4,
    regionTables: regionTables / 4,
    watchTable: watchTable / 4,
    firstUnit: Math.ceil(end / UNIT),
  }
}

/** Bytes from one region table to the next. */
export function regionTableStride(cpus: number): number {
  return roundUp(RegionTable.offsets.regions + maxRegions(cpus) * Region.size, UNIT)
}

/** Reads the map back from the header page of a memory that {@link openHandle} accepted. */
export function readMap({ u32 }: Memory): MemoryMap {
  const flags = loadU32(u32, Header.words.flags)
  return planMap({
    cpus: loadU32(u32, Header.words.cpus),
    nodes: loadU32(u32, Header.words.nodes),
    smp: (flags & FLAG_SMP) !== 0,
    mmu: (flags & FLAG_MMU) !== 0,
    units: loadU32(u32, Header.words.units),
    id: loadU32(u32, Header.words.id),
  })
}

/** Checks a handle from outside and opens its memory. Writes nothing. */
export function openHandle(handle: MachineHandle): Memory {
  checkHandle(handle)
  const { byteLength } = handle.buffer
  if (byteLength < Header.size || byteLength % UNIT !== 0) {
    throw new TruncatedBufferError(
      `a buffer of ${byteLength} bytes cannot hold a machine: machines have at least ${Header.size}, and multiples of ${UNIT}`,
      { byteLength },
    )
  }
  const memory = openMemory(handle.buffer)
  // B(header.ready) pairs with A in publish: after it every published word of the header may be read. Mutant:
  // machine/ready-first.
  const ready = loadAtomic32(memory.i32, Header.words.ready) === 1
  // Before that, somebody may be writing it.
  const magic = ready ? loadU32(memory.u32, Header.words.magic) : undefined
  if (magic !== MAGIC) {
    throw new ForeignBufferError('the buffer does not begin with the header page of a percpu machine', {
      expected: MAGIC,
      found: magic,
    })
  }
  checkFormat(
    loadU32(memory.u32, Header.words.version),
    loadU32(memory.u32, Header.words.layoutHash),
    'the machine in this buffer',
  )
  const needed = loadU32(memory.u32, Header.words.units) * UNIT
  if (byteLength < needed) {
    throw new TruncatedBufferError(
      `the machine takes ${needed} bytes, but the buffer has only ${byteLength}`,
      {
        expected: needed,
        found: byteLength,
      },
    )
  }
  return memory
}

function checkHandle(handle: Partial<MachineHandle> | null | undefined): void {
  if (typeof handle !== 'object' || handle === null || handle.type !== 'percpu.machine') {
    throw new BadHandleError("not a machine handle: pass the other thread's `machine.handle`, as it is", {
      handle,
    })
  }
  // Not instanceof: the buffer may come from another realm.
  if (Object.prototype.toString.call(handle.buffer) !== '[object SharedArrayBuffer]') {
    throw new BadHandleError(
      'the handle has lost its SharedArrayBuffer: pass it by workerData or postMessage, not as JSON',
      {
        handle,
      },
    )
  }
  checkFormat(handle.version, handle.layoutHash, 'the handle')
}

function checkFormat(version: number | undefined, hash: number | undefined, what: string): void {
  if (version === FORMAT_VERSION && hash === layoutHash) return
  throw new VersionMismatchError(
    `${what} has format ${version} (layout ${hash?.toString(16)}), this percpu has format ${FORMAT_VERSION} (layout ` +
      `${layoutHash.toString(16)}): all threads of a machine must load the same version of percpu`,
    { expected: FORMAT_VERSION, found: version, expectedLayout: layoutHash, foundLayout: hash },
  )
}
