/**
 * The words through which a CPU can be looked at from outside, also when it is stuck or dead.
 *
 *     Vpa            640 bytes laid down by PAPR (the kernel's lppaca): big-endian, a line of 128
 *                    bytes for each kind of writer; allocated and advertised as 1024 bytes, one a
 *                    CPU, never across a 4096-byte boundary
 *     DispatchEntry  one of the 85 entries of a dispatch trace log of 4096 bytes (PAPR's dtl_entry)
 *     CpuWatch       what PAPR keeps inside the hypervisor: registrations, requests of supervisors,
 *                    the current work
 *
 * Rules: `CpuWatch.vpa` and `log` change by one atomic write each, so a thread killed anywhere is
 * registered or not. Words of kind racy are written by their CPU and read by watchers, who tolerate
 * any value. Decisions are made by atomic words.
 */
import { PAGE_BYTES } from '../arithmetic.js'
import { aligned, array, atomic, big, pad, published, racy, struct } from '../layout/index.js'
import { f64, i32, u16, u32, u64, u8 } from '../layout/index.js'

const be16 = big(u16)
const be32 = big(u32)
const be64 = big(u64)

/** "LpPa" in EBCDIC: the first word of every VPA. */
export const VPA_DESCRIPTOR = 0xd397d781
/** Bytes allocated and advertised; supervisors refuse less than the struct's 640. */
export const VPA_SIZE = 1024
export const VPA_MIN_SIZE = 640
export const VPA_ALIGN = 128
/** Neither a VPA nor a dispatch log may cross a multiple of this. */
export const VPA_BOUNDARY = PAGE_BYTES
export const LOG_SIZE = PAGE_BYTES

/** The area that a CPU shares with its supervisors. Fields at PAPR's places. */
export const Vpa = struct(
  'Vpa',
  {
    // line 1: written before registration; the counters by supervisors
    desc: published(be32), // 0x000
    size: published(be16), // 0x004
    _reserved1: pad(3),
    __old_status: racy(u8), // 0x009
    _reserved3: pad(14),
    dyn_hw_node_id: racy(be32), // 0x018
    dyn_hw_proc_id: racy(be32), // 0x01c
    _reserved4: pad(56),
    /** Change when the CPU's home node does; see home-node.ts. */
    vphn_assoc_counts: racy(array(u8, 8)), // 0x058
    _reserved5: pad(32),
    // line 2: requests
    _reserved6: pad(48),
    cede_latency_hint: racy(u8), // 0x0b0
    ebb_regs_in_use: racy(u8),
    _reserved7: pad(6),
    /** Which entries the CPU logs: plain copy of `CpuWatch.mask`, which may lag. */
    dtl_enable_mask: racy(u8), // 0x0b8
    donate_dedicated_cpu: racy(u8),
    fpregs_in_use: racy(u8),
    pmcregs_in_use: racy(u8),
    _reserved8: pad(28),
    wait_state_cycles: racy(be64), // 0x0d8
    _reserved9: pad(28),
    slb_count: racy(be16), // 0x0fc
    idle: racy(u8),
    vmxregs_in_use: racy(u8),
    // line 3: written by the CPU, read by everyone
    /** Odd while parked or deaf: mirrors the parity of `Cpu.idle`, which decides. */
    yield_count: racy(be32), // 0x100
    dispersion_count: racy(be32),
    cmo_faults: racy(be64),
    cmo_fault_time: racy(be64), // 0x110
    _reserved10: pad(64),
    enqueue_dispatch_tb: racy(be64), // 0x158
    ready_enqueue_tb: racy(be64),
    wait_ready_tb: racy(be64), // 0x168
    _reserved11: pad(16),
    page_ins: racy(be32), // 0x180
    _reserved12: pad(148),
    /** Entries logged so far: mirrors `CpuWatch.entries`, which decides. */
    dtl_idx: racy(be64), // 0x218
    _reserved13: pad(96),
  },
  {
    size: VPA_MIN_SIZE,
    maxSize: VPA_SIZE,
    align: VPA_ALIGN,
    lineSize: 128,
    sameLine: [
      ['desc', 'vphn_assoc_counts'],
      ['cede_latency_hint', 'vmxregs_in_use'],
      ['yield_count', 'wait_ready_tb'],
    ],
    separateLines: [['desc', 'cede_latency_hint', 'yield_count', 'page_ins', 'dtl_idx']],
    within: 'd16',
  },
)

/** PAPR's entry; what each field means here is said in dispatch-log.ts. */
export const DispatchEntry = struct(
  'DispatchEntry',
  {
    dispatch_reason: racy(u8),
    preempt_reason: racy(u8),
    processor_id: racy(be16),
    enqueue_to_dispatch_time: racy(be32),
    ready_to_enqueue_time: racy(be32),
    waiting_to_ready_time: racy(be32),
    timebase: racy(be64),
    fault_addr: racy(be64),
    srr0: racy(be64),
    srr1: racy(be64),
  },
  { size: 48 },
)
/** Whole entries in a log. */
export const LOG_ENTRIES = Math.floor(LOG_SIZE / DispatchEntry.size)
/**
 * The entry counter starts over here: a multiple of {@link LOG_ENTRIES} that a signed word holds.
 */
export const LOG_WRAP = LOG_ENTRIES * 2 ** 24

/** Bits of `dtl_enable_mask`. The first three are PAPR's CEDE, PREEMPT and FAULT. */
export const TRACE_PARKS = 1
/** The dispatch log has labelled work. */
export const TRACE_WORK = 2
/** The dispatch log has doorbells. */
export const TRACE_DOORBELLS = 4
/** The dispatch log has waits for locks. */
export const TRACE_LOCKS = 8
/** The dispatch log has everything. */
export const TRACE_ALL = 15
/** Set while a monitor watches: the CPU stamps the current work with a time. */
export const WATCH_TIMES = 128

/** Labels that a CPU can intern, and bytes (UTF-8) of each; longer ones are cut. */
export const LABELS = 128
export const LABEL_TEXT = 44
export const Label = struct('Label', { length: published(u32), text: published(array(u8, LABEL_TEXT)) })

/** Asynchronous labelled work that was begun and has not settled. */
export const PENDING = 16
export const PendingWork = struct('PendingWork', { label: racy(i32), _reserved: pad(4), since: racy(f64) })

/** Buckets of a histogram: four an octave, from 1 µs to 18 minutes. histogram.ts */
export const BUCKETS = 120

/** A wait for grace periods that is under way. wait-records.ts */
export const RcuWait = struct('RcuWait', {
  /** Of which kind; 0: free. */
  key: racy(u32),
  /** The incarnation of the CPU that waits. */
  incarnation: racy(u32),
  /** Machine time. */
  since: racy(f64),
})
/** Kinds of grace periods that a CPU waits for at once, of those that are shown. */
export const RCU_WAITS = 4

/** One per possible CPU. */
export const CpuWatch = struct(
  'CpuWatch',
  {
    /**
     * Where its VPA and its log are, in units; 0 once given back. By boot, and when the CPU is
     * given up.
     */
    area: atomic(i32),
    logArea: atomic(i32),
    /**
     * Registrations: incarnation × 2^32 + address in units, or 0. By the CPU, or its reaper.
     * vpa-registry.ts
     */
    vpa: atomic(u64),
    log: atomic(u64),
    /** The last incarnation that died rather than left. By the reaper. */
    died: atomic(i32),
    /** Changes × 256 + home node. home-node.ts */
    home: atomic(i32),

    /**
     * Requests of supervisors: trace bits, heartbeat interval in ms, number of the last ping.
     * watch.ts, monitor.ts
     */
    mask: aligned(atomic(i32), 'cacheline'),
    interval: atomic(i32),
    ping: atomic(i32),
    _reserved: pad(4),
    /** When it was sent, in machine time; written before the ping is counted. */
    pingAt: racy(f64),

    /** The last ping answered. */
    pong: aligned(atomic(i32), 'cacheline'),
    /**
     * Entries logged, modulo {@link LOG_WRAP}: an entry is complete once counted. dispatch-log.ts
     */
    entries: atomic(i32),
    /**
     * The label whose work runs at this moment (0: none), how often that changed, and since when
     * (0: not timed).
     */
    label: racy(i32),
    runs: racy(u32),
    since: racy(f64),
    /**
     * The last heartbeat, and the share of the time before it in which the CPU was busy.
     * heartbeat.ts
     */
    beatAt: racy(f64),
    utilisation: racy(f64),
    /** Pending work that found no slot. */
    pendingLost: racy(u32),
    /** Labels interned so far. labels.ts */
    labels: atomic(i32),
    pending: array(PendingWork, PENDING),
    /** Lateness of heartbeats, and latency of pings: counts by bucket. */
    delay: aligned(racy(array(u32, BUCKETS)), 'cacheline'),
    doorbell: racy(array(u32, BUCKETS)),
    /** Waits for grace periods: how long they took, of `machine.rcu` and of domains. */
    rcuWaits: racy(array(u32, BUCKETS)),
    srcuWaits: racy(array(u32, BUCKETS)),
    waits: array(RcuWait, RCU_WAITS),
    texts: aligned(array(Label, LABELS), 'cacheline'),
  },
  {
    align: 64,
    separateLines: [
      ['area', 'mask'],
      ['mask', 'pong'],
    ],
  },
)

export const vpaStructs = [Vpa, DispatchEntry, Label, PendingWork, RcuWait, CpuWatch] as const
