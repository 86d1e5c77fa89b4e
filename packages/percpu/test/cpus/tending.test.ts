/** A supervisor that blocks learns of its workers' deaths from the operating system. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, TRACE_PARKS, type Machine, type StallEvent } from 'percpu'
import { loadAtomic32, storeAtomic32 } from 'percpu/mem'
import { becomesSet, words } from '../support/threads.js'
import type { DyingData } from './dying.js'

const options = { skip: process.platform !== 'linux' }

/** A worker that has taken something, and will end soon. */
async function dying(machine: Machine, takes: DyingData['takes']): Promise<Worker> {
  const [taken = 0] = words(machine, 1)
  const data: DyingData = { handle: machine.handle, takes, taken }
  const worker = new Worker(new URL('./dying.js', import.meta.url), { workerData: data })
  await becomesSet(machine.memory, taken)
  return worker
}

describe('a supervisor that blocks', options, () => {
  it('for a mutex of a worker that dies gets it', async () => {
    const machine = boot({ cpus: 2 })
    const died: number[] = []
    machine.on('died', ({ cpu }) => died.push(cpu))
    const { reaped } = machine.supervise(await dying(machine, 'mutex'))
    const mutex = machine.locks.mutex('m')
    mutex.lock({ timeout: 20_000 })
    assert.deepEqual(died, [1])
    assert.equal(mutex.owner?.cpu, 0)
    mutex.unlock()
    assert.deepEqual(await reaped, [1])
    assert.deepEqual(machine.online, [0])
  })

  it('for a grace period goes on when a worker dies in a section', async () => {
    const machine = boot({ cpus: 2 })
    const { reaped } = machine.supervise(await dying(machine, 'section'))
    machine.srcu('s').synchronizeBlocking({ timeout: 20_000 })
    assert.deepEqual(await reaped, [1])
  })

  it('for a grace period of the machine does not wait for one that is dead', async () => {
    const machine = boot({ cpus: 2 })
    const worker = await dying(machine, 'nothing')
    const { reaped } = machine.supervise(worker)
    // Its event is not heard in here.
    const end = performance.now() + 500
    while (performance.now() < end);
    machine.rcu.synchronizeBlocking({ timeout: 20_000 })
    assert.deepEqual(await reaped, [1])
  })
})

it('a supervisor that has declared its worker dead gives that CPU as reaped', options, async () => {
  const machine = boot({ cpus: 2 })
  const worker = await dying(machine, 'nothing')
  const { reaped } = machine.supervise(worker)
  // Its event is not heard in here.
  const end = performance.now() + 500
  while (performance.now() < end);
  assert.ok(machine.cpus.declareDead(1))
  assert.deepEqual(await reaped, [1])
})

describe('a supervisor that parks', options, () => {
  it('is told of as parked on the same word after it has tended its workers', async () => {
    const machine = boot({ cpus: 2 })
    const [word = 0] = words(machine, 1)
    const worker = await dying(machine, 'nothing')
    const { reaped } = machine.supervise(worker)
    machine.watch.trace(0, TRACE_PARKS)
    while (machine.online.length > 1) machine.cpus.park(word, 0, 300)
    await reaped
    const { dispatches = [] } =
      machine.watch.inspect({ dispatches: 84 }).cpus.find(({ cpu }) => cpu === 0) ?? {}
    assert.ok(dispatches.length > 2)
    assert.deepEqual(new Set(dispatches.map(({ subject }) => subject)), new Set([word]))
  })
})

describe('a supervisor that blocks in the middle of something', options, () => {
  it('such as a section gets what the worker held, and tells of its death afterwards', async () => {
    const machine = boot({ cpus: 2 })
    const log: string[] = []
    machine.on('died', ({ cpu }) => log.push(`CPU ${cpu} died`))
    machine.cpus.addHotplug({ name: 'mine', dead: (cpu) => void log.push(`CPU ${cpu} is dead`) })
    const { reaped } = machine.supervise(await dying(machine, 'mutex'))
    const [word = 0] = words(machine, 1)
    machine.locks.mutex('other').run((section) => {
      section.write32(word / 4, 1)
      machine.locks.mutex('m').lock({ timeout: 20_000 }).unlock()
      log.push('got it')
    })
    assert.deepEqual(log, ['got it'])
    // Before the event of its end, which may be long in coming.
    await Promise.resolve()
    assert.deepEqual(log, ['got it', 'CPU 1 is dead', 'CPU 1 died'])
    assert.deepEqual(machine.online, [0])
    assert.deepEqual(await reaped, [1])
  })

  it('such as a handler, too', async () => {
    const machine = boot({ cpus: 2 })
    const { reaped } = machine.supervise(await dying(machine, 'mutex'))
    let got = false
    machine.cpus.onRing(0, () => {
      machine.locks.mutex('m').lock({ timeout: 20_000 }).unlock()
      got = true
    })
    machine.cpus.ring(0, 0)
    machine.poll()
    assert.equal(got, true)
    assert.deepEqual(await reaped, [1])
  })

  it('or that is parked cleans up all the same', async () => {
    const machine = boot({ cpus: 2 })
    const [word = 0] = words(machine, 1)
    machine.on('died', () => storeAtomic32(machine.memory.i32, word / 4, 1))
    machine.supervise(await dying(machine, 'mutex'))
    const end = performance.now() + 20_000
    while (loadAtomic32(machine.memory.i32, word / 4) === 0 && performance.now() < end)
      machine.cpus.park(word, 0, 20_000)
    assert.equal(loadAtomic32(machine.memory.i32, word / 4), 1)
    assert.deepEqual(machine.online, [0])
  })
})

describe('a worker that nobody supervises', options, () => {
  it('is told to have ended, and cleaned up after, by who waits for it', async () => {
    const machine = boot({ cpus: 2, stallTimeout: 50 })
    await dying(machine, 'section')
    await setTimeout(500)
    const stalls: StallEvent[] = []
    machine.on('stall', (stall) => stalls.push(stall))
    await machine.srcu('s').synchronize({ timeout: 20_000 })
    const [cpu] = stalls[0]?.cpus ?? []
    assert.equal(cpu?.thread, 'gone')
    assert.match(stalls[0]?.text ?? '', /its thread has ended/)
    assert.deepEqual(machine.online, [0])
  })
})
