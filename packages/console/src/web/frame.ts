/** What the page is sent every second: of a report, what it shows. Times are milliseconds. */
import type { CpuInspection, GracePeriodInspection, Inspection } from 'percpu'
import { HEAP_LABEL, type MemoryReport } from '../inspect/memory.js'
import type { Report } from '../inspect/protocol.js'
import { deadlockLine, locksOf, shownGracePeriods, workOf } from '../top/words.js'
import { visible } from '../visible.js'

/** What has been looked up by a thread, since it began. */
export interface LookupCount {
  /** What the thread is called. It may become another CPU. */
  readonly name: string
  readonly cpu: number | undefined
  readonly count: number
}

/** Caches of the heap that are shown, the largest first. */
const SHOWN_CACHES = 8

export function frameOf(
  { pid, title, inspection, memory }: Report,
  lookups: readonly LookupCount[] | undefined,
) {
  const cpus = inspection.cpus.filter(({ activity }) => activity !== 'offline')
  const { shown, others } = shownGracePeriods(inspection)
  return {
    pid,
    title: visible(title),
    at: inspection.at,
    cpus: cpus.map((cpu) => cpuFrame(cpu, inspection)),
    offline: inspection.cpus.length - cpus.length,
    deadlocks: inspection.deadlocks.map((each) => visible(deadlockLine(each))),
    gracePeriods: shown.map((each) => gracePeriodFrame(each, inspection)),
    otherDomains: others,
    memory: memory && memoryFrame(memory),
    lookups,
  }
}

function cpuFrame(cpu: CpuInspection, { at }: Inspection) {
  const { label, since } = workOf(cpu)
  return {
    cpu: cpu.cpu,
    incarnation: cpu.incarnation,
    activity: cpu.activity,
    silentFor: cpu.silentFor,
    thread: cpu.thread,
    work: visible(label),
    workFor: since === undefined ? undefined : at - since,
    runs: cpu.runs,
    busy: cpu.utilisation,
    delay: cpu.eventLoopDelay && { p50: cpu.eventLoopDelay.p50, p99: cpu.eventLoopDelay.p99 },
    ring: cpu.doorbellLatency && { p50: cpu.doorbellLatency.p50, p99: cpu.doorbellLatency.p99 },
    locks: visible(locksOf(cpu)),
  }
}

function gracePeriodFrame(each: GracePeriodInspection, { at }: Inspection) {
  return {
    name: each.domain === undefined ? 'rcu' : visible(each.domain),
    isDomain: each.domain !== undefined,
    ended: each.ended,
    heldUpBy: each.isWanted ? each.cpus : [],
    sections: each.sections,
    waitingFor: each.waitingSince === undefined ? undefined : at - each.waitingSince,
    callbacks: each.callbacks.reduce((sum, count) => sum + count, 0),
  }
}

function memoryFrame({ total, used, largestFree, stretches, heap }: MemoryReport) {
  const caches = heap?.caches.toSorted((one, other) => other.bytes - one.bytes) ?? []
  return {
    total,
    used,
    largestFree,
    stretches: stretches.map(({ address, bytes, label }) => ({
      address,
      bytes,
      label: label === HEAP_LABEL ? 'heap' : visible(label),
    })),
    heapFree: heap?.zones.reduce((sum, { free }) => sum + free, 0),
    caches: caches.slice(0, SHOWN_CACHES).map(({ name, size, allocated, bytes }) => ({
      name: visible(name),
      size,
      allocated,
      bytes,
    })),
    otherCaches: Math.max(0, caches.length - SHOWN_CACHES),
  }
}
