// @ts-check
/**
 * A struct laid down by somebody else: the lppaca, the area that a powerpc thread shares with its
 * hypervisor (PAPR).
 *
 * It has 640 bytes, and is big-endian whatever the machine is. Each cache line of 128 bytes has one
 * kind of writer. The hypervisor refuses a lppaca that crosses a 4096-byte page. The definition
 * says all of that, so no edit can break it unseen.
 *
 *     node examples/layout-lppaca.js
 */
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import {
  array,
  big,
  LayoutError,
  owner,
  pad,
  published,
  racy,
  report,
  struct,
  u16,
  u32,
  u64,
  u8,
} from 'percpu'

const be16 = big(u16)
const be32 = big(u32)
const be64 = big(u64)

/** The fields, at PAPR's offsets. */
export const fields = {
  // line 1: written by the hypervisor, read only here
  desc: published(be32), // 0x000
  size: published(be16), // 0x004
  reserved1: pad(3),
  __old_status: racy(u8), // 0x009
  reserved3: pad(14),
  dyn_hw_node_id: racy(be32), // 0x018
  dyn_hw_proc_id: racy(be32), // 0x01c
  reserved4: pad(56),
  vphn_assoc_counts: racy(array(u8, 8)), // 0x058
  reserved5: pad(32),
  // line 2: written by the thread itself
  reserved6: pad(48),
  cede_latency_hint: owner(u8), // 0x0b0
  ebb_regs_in_use: owner(u8),
  reserved7: pad(6),
  dtl_enable_mask: owner(u8), // 0x0b8
  donate_dedicated_cpu: owner(u8),
  fpregs_in_use: owner(u8),
  pmcregs_in_use: owner(u8),
  reserved8: pad(28),
  wait_state_cycles: owner(be64), // 0x0d8
  reserved9: pad(28),
  slb_count: owner(be16), // 0x0fc
  idle: owner(u8),
  vmxregs_in_use: owner(u8),
  // line 3: written by the hypervisor, read by everyone
  yield_count: racy(be32), // 0x100, odd while not running
  dispersion_count: racy(be32), // 0x104
  cmo_faults: racy(be64), // 0x108
  cmo_fault_time: racy(be64), // 0x110
  reserved10: pad(64),
  enqueue_dispatch_tb: racy(be64), // 0x158
  ready_enqueue_tb: racy(be64), // 0x160
  wait_ready_tb: racy(be64), // 0x168
  reserved11: pad(16),
  // lines 4 and 5
  page_ins: racy(be32), // 0x180
  reserved12: pad(148),
  dtl_idx: racy(be64), // 0x218
  reserved13: pad(96),
}

/** 640 bytes aligned to 1024 lie within one page wherever they are. */
export const Lppaca = struct('lppaca', fields, {
  size: 640,
  maxSize: 1024,
  align: 1024,
  noCross: 4096,
  lineSize: 128,
  sameLine: [
    ['desc', 'vphn_assoc_counts'],
    ['cede_latency_hint', 'idle'],
    ['yield_count', 'wait_ready_tb'],
  ],
  separateLines: [['desc', 'cede_latency_hint', 'yield_count', 'page_ins', 'dtl_idx']],
  within: 'd16',
})

/** Definitions that the hypervisor would refuse. */
export const refused = {
  'aligned to a cache line only': () => struct('lppaca', fields, { size: 640, align: 128, noCross: 4096 }),
  'a byte longer': () => struct('lppaca', { ...fields, extra: u8 }, { size: 640 }),
  'a byte of it missing': () => struct('lppaca', { ...fields, reserved13: pad(87) }, { size: 640 }),
  '641 bytes': () => struct('lppaca', { bytes: array(u8, 641) }, { size: 640 }),
  '639 bytes': () => struct('lppaca', { bytes: array(u8, 639) }, { size: 640 }),
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  console.log(report(Lppaca))
  for (const [what, define] of Object.entries(refused)) {
    try {
      define()
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error
      console.log(`${what}: ${error.message}`)
    }
  }
}
