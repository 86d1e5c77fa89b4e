/**
 * The words of SRCU domains: one struct that all CPUs share, and a part for each of them. srcu.ts
 * has their protocol.
 */
import { array, atomic, i32, pad, published, racy, struct, u32 } from '../layout/index.js'
import { MASK_WORDS } from '../machine/limits.js'

/**
 * A domain. Its size does not depend on the number of CPUs, so that structs of users may embed it.
 */
export const SrcuLayout = struct(
  'Srcu',
  {
    /** To the parts, each an `SrcuCpuLayout`; 0 until they are there. */
    pointer: atomic(i32),
    /** `FAST` or `NORMAL`. */
    flavour: published(u32),
    /** How far grace periods have come, and with it the rank of new readers. cpus/sequence.ts */
    sequence: atomic(i32),
    /** Grace periods are wanted until the sequence is as far. */
    needed: atomic(i32),
    /** Those up to this one are to be hurried. */
    neededExpedited: atomic(i32),
    /** CPUs that want a ring when the sequence moves, or a reader that it waits for has left. */
    waiters: array(atomic(i32), MASK_WORDS),
    /** To the tree of those who wait, `SrcuNode`s; 0 while the domain is small. */
    tree: atomic(i32),
    /** To the lists of callbacks; 0 until somebody queues something. srcu-callbacks.ts */
    lists: atomic(i32),
    /**
     * Of a domain at an address: another one that is made there has another number, from 1. 0 as
     * soon as it is ending.
     */
    serial: published(u32),
  },
  { size: 64 },
)

/** Slots of a node: grace periods that somebody may wait for at the same time. */
export const SRCU_SLOTS = 4
/** A node of the tree of those who wait for a domain. srcu-tree.ts */
export const SrcuNode = struct('SrcuNode', {
  /** Who of its children waits for the grace period of that slot, a bit each. */
  waiting: array(atomic(i32), SRCU_SLOTS),
})

/** Domains of a table. */
export const REGISTRY_SLOTS = 256
/** A table of domains that lie in structs of users, or are ending. srcu-registry.ts */
export const SrcuRegistry = struct('SrcuRegistry', {
  /** Word indices, or 0; of a domain that has a name, or had one, minus the index. */
  domains: array(atomic(i32), REGISTRY_SLOTS),
  /** Who ends it: 0, or the token of a CPU; {@link ORPHANED}. */
  enders: array(atomic(i32), REGISTRY_SLOTS),
  /** How many serial numbers were given out; of the first table. */
  serials: atomic(i32),
})

/** In the place of a token: who was ending it has gone, and nobody is at it yet. */
export const ORPHANED = -1

/** Readers count themselves by plain additions. */
export const FAST = 1
/** Readers count themselves by atomic additions. */
export const NORMAL = 2

/**
 * A CPU's part of a domain; an item of each array for each rank.
 *
 *     sections of this CPU under way   locks − unlocks + atomicLocks − atomicUnlocks
 *     handed over, of all CPUs         Σ downs − Σ ups
 *
 * Each count wraps at 2^32; fewer than 2^31 sections are under way.
 */
export const SrcuCpuLayout = struct(
  'SrcuCpu',
  {
    /** Fast readers. Written by this CPU alone. */
    locks: array(racy(i32), 2),
    unlocks: array(racy(i32), 2),
    /** Normal readers, and fast ones that leave while the CPU is deaf; also by its reaper. */
    atomicLocks: array(atomic(i32), 2),
    atomicUnlocks: array(atomic(i32), 2),
    /** Readers that may leave on another CPU than the one on which they came. */
    downs: array(atomic(i32), 2),
    ups: array(atomic(i32), 2),
    /** Of CPU 0's part: when the last grace period ended, in µs, modulo 2^32. */
    ended: racy(u32),
    _reserved: pad(12),
  },
  { size: 64, align: 64 },
)
