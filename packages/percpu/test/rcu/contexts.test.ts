/**
 * The history of KVM's irqfd on real threads: many tasks of a thread, and messages that interrupt
 * them, are in sections of one domain, end to end. If entering is a load and a store with something
 * between them, counts are lost, and `cleanup` refuses.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, SrcuBusyError, UnansweredError, type SrcuFlavour } from 'percpu'
import { set, words } from '../support/threads.js'
import type { ContextData } from './context-worker.js'

const MILLISECONDS = Number(process.env['PERCPU_SRCU_MS'] ?? 300)

async function run(flavour: SrcuFlavour, torn: boolean): Promise<void> {
  const machine = boot({ memory: '8 MiB', cpus: 3 })
  const domain = machine.srcu('s', { flavour })
  const [stop = 0] = words(machine, 1)
  const workerData: ContextData = { handle: machine.handle, flavour, stop, torn }
  const workers = [0, 1].map(() => {
    const worker = new Worker(new URL('./context-worker.js', import.meta.url), { workerData })
    const { reaped } = machine.supervise(worker)
    return { worker, reaped }
  })
  await Promise.all(workers.map(({ worker }) => once(worker, 'message')))
  const sections = workers.map(({ worker }) => once(worker, 'message') as Promise<[number[]]>)
  const end = performance.now() + MILLISECONDS
  let graces = 0
  // Torn counts hold up grace periods: none here, so that the ranks stay.
  while (performance.now() < end || (!torn && graces < 3))
    if (torn) await new Promise((resolve) => setTimeout(resolve, 10))
    else {
      await (graces++ % 2 === 0 ? domain.synchronize({ timeout: 20_000 }) : domain.synchronizeExpedited())
    }
  set(machine.memory, stop)
  for (const [counts] of await Promise.all(sections))
    assert.ok(counts.length > 2 && counts.every((count) => count > 0), String(counts))
  if (torn) {
    await assert.rejects(domain.synchronize({ timeout: 100 }), UnansweredError)
    await assert.rejects(domain.cleanup(), SrcuBusyError)
  } else {
    assert.ok(graces > 2)
    await domain.cleanup()
  }
  for (const { worker } of workers) worker.postMessage('end')
  await Promise.all(workers.map(({ reaped }) => reaped))
  await machine.offline()
}

describe('two contexts of each of two threads', () => {
  for (const flavour of ['fast', 'normal'] as const) {
    it(`leave nothing behind in a ${flavour} domain`, { timeout: 60_000 }, () => run(flavour, false))
    it(
      `lose counts in a ${flavour} domain if they tear them: it refuses to be cleaned up`,
      { timeout: 60_000 },
      () => run(flavour, true),
    )
  }
})
