/** `boot` and `join`: how a thread becomes a CPU of a machine. */
import { createBuffer, openMemory, type Memory } from '#mem'
import { PAGE_BYTES } from './arithmetic.js'
import { attachLayers, detachLayers, type LayerOptions, type Layers } from './compose.js'
import { hotplugOf } from './cpus/hotplug.js'
import { internalJoinOptions, joinOptions, OwnCpu, type JoinOptions } from './cpus/own-cpu.js'
import { accept, checkInvitation, type Invitation } from './cpus/invitation.js'
import { initialiseTree } from './cpus/rcu-tree.js'
import { ArgumentError } from './errors.js'
import { Machine } from './machine.js'
import { checkFlag, checkOptions, checkRange, type OptionNames } from './machine/check.js'
import { OutOfMemoryError, UnsupportedError } from './machine/errors.js'
import { makeHandle, openHandle, type MachineHandle } from './machine/handle.js'
import { MAX_CPUS, MAX_MEMORY, MAX_NODES, UNIT } from './machine/limits.js'
import { planMap, readMap, writeHeader, type MemoryMap } from './machine/memory-map.js'
import { parseSize } from './machine/size.js'
import { checkLimits, Deadline, type WaitOptions } from './machine/wait-options.js'
import { checkCallbackOptions } from './rcu/options.js'

/** What {@link boot} takes, besides what {@link join} does. */
export interface BootOptions extends JoinOptions, LayerOptions {
  /**
   * Bytes, or text such as `'1 GiB'`; at most 8 GiB. Committed by the OS as it is touched. Default
   * 64 MiB.
   */
  readonly memory?: number | string
  /** Possible CPUs, the calling thread included: 1 to 256. Default 8, or 1 without `smp`. */
  readonly cpus?: number
  /** NUMA nodes among which CPUs and memory are divided evenly: 1 to 8. Default 1. */
  readonly nodes?: number
  /** False: a machine of one CPU, with the simpler algorithms that allows. Default true. */
  readonly smp?: boolean
  /** False: a machine without page tables; per-CPU memory is contiguous. Default true. */
  readonly mmu?: boolean
  /**
   * Children of a node of the tree by which grace periods are reported: 2 to 32. Default 16, so
   * that up to 16 CPUs are one node. A smaller one makes more levels; for tests.
   */
  readonly fanout?: number
  /** @internal Zeroed memory to take instead of allocating it, for explorations. */
  readonly buffer?: SharedArrayBuffer
}

/** What `boot` takes; the record has every option, so that none is forgotten here. */
const bootOptions: OptionNames<BootOptions> = {
  memory: true,
  cpus: true,
  nodes: true,
  smp: true,
  mmu: true,
  fanout: true,
  debugHeap: true,
  debugRcu: true,
  journal: true,
  percpu: true,
  callbacks: true,
  buffer: true,
  ...joinOptions,
}

/**
 * Makes a machine; the calling thread becomes its CPU 0, online.
 *
 * @throws ArgumentError for options out of range or contradicting each other, also for too little
 *   memory: the least that does is `details.minimum`. UnsupportedError where there is no
 *   SharedArrayBuffer, or not enough address space for one of this size.
 */
export function boot(options: BootOptions = {}): Machine {
  checkOptions('boot', options, bootOptions, ['buffer', ...internalJoinOptions])
  checkOptions('percpu of boot', options.percpu, { unit: true, reserved: true })
  checkCallbackOptions(options.callbacks)
  for (const name of ['smp', 'mmu', 'debugHeap', 'debugRcu'] as const) checkFlag(name, options[name])
  const map = plan(options)
  if (map.firstUnit >= map.units) throw tooLittle(options, map)
  const buffer = options.buffer ?? allocate(map.units * UNIT)
  const memory = openEmpty(buffer, map)
  try {
    return comeOnline(buffer, memory, map, options, options)
  } catch (error) {
    throw error instanceof OutOfMemoryError ? tooLittle(options, map, error) : error
  }
}
/** Memory that no CPU is online in yet. */
function openEmpty(buffer: SharedArrayBuffer, map: MemoryMap): Memory {
  const memory = openMemory(buffer, PAGE_BYTES)
  writeHeader(memory, map)
  initialiseTree(memory, map)
  return memory
}

/**
 * Makes the calling thread a CPU of the machine behind `handle`: the lowest free number comes
 * online.
 *
 * @throws BadHandleError, VersionMismatchError, TruncatedBufferError, ForeignBufferError,
 *   AlreadyJoinedError, NoFreeCpuError; ArgumentError for an option that there is not.
 */
export function join(handle: MachineHandle, options: JoinOptions = {}): Machine {
  checkOptions('join', options, joinOptions, internalJoinOptions)
  const memory = openHandle(handle)
  return comeOnline(handle.buffer, memory, readMap(memory), options)
}

/**
 * As {@link join}, for a worker that was invited by `machine.invite()`. Resolves once its end will
 * be told to whoever invited it. In browsers that thread must have returned to its event loop;
 * `timeout` and `signal` limit how long this waits for it. The invitation serves one thread, which
 * may join by it again.
 *
 * @throws as {@link join}; BadHandleError if the invitation has lost its port; UnsupportedError
 *   where there are no Web Locks; UnansweredError after `timeout` ms; the reason of `signal`.
 */
export async function joinInvited(
  invitation: Invitation,
  options: JoinOptions & WaitOptions = {},
): Promise<Machine> {
  checkInvitation(invitation)
  checkOptions('joinInvited', options, { ...joinOptions, timeout: true, signal: true }, internalJoinOptions)
  checkLimits(options)
  const { id } = readMap(openHandle(invitation.handle))
  const { timeout, signal, ...rest } = options
  const key = await accept(invitation, id, new Deadline(options))
  return join(invitation.handle, key === undefined ? rest : { ...rest, thread: key })
}

/** `layerOptions`: at boot. */
function comeOnline(
  buffer: SharedArrayBuffer,
  memory: Memory,
  map: MemoryMap,
  options: JoinOptions,
  layerOptions?: LayerOptions,
): Machine {
  const own = new OwnCpu(memory, map, options)
  let layers: Layers | undefined
  try {
    layers = attachLayers(own, layerOptions)
    return new Machine(own, layers, makeHandle(buffer), openMemory(buffer))
  } catch (error) {
    // The number is usable again.
    if (layers) detachLayers(layers.list)
    hotplugOf(map.id, own.key)?.close()
    own.giveUp()
    throw error
  }
}

/** @throws ArgumentError */
function plan(options: BootOptions): MemoryMap {
  const { smp = true, mmu = true, debugRcu = false, nodes = 1, fanout = 16 } = options
  const { cpus = smp ? 8 : 1, memory: size = '64 MiB' } = options
  const memory = parseSize(size, 'memory')
  checkRange('cpus', cpus, 1, MAX_CPUS)
  checkRange('nodes', nodes, 1, Math.min(MAX_NODES, cpus))
  checkRange('fanout', fanout, 2, 32)
  checkRange('memory', memory, 2 * 4096, MAX_MEMORY)
  if (!smp && cpus > 1) {
    throw new ArgumentError(`cpus: ${cpus} contradicts smp: false; a machine without SMP has one CPU`, {
      cpus,
      smp,
    })
  }
  const id = 1 + Math.floor(Math.random() * (2 ** 32 - 1))
  return planMap({ cpus, nodes, smp, mmu, debugRcu, fanout, units: Math.ceil(memory / UNIT), id })
}

function tooLittle(
  options: BootOptions,
  { units, cpus }: MemoryMap,
  cause?: OutOfMemoryError,
): ArgumentError {
  const minimum = leastMemory(options)
  const least = minimum === Infinity ? 'more than there can be' : minimum
  return new ArgumentError(
    `memory: ${units * UNIT} bytes are too few; with ${cpus} CPUs and these options a machine takes ${least}`,
    { memory: units * UNIT, minimum },
    cause && { cause },
  )
}
/**
 * Bytes of whole pages with which a machine can be booted: what its layers take is theirs to say.
 * Infinity if none are enough.
 *
 * Cost: that of some 15 machines.
 */
function leastMemory(options: BootOptions): number {
  let high = 16
  while (!canBoot({ ...options, memory: high * PAGE_BYTES })) {
    high *= 2
    if (high * PAGE_BYTES > MAX_MEMORY) return Infinity
  }
  for (let low = high / 2; high - low > 1;) {
    const middle = Math.floor((low + high) / 2)
    if (canBoot({ ...options, memory: middle * PAGE_BYTES })) high = middle
    else low = middle
  }
  return high * PAGE_BYTES
}
function canBoot(options: BootOptions): boolean {
  const map = plan(options)
  if (map.firstUnit >= map.units) return false
  const own = new OwnCpu(openEmpty(allocate(map.units * UNIT), map), map, options)
  try {
    detachLayers(attachLayers(own, options).list)
    return true
  } catch (error) {
    if (error instanceof OutOfMemoryError) return false
    throw error
  } finally {
    own.giveUp()
  }
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
