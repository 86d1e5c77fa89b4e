/** Threads that block in an `Atomics.wait` of foreign code, with and without `watchWaits`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { boot, join, type Machine } from 'percpu'
import { Tinypool } from 'tinypool'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const { wait } = globalThis.Atomics

/** A wait of foreign code, for a moment. */
function foreignWait(): unknown {
  const now = Reflect.get(globalThis.Atomics, 'wait') as (...args: unknown[]) => unknown
  return now(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

async function startSleeper(machine: Machine, watchWaits: boolean) {
  const word = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL('../support/sleeper.js', import.meta.url), {
    workerData: { handle: machine.handle, watchWaits, word },
  })
  const { reaped } = machine.supervise(worker)
  const [cpu] = (await once(worker, 'message')) as [number]
  // It is about to sleep, or sleeps.
  await setTimeout(20)
  const wake = () => void Reflect.apply(globalThis.Atomics.notify, undefined, [word, 0])
  return { worker, reaped, cpu, wake }
}

describe('a CPU in a bare wait', () => {
  it('is idle if its waits are watched, answers nothing, and goes on as before', async () => {
    const machine = boot({ cpus: 2 })
    const { worker, cpu, wake } = await startSleeper(machine, true)
    await machine.rcu.synchronize({ timeout: 5000 })
    const { deaf } = await machine.cpus.call(cpu, 'anything', { timeout: 5000 })
    assert.deepEqual(deaf, [cpu])
    const ended = once(worker, 'exit')
    const woken = once(worker, 'message')
    wake()
    const [result] = (await woken) as [string]
    assert.equal(result, 'ok')
    await ended
    assert.deepEqual(machine.online, [0])
  })

  it('holds up grace periods otherwise, and is named', async () => {
    const machine = boot({ cpus: 2 })
    const { worker, reaped } = await startSleeper(machine, false)
    await rejectsCode(machine.rcu.synchronize({ timeout: 50 }), 'PERCPU_UNANSWERED', /CPU 1/)
    await worker.terminate()
    assert.deepEqual(await reaped, [1])
    await machine.rcu.synchronize({ timeout: 5000 })
  })

  it('has the wait of its host again when it has gone offline', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101, { watchWaits: true })
    assert.notEqual(globalThis.Atomics.wait, wait)
    await other.offline()
    assert.equal(globalThis.Atomics.wait, wait)
    throwsCode(() => join(machine.handle, { watchWaits: 1 } as never), 'PERCPU_ARGUMENT', /watchWaits/)
  })
})

describe('waits that are watched', () => {
  it('of two machines end in the order in which they came', async () => {
    const [first, second] = [fresh(), fresh()]
    const one = joinAs(first, 101, { watchWaits: true })
    const two = joinAs(second, 101, { watchWaits: true })
    await one.offline()
    assert.equal(foreignWait(), 'timed-out')
    const three = joinAs(first, 101, { watchWaits: true })
    await two.offline()
    assert.equal(foreignWait(), 'timed-out')
    await three.offline()
    assert.equal(Reflect.get(globalThis.Atomics, 'wait'), wait)
  })

  it('pass through below a function that somebody else has put there', async () => {
    const one = joinAs(fresh(), 101, { watchWaits: true })
    const before = Reflect.get(globalThis.Atomics, 'wait') as (...args: unknown[]) => unknown
    let count = 0
    Reflect.set(globalThis.Atomics, 'wait', (...args: unknown[]) => {
      count++
      return before(...args)
    })
    await one.offline()
    assert.equal(foreignWait(), 'timed-out')
    assert.equal(count, 1)
    Reflect.set(globalThis.Atomics, 'wait', wait)
    const two = joinAs(fresh(), 101, { watchWaits: true })
    assert.notEqual(Reflect.get(globalThis.Atomics, 'wait'), wait)
    await two.offline()
    assert.equal(Reflect.get(globalThis.Atomics, 'wait'), wait)
  })

  it('answer no ring in the middle of whatever code waits', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101, { watchWaits: true })
    const answered: number[] = []
    other.cpus.onRing(0, () => {
      answered.push(0)
    })
    machine.cpus.ring(other.cpu, 0)
    foreignWait()
    assert.deepEqual(answered, [])
    while (answered.length === 0) await setTimeout(1)
    assert.deepEqual(answered, [0])
    await other.offline()
  })

  it('do not make a call deaf that is being run', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101, { watchWaits: true })
    other.cpus.registerFunction('wait', () => {
      foreignWait()
    })
    const { ran, deaf } = await machine.cpus.call(other.cpu, 'wait', { timeout: 5000 })
    assert.deepEqual([ran, deaf], [[other.cpu], []])
    await other.offline()
  })
})

describe('the workers of a thread pool in its default settings', () => {
  const filename = new URL('../support/pool-task.js', import.meta.url).href
  const pools = {
    piscina: () => new Piscina({ filename, minThreads: 2, maxThreads: 2 }),
    tinypool: () => new Tinypool({ filename, minThreads: 2, maxThreads: 2 }),
  }
  for (const [name, make] of Object.entries(pools))
    it(`hold up no grace period: ${name}`, async () => {
      const machine = boot({ cpus: 4 })
      const pool = make()
      for (const worker of pool.threads) machine.supervise(worker)
      const { handle } = machine
      const run = (): Promise<unknown> => pool.run({ handle, watchWaits: true })
      for (let round = 0; round < 20; round++) {
        const cpus = await Promise.all(Array.from({ length: 6 }, run))
        assert.ok(cpus.every((cpu) => cpu === 1 || cpu === 2))
        await machine.rcu.synchronize({ timeout: 5000 })
      }
      assert.ok(machine.online.length >= 2)
      await pool.destroy()
      await machine.rcu.synchronize({ timeout: 5000 })
      assert.deepEqual(machine.online, [0])
    })
})
