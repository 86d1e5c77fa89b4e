/** GP-1 to GP-3: what `synchronize` waits for, and what it does not. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { addAtomic32, exchangeAtomic32, store32 } from 'percpu/mem'
import { rejectsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { becomesSet, get, set, withMachine, words } from '../support/threads.js'

describe('synchronizeBlocking', () => {
  it('is counted among the waits when it is over, and nobody is told to wait any more', () => {
    const machine = boot({ cpus: 1 })
    // The first one is asked for at once, so there is something to wait for.
    for (let i = 0; i < 3; i++) machine.rcu.synchronizeBlocking({ timeout: 5000 })
    const { gracePeriods, waits } = machine.watch.inspect()
    assert.deepEqual(gracePeriods[0]?.waiting, [])
    assert.equal(waits.rcu?.count, 3)
  })
})

describe('synchronize', () => {
  it('waits for a CPU in a synchronous stretch, and names it when it takes too long', async () => {
    await withMachine({ cpus: 3 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const [busy] = await Promise.all([start(), start()])
      const { cpu } = await busy.tell<{ cpu: number }>({ do: 'identify' })
      const spinning = busy.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      // On a busy machine the other one may be late as well.
      await rejectsCode(
        machine.rcu.synchronize({ timeout: 20 }),
        'PERCPU_UNANSWERED',
        new RegExp(`CPU (\\d, )?${cpu}(, \\d)? did not return`),
      )
      const period = machine.rcu.synchronize()
      set(machine.memory, until)
      await Promise.all([period, spinning])
    })
  })

  it('does not wait for a parked CPU', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, word] = words(machine, 2) as [number, number]
      const actor = await start()
      const parked = actor.tell({ do: 'park', word, tells })
      await becomesSet(machine.memory, tells)
      // So many rounds that it does fall asleep in one of them.
      for (let i = 0; i < 3000; i++) await machine.rcu.synchronize({ timeout: 3000 })
      assert.equal(get(machine.memory, word), 0, 'still parked')
      set(machine.memory, word)
      await machine.cpus.call([1], 'wake')
      await parked
    })
  })

  it('ends when the CPU that it waits for dies, or goes offline', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const actor = await start()
      actor.tell({ do: 'spin', until, tells, polls: false, deaf: false }).catch(() => undefined)
      await becomesSet(machine.memory, tells)
      const period = machine.rcu.synchronize()
      await actor.terminate()
      await period
      const leaver = joinAs(machine, 101)
      const second = machine.rcu.synchronize()
      await leaver.offline()
      await second
    })
  })

  it('does not resolve inside the synchronous stretch that called it', async () => {
    const machine = boot()
    let resolved = false
    const period = machine.rcu.synchronize().then(() => (resolved = true))
    assert.equal(resolved, false)
    await period
  })

  it('leaves nothing at the signal that could have ended it', async () => {
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const other = joinAs(machine, 101)
    const { signal } = new AbortController()
    const periods = [1, 2, 3].map(() => machine.rcu.synchronize({ signal, timeout: 30_000 }))
    await Promise.all(periods)
    assert.deepEqual(getEventListeners(signal, 'abort'), [])
    await other.offline()
  })

  it('serves many callers at once', async () => {
    await withMachine({ cpus: 4 }, async (machine, start) => {
      await Promise.all([start(), start()])
      const other = joinAs(machine, 101)
      await Promise.all(
        Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? machine : other).rcu.synchronize()),
      )
    })
  })

  it('is called off by going offline', async () => {
    await withMachine({ cpus: 3 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const actor = await start()
      const spinning = actor.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      const leaver = joinAs(machine, 101)
      const period = rejectsCode(leaver.rcu.synchronize(), 'PERCPU_OFFLINE')
      await leaver.offline()
      await period
      set(machine.memory, until)
      await spinning
    })
  })

  it('never lets a reader see freed memory (real threads, each read verified)', async () => {
    const machine = boot({ cpus: 3, memory: '1 MiB' })
    const [pointer, stop, errors, reads] = words(machine, 4) as [number, number, number, number]
    const slots = [machine.heap.memblock.alloc({ size: 256 }), machine.heap.memblock.alloc({ size: 256 })]
    const fill = (slot: number, value: number) => {
      for (let i = 0; i < 64; i++) store32(machine.memory.i32, slot / 4 + i, value)
    }
    fill(slots[0] ?? 0, 1)
    set(machine.memory, pointer, slots[0])
    const data = { handle: machine.handle, pointer, stop, errors, reads }
    const readers = [0, 1].map(
      () => new Worker(new URL('../support/reader.js', import.meta.url), { workerData: data }),
    )
    for (const reader of readers) machine.supervise(reader)
    await becomesSet(machine.memory, reads)
    for (let round = 2; round < 300; round++) {
      const next = slots[round % 2 === 0 ? 1 : 0] ?? 0
      fill(next, round)
      const old = exchangeAtomic32(machine.memory.i32, pointer / 4, next)
      await machine.rcu.synchronize()
      fill(old, -1)
    }
    addAtomic32(machine.memory.i32, stop / 4, 1)
    await Promise.all(readers.map((reader) => once(reader, 'exit')))
    assert.equal(get(machine.memory, errors), 0)
    assert.ok(get(machine.memory, reads) > 0)
  })
})
