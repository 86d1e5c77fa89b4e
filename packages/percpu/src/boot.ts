import { createBuffer, openMemory, storeAtomic32, storeF64, storeU32, type Memory } from '#mem'
import { ArgumentError } from './errors.js'
import { shown } from './machine/check.js'
import { unixTime } from './machine/clock.js'
import { CpuTable } from './cpus/cpu-table.js'
import { chooseDoorbellMode, type DoorbellMode } from './cpus/doorbell.js'
import { AlreadyJoinedError, UnsupportedError } from './machine/errors.js'
import { Cpu, FLAG_MMU, FLAG_SMP, Header, layoutHash } from './machine/layouts.js'
import { FORMAT_VERSION, MAGIC, MAX_CPUS, MAX_MEMORY, MAX_NODES, UNIT } from './machine/limits.js'
import type { MachineParts } from './machine.js'
import { Memblock } from './bootmem/memblock.js'
import { openHandle, planMap, readMap, type MachineHandle, type MemoryMap } from './machine/memory-map.js'
import { threadKey } from './machine/platform.js'
import { nextIncarnation } from './machine/token.js'
import { parseSize } from './machine/size.js'
import { VpaRegistry } from './watch/vpa-registry.js'

export interface JoinOptions {
  /** How this thread hears its doorbell. Default: `'waitAsync'` where the engine has `Atomics.waitAsync`, else `'port'`. */
  readonly doorbell?: DoorbellMode
  /** @internal Stands for another thread, in tests that run several CPUs on one. */
  readonly thread?: number
}
export interface MachineOptions extends JoinOptions {
  /** Bytes, or text such as `'1 GiB'`; at most 8 GiB. Committed by the OS as it is touched. Default 64 MiB. */
  readonly memory?: number | string
  /** Possible CPUs, the calling thread included: 1 to 256. Default 8, or 1 without `smp`. */
  readonly cpus?: number
  /** NUMA nodes among which CPUs and memory are divided evenly: 1 to 8. Default 1. */
  readonly nodes?: number
  /** False: a machine of one CPU, with the simpler algorithms that allows. Default true. */
  readonly smp?: boolean
  /** False: a machine without page tables; per-CPU memory is contiguous. Default true. */
  readonly mmu?: boolean
  /** @internal Zeroed memory to take instead of allocating it, for explorations, which need it to be there before. */
  readonly buffer?: SharedArrayBuffer
}

/** Makes the machine object, with its layers, of a thread whose CPU is claimed. src/compose.ts */
export type MakeMachine<Machine> = (parts: MachineParts) => Machine

/** `boot` without the layers above. */
export function bootMachine<Machine>(options: MachineOptions, make: MakeMachine<Machine>): Machine {
  const map = planMap(checkOptions(options))
  if (map.firstUnit >= map.units) {
    throw new ArgumentError(
      `memory: ${map.units * UNIT} bytes are too few; the structures of ${map.cpus} CPUs alone take ${map.firstUnit * UNIT}`,
      { memory: map.units * UNIT, minimum: (map.firstUnit + 1) * UNIT },
    )
  }
  const buffer = options.buffer ?? allocate(map.units * UNIT)
  const memory = openMemory(buffer)
  writeHeader(memory, map)
  return make(claim(memory, map, buffer, options, true))
}

/** `join` without the layers above. */
export function joinMachine<Machine>(
  handle: MachineHandle,
  options: JoinOptions,
  make: MakeMachine<Machine>,
): Machine {
  const memory = openHandle(handle)
  const map = readMap(memory)
  const table = new CpuTable(memory, map)
  const key = options.thread ?? threadKey
  const own = table.select((cpu) => table.thread(cpu) === key)
  if (own.length > 0) {
    throw new AlreadyJoinedError(
      `this thread already is CPU ${own[0]} of this machine: use its machine object`,
      { cpu: own[0] },
    )
  }
  return make(claim(memory, map, handle.buffer, options, false))
}

function claim(
  memory: Memory,
  map: MemoryMap,
  buffer: SharedArrayBuffer,
  options: JoinOptions,
  isBoot: boolean,
): MachineParts {
  const table = new CpuTable(memory, map)
  const key = options.thread ?? threadKey
  const mode = chooseDoorbellMode(options.doorbell)
  const cpu = table.claim(key)
  table.setState(cpu, nextIncarnation(table.incarnation(cpu)), 'starting')
  return {
    memory,
    publish: isBoot ? () => publish(memory) : undefined,
    map,
    cpu,
    key,
    mode,
    handle: { type: 'percpu.machine', version: FORMAT_VERSION, layoutHash, buffer },
    supervisorMemory: openMemory(buffer),
  }
}

function writeHeader(memory: Memory, map: MemoryMap): void {
  const { words } = Header
  const fields = {
    magic: MAGIC,
    version: FORMAT_VERSION,
    layoutHash,
    units: map.units,
    id: map.id,
    cpus: map.cpus,
    nodes: map.nodes,
    flags: (map.smp ? FLAG_SMP : 0) | (map.mmu ? FLAG_MMU : 0),
    cpuTable: (map.cpuTable * 4) / UNIT,
    callTable: (map.callTable * 4) / UNIT,
    regionTables: (map.regionTables * 4) / UNIT,
  }
  for (const [name, value] of Object.entries(fields))
    storeU32(memory.u32, words[name as keyof typeof fields], value)
  storeF64(memory.f64, Header.offsets.epoch / 8, unixTime())
  const table = new CpuTable(memory, map)
  for (let cpu = 0; cpu < map.cpus; cpu++) {
    storeU32(memory.u32, table.record(cpu) + Cpu.words.node, Math.floor((cpu * map.nodes) / map.cpus))
  }
  const memblock = new Memblock(memory, map, 0, 0)
  memblock.initialise()
  new VpaRegistry(table).allocate(memblock)
}

function publish(memory: Memory): void {
  // A(header.ready) publishes the header page, the tables and the layers' named objects; pairs with B in openHandle: all
  // published words are immutable from here on. Mutant: machine/ready-first.
  storeAtomic32(memory.i32, Header.words.ready, 1)
}

function checkOptions(options: MachineOptions): Parameters<typeof planMap>[0] {
  const { smp = true, mmu = true, nodes = 1 } = options
  const cpus = options.cpus ?? (smp ? 8 : 1)
  const memory = parseSize(options.memory ?? '64 MiB', 'memory')
  checkRange('cpus', cpus, 1, MAX_CPUS)
  checkRange('nodes', nodes, 1, Math.min(MAX_NODES, cpus))
  checkRange('memory', memory, 2 * 4096, MAX_MEMORY)
  if (!smp && cpus > 1) {
    throw new ArgumentError(`cpus: ${cpus} contradicts smp: false; a machine without SMP has one CPU`, {
      cpus,
      smp,
    })
  }
  return {
    cpus,
    nodes,
    smp,
    mmu,
    units: Math.ceil(memory / UNIT),
    id: 1 + Math.floor(Math.random() * (2 ** 32 - 1)),
  }
}

function checkRange(what: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return
  throw new ArgumentError(`${what}: ${shown(value)} is not a whole number from ${low} to ${high}`, {
    [what]: value,
    low,
    high,
  })
}

function allocate(bytes: number): SharedArrayBuffer {
  if (typeof SharedArrayBuffer === 'undefined') {
    throw new UnsupportedError(
      'there is no SharedArrayBuffer here: a web page must be cross-origin isolated (COOP and COEP headers)',
    )
  }
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
    throw new UnsupportedError('percpu needs a little-endian machine')
  }
  try {
    return createBuffer(bytes)
  } catch (error) {
    throw new UnsupportedError(
      `this engine cannot make a SharedArrayBuffer of ${bytes} bytes`,
      { bytes },
      { cause: error },
    )
  }
}
