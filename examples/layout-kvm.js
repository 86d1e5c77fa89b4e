// @ts-check
/**
 * A field pushed out of reach by the growth of what lies before it.
 *
 * Linux's struct kvm embeds two struct srcu_structs. Hand-written powerpc assembly loads
 * kvm->arch.lpid with one instruction, whose displacement is a signed 16-bit number. When SRCU
 * became a tree, each srcu_struct grew with the number of CPUs. In a kernel for 2048 CPUs arch.lpid
 * moved from 17752 to 45864, out of reach. The assembler found it at the end of the build; here the
 * definition of the struct finds it. (The members are modelled, their sums exact.)
 *
 *     node examples/layout-kvm.js
 */
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { array, describe, diff, formatDiff, i32, LayoutError, struct, u32, u64, u8 } from 'percpu'

const pointer = u64
const list = struct('list_head', { next: pointer, prev: pointer })
const spinlock = struct('spinlock', { value: u32, owner_cpu: u32, owner: pointer })
const mutex = struct('mutex', { owner: pointer, wait_lock: spinlock, queue: array(u32, 2), waiters: list })
const waiters = struct('swait_queue_head', { lock: spinlock, tasks: list })
const completion = struct('completion', { done: u32, wait: waiters })
const timer = struct('timer_list', { entry: array(pointer, 2), expires: u64, function: pointer, flags: u32 })
const work = struct('delayed_work', { data: u64, entry: list, func: pointer, timer, wq: pointer, cpu: i32 })
const batch = struct('rcu_batch', { head: pointer, tail: pointer })

/** Before the tree: the same size for any number of CPUs. */
export const srcuClassic = struct('srcu_struct', {
  completed: u64,
  per_cpu_ref: pointer,
  queue_lock: spinlock,
  running: u8,
  batches: array(batch, 4),
  work,
})

const srcuNode = struct('srcu_node', {
  lock: spinlock,
  have_cbs: array(u64, 4),
  data_have_cbs: array(u64, 4),
  gp_seq_needed_exp: u64,
  parent: pointer,
  grplo: i32,
  grphi: i32,
})
const srcuState = {
  level: array(pointer, 3),
  cb_mutex: mutex,
  lock: spinlock,
  gp_mutex: mutex,
  idx: u32,
  gp_seq: u64,
  gp_seq_needed: u64,
  gp_seq_needed_exp: u64,
  last_gp_end: u64,
  size_jiffies: u64,
  lock_retries: u64,
  exp_nodelay: u64,
  reschedule_jiffies: u64,
  reschedule_count: u64,
  sda: pointer,
  barrier_seq: u64,
  barrier_mutex: mutex,
  barrier_completion: completion,
  barrier_cpu_cnt: i32,
  work,
}

/** Nodes of a combining tree: a leaf for 16 CPUs, above that one for 32 nodes. */
function nodesFor(/** @type {number} */ cpus) {
  let level = Math.ceil(cpus / 16)
  let nodes = level
  while (level > 1) nodes += level = Math.ceil(level / 32)
  return nodes
}

/** The tree with its nodes inside: grows with the number of CPUs. */
export function srcuTree(/** @type {number} */ cpus) {
  return struct('srcu_struct', { node: array(srcuNode, nodesFor(cpus)), ...srcuState })
}

/**
 * The tree with its nodes allocated apart, behind a pointer: again the same size for any number of
 * CPUs.
 */
export function srcuApart() {
  return struct('srcu_struct', { node: pointer, ...srcuState })
}

const arch = struct('kvm_arch', {
  lpid: u32,
  smt_mode: u32,
  host_lpcr: u64,
  lpcr: u64,
  sdr1: u64,
  pgtable: pointer,
})
const irqfds = struct('kvm_irqfds', {
  lock: spinlock,
  items: list,
  resampler_list: list,
  resampler_lock: mutex,
})
const notifier = struct('mmu_notifier', {
  hlist: array(pointer, 2),
  ops: pointer,
  mm: pointer,
  rcu: array(pointer, 2),
  users: i32,
})
const beforeSrcu = {
  mmu_lock: spinlock,
  slots_lock: mutex,
  mm: pointer,
  memslots: array(pointer, 2),
  vcpus: array(pointer, 2048),
  online_vcpus: i32,
  created_vcpus: i32,
  last_boosted_vcpu: i32,
  vm_list: list,
  lock: mutex,
  buses: array(pointer, 4),
  irqfds,
  ioeventfds: list,
  stat: array(u64, 49),
  users_count: i32,
  coalesced_mmio_ring: pointer,
  ring_lock: spinlock,
  coalesced_zones: list,
  irq_lock: mutex,
  irq_routing: pointer,
  irq_ack_notifiers: pointer,
  mmu_notifier: notifier,
  mmu_notifier_seq: u64,
  mmu_notifier_count: u64,
  tlbs_dirty: u64,
  devices: list,
  manual_dirty_log_protect: u32,
  debugfs_dentry: pointer,
  debugfs_stat_data: pointer,
  stats_id: array(u8, 48),
}

/** What the assembly needs. */
const contract = /** @type {const} */ ({ within: { 'arch.lpid': 'd16' } })

/** The order as it was: both srcu_structs before arch. */
export function kvm(/** @type {import('percpu').AnyStruct} */ srcu) {
  return struct('kvm', { ...beforeSrcu, srcu, irq_srcu: srcu, arch }, contract)
}

/** The order that ended it: what may grow comes last. */
export function kvmSrcuLast(/** @type {import('percpu').AnyStruct} */ srcu) {
  return struct('kvm', { ...beforeSrcu, arch, srcu, irq_srcu: srcu }, contract)
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const before = kvm(srcuClassic)
  console.log(`classic SRCU: ${srcuClassic.size} bytes, arch.lpid at ${before.offsets['arch.lpid']}`)
  const tree = srcuTree(2048)
  try {
    kvm(tree)
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error
    console.log(`tree for 2048 CPUs: ${tree.size} bytes, refused:\n  ${error.message}`)
  }
  const last = kvmSrcuLast(tree)
  console.log(`srcu_structs at the end: arch.lpid at ${last.offsets['arch.lpid']}`)
  console.log(`nodes allocated apart: arch.lpid at ${kvm(srcuApart()).offsets['arch.lpid']}`)
  const changes = diff(describe(kvm(srcuApart())), describe(kvmSrcuLast(srcuApart())))
  console.log(`\nwhat moving them changes:\n${formatDiff(changes)}`)
}
