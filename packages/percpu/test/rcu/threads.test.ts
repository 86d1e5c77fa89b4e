/**
 * SRCU on real threads: workers read across awaits while this one frees, and are killed meanwhile.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type SrcuFlavour } from 'percpu'
import { loadAtomic32, store32, storeAtomic32 } from 'percpu/mem'
import { becomesSet, get, set, words } from '../support/threads.js'
import type { SrcuReaderData } from './srcu-reader.js'

const WORDS = 64
/** Versions from one kill to the next. */
const KILL_EVERY = 50
const MILLISECONDS = Number(process.env['PERCPU_SRCU_MS'] ?? 400)

async function run(flavour: SrcuFlavour, kills: boolean): Promise<void> {
  const machine = boot({ memory: '8 MiB', cpus: 4 })
  const { memory } = machine
  const { i32 } = memory
  const [pointer = 0, stop = 0, errors = 0, reads = 0] = words(machine, 4)
  const domain = machine.srcu('s', { flavour })
  const make = (version: number): number => {
    const address = machine.heap.alloc(WORDS * 4)
    for (let at = 0; at < WORDS; at++) store32(i32, address / 4 + at, version)
    return address
  }
  storeAtomic32(i32, pointer / 4, make(1))
  const start = () => {
    const workerData: SrcuReaderData = { handle: machine.handle, flavour, pointer, stop, errors, reads }
    const worker = new Worker(new URL('./srcu-reader.js', import.meta.url), { workerData })
    const { reaped } = machine.supervise(worker)
    return { worker, reaped }
  }
  let workers = [start(), start()]
  await becomesSet(memory, reads)
  const end = performance.now() + MILLISECONDS
  let version = 1
  // However busy the computer is: a reader is killed in each run with kills.
  while (performance.now() < end || version < (kills ? KILL_EVERY : 3)) {
    const old = loadAtomic32(i32, pointer / 4)
    storeAtomic32(i32, pointer / 4, make(++version))
    const wait = { timeout: 20_000 }
    await (version % 3 === 0 ? domain.synchronizeExpedited(wait) : domain.synchronize(wait))
    for (let at = 0; at < WORDS; at++) store32(i32, old / 4 + at, -1)
    machine.heap.free(old)
    if (kills && version % KILL_EVERY === 0) {
      const [killed, ...others] = workers
      await killed?.worker.terminate()
      await killed?.reaped
      workers = [...others, start()]
    }
  }
  set(memory, stop)
  await Promise.all(workers.map(({ reaped }) => reaped))
  assert.equal(get(memory, errors), 0)
  assert.ok(get(memory, reads) > 0)
  await domain.synchronize({ timeout: 20_000 })
  // All counts are balanced again.
  await domain.cleanup()
  await machine.offline()
}

describe('readers on other threads', () => {
  for (const flavour of ['fast', 'normal'] as const)
    for (const kills of [false, true])
      it(
        `in a ${flavour} domain never see what was freed${kills ? ', though some are killed' : ''}`,
        { timeout: 60_000 },
        () => run(flavour, kills),
      )
})
