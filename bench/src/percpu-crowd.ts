/** A thread with a machine of its own and a million per-CPU objects on it, for percpu.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { boot } from 'percpu'
import { timeLoop } from './harness/per-operation.js'
import { BATCH, LIVE, type CrowdData, type CrowdTimes } from './percpu-crowd-data.js'

const { bytes, mmu } = workerData as CrowdData
const { percpu } = boot({ cpus: 4, memory: '8 GiB', mmu })
const pointers = new Int32Array(LIVE)

function allocate(from: number): number {
  for (let i = from; i < LIVE; i++) pointers[i] = percpu.alloc(bytes)
  return LIVE - from
}
function free(from: number): number {
  for (let i = from; i < LIVE; i++) percpu.free(pointers[i] ?? 0)
  return LIVE - from
}

parentPort?.on('message', () => {
  const times: CrowdTimes = {
    free: timeLoop(() => free(LIVE - BATCH), BATCH) / BATCH,
    allocate: timeLoop(() => allocate(LIVE - BATCH), BATCH) / BATCH,
  }
  parentPort?.postMessage(times)
})
allocate(0)
parentPort?.postMessage('ready')
