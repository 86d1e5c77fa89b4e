/**
 * The words of a machine that all threads share. Beside each stands its writer, and the file that
 * has its protocol. `layouts.lock.json` pins every offset.
 */
import { hashNumbers } from '../arithmetic.js'
import {
  aligned,
  array,
  atomic,
  f64,
  owner,
  pad,
  published,
  racy,
  struct,
  i32,
  u32,
  u64,
  u8,
} from '../layout/index.js'
import { LABEL_BYTES, MASK_WORDS, MAX_NODES, MAX_REGIONS, NAME_BYTES, TYPE_BYTES, UNIT } from './limits.js'

/**
 * Page 0 of the memory. The published words are written by `boot` before `ready` is set, and never
 * again.
 */
export const Header = struct(
  'Header',
  {
    magic: published(u32),
    version: published(u32),
    layoutHash: published(u32),
    /** Size of the machine's memory in {@link UNIT}s. */
    units: published(u32),
    /** Random; names the message channels of the doorbell fallback. */
    id: published(u32),
    cpus: published(u32),
    nodes: published(u32),
    /** {@link FLAG_SMP}, {@link FLAG_MMU}, {@link FLAG_DEBUG_RCU}. */
    flags: published(u32),
    /** Root addresses, in {@link UNIT}s. */
    cpuTable: published(u32),
    callTable: published(u32),
    regionTables: published(u32),
    /** The nodes by which grace periods are reported, and how many children one has. rcu-tree.ts */
    rcuNodes: published(u32),
    fanout: published(u32),
    /** 1 once all of the above is written. memory-map.ts */
    ready: atomic(i32),
    /** Where machine time begins: ms since the Unix epoch, at boot. clock.ts */
    epoch: published(f64),
    /** Which region table is current. bootmem/memblock.ts */
    activeRegions: aligned(atomic(u64), 'cacheline'),
    /** Newest directory entry, in {@link UNIT}s, or 0. bootmem/directory.ts */
    directory: aligned(atomic(i32), 'cacheline'),
    /** How far grace periods have come, and how far somebody wants them to. cpus/rcu-tree.ts */
    rcuSequence: aligned(atomic(i32), 'cacheline'),
    rcuNeeded: atomic(i32),
    /** As far as this one they are in a hurry. */
    rcuExpedited: atomic(i32),
    /** CPUs that want a ring when a grace period ends; a bit each. */
    rcuWaiters: aligned(array(atomic(i32), MASK_WORDS), 'cacheline'),
  },
  { maxSize: 4096, align: 64 },
)
export const FLAG_SMP = 1
export const FLAG_MMU = 2
export const FLAG_DEBUG_RCU = 4

/** One per possible CPU; a line for each group of writers. */
export const Cpu = struct(
  'Cpu',
  {
    /**
     * 0 free; the key of the thread that claimed it; or minus the key of the thread that reaps it.
     * cpus/cpu-table.ts
     */
    thread: atomic(i32),
    /** Incarnation × 8 + state. cpus/cpu-table.ts */
    state: atomic(i32),
    /**
     * The key of the thread that started this CPU's thread; below 0 if there is none.
     * cpus/cpu-table.ts
     */
    parent: atomic(i32),
    /** How often the number has been released. cpus/cpu-table.ts */
    releases: atomic(i32),
    node: published(u32),
    /**
     * The number that the operating system gives the CPU's thread, and the key of that thread: it
     * holds for no other one. machine/os-thread.ts
     */
    osThread: atomic(i32),
    osKey: atomic(i32),

    /**
     * Reasons rung and not yet answered, a bit each. Ringers set them, the CPU clears them.
     * cpus/doorbell.ts
     */
    bell: aligned(atomic(i32), 'cacheline'),
    /** 1 if the bell may be set: what `poll` looks at. cpus/doorbell.ts */
    hint: racy(i32),

    /** The grace period for which this CPU has passed a quiescent state last. cpus/rcu-tree.ts */
    reported: aligned(atomic(i32), 'cacheline'),
    /** Odd while parked or deaf: an extended quiescent state. cpus/idle.ts */
    idle: atomic(i32),
    /**
     * Word index on which the CPU is parked, or -1. Less than that: the waiters in whose mask it
     * sleeps. cpus/idle.ts
     */
    parkedOn: atomic(i32),
    /** 1 while deaf: answers no doorbell. cpus/idle.ts */
    deaf: atomic(i32),
    /** Set by every poll, for its side effect on engines. cpus/doorbell.ts */
    polled: owner(i32),
    /**
     * How this CPU is woken: 0 by `Atomics.waitAsync` on the bell, 1 by a message. cpus/doorbell.ts
     */
    port: atomic(i32),
    /** Counts the messages that have woken it, as far as a new one may be sent. cpus/ringer.ts */
    heard: atomic(i32),

    /**
     * CPUs that want a ring when `deaf`, the state, or a call's answer changes; a bit each.
     * cpus/doorbell.ts
     */
    waiters: aligned(array(atomic(i32), MASK_WORDS), 'cacheline'),

    /** The one function call that this CPU has under way. cpus/call-records.ts */
    callSequence: aligned(atomic(i32), 'cacheline'),
    /** Two hashes of its name. */
    callFunction: array(atomic(i32), 2),
    callArgument: atomic(i32),
    callMask: array(atomic(i32), MASK_WORDS),
  },
  {
    align: 64,
    separateLines: [
      ['thread', 'bell'],
      ['bell', 'reported'],
      ['reported', 'waiters'],
      ['waiters', 'callSequence'],
    ],
    sameLine: [['bell', 'hint']],
  },
)

/**
 * A node of the tree by which quiescent states are reported: the root, those between, and the
 * leaves. A leaf stands for `fanout` CPUs at most. cpus/rcu-tree.ts
 */
export const RcuNode = struct(
  'RcuNode',
  {
    /** Of a leaf: its CPUs that may be reading, a bit each. */
    active: atomic(i32),
    /** The grace period that everybody below has passed last. */
    completed: atomic(i32),
    /** Of a leaf: the grace period for which all its CPUs have been rung last. */
    rung: atomic(i32),
  },
  { align: 64 },
)

/** One allocated region of boot memory, inside a {@link RegionTable}. bootmem/memblock.ts */
export const Region = struct('Region', {
  start: atomic(i32),
  units: atomic(i32),
  /** The token of the CPU that will take it along when it dies, or 0. */
  owner: atomic(i32),
  label: array(atomic(i32), LABEL_BYTES / 4),
  _reserved: pad(4),
})

/**
 * A complete list of the regions in use, sorted by start. There are two per possible CPU, so that a
 * change is made aside. The list goes on behind the struct, by two regions per possible CPU for
 * VPAs and dispatch logs ({@link maxRegions}).
 */
export const RegionTable = struct(
  'RegionTable',
  {
    count: atomic(i32),
    /** Per node: no unit at or above it was ever allocated (its memory is still zero). */
    high: array(atomic(i32), MAX_NODES),
    regions: aligned(array(Region, MAX_REGIONS), 'cacheline'),
  },
  { align: 64 },
)

/** Written before it is linked into the directory, never changed after. bootmem/directory.ts */
export const DirectoryEntry = struct(
  'DirectoryEntry',
  {
    next: published(u32),
    object: published(u32),
    layoutHash: published(u32),
    units: published(u32),
    nameLength: published(u32),
    typeLength: published(u32),
    name: published(array(u8, NAME_BYTES)),
    type: published(array(u8, TYPE_BYTES)),
    _reserved: pad(8),
  },
  { size: 128, align: UNIT },
)

/**
 * Every struct of the fixed part of the memory, in the order in which they enter the layout hash.
 * What other layers share is checked when their named objects are opened.
 */
export const machineStructs = [Header, Cpu, RcuNode, Region, RegionTable, DirectoryEntry] as const

/**
 * One number for the whole shared format. Any other offset, type or kind in any struct makes it
 * another number.
 */
export const layoutHash: number = hashNumbers(machineStructs.map(({ hash }) => hash))
