/** The messages by which CPUs are rung that hear their doorbells so: few, and none too few. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { joinAs } from '../support/machines.js'

/** Keeps the process alive meanwhile: doorbells do not. */
async function soon(promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not heard')), 10_000)
  })
  await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

describe('messages to a CPU that does not answer', () => {
  const sent: unknown[] = []
  class Counted extends BroadcastChannel {
    override postMessage(message: unknown): void {
      sent.push(message)
      super.postMessage(message)
    }
  }
  const countMessages = (t: { after: (f: () => void) => void }): void => {
    const { BroadcastChannel: original } = globalThis
    globalThis.BroadcastChannel = Counted
    t.after(() => (globalThis.BroadcastChannel = original))
    sent.length = 0
  }

  it('do not pile up, and the CPU answers', async (t) => {
    countMessages(t)
    const machine = boot({ cpus: 2, doorbell: 'port' })
    const other = joinAs(machine, 101, { doorbell: 'port' })
    for (let round = 1; round <= 3; round++) {
      sent.length = 0
      let stop = (): void => undefined
      const answered = new Promise<void>((resolve) => (stop = other.cpus.onRing(0, resolve)))
      for (let i = 0; i < 50_000; i++) machine.cpus.ring(1, 0)
      assert.ok(sent.length < 20, `${sent.length} messages in round ${round}`)
      await soon(answered)
      stop()
    }
    await other.offline()
  })

  it('do not pile up while it polls, and it answers rings from its event loop afterwards', async (t) => {
    countMessages(t)
    const machine = boot({ cpus: 2, doorbell: 'port' })
    const other = joinAs(machine, 101, { doorbell: 'port' })
    let rung = 0
    let hear = (): void => undefined
    other.cpus.onRing(0, () => {
      rung++
      hear()
    })
    for (let i = 0; i < 1000; i++) {
      machine.cpus.ring(1, 0)
      other.poll()
    }
    assert.equal(rung, 1000)
    assert.ok(sent.length < 20, `${sent.length} messages`)
    const heard = new Promise<void>((resolve) => (hear = resolve))
    machine.cpus.ring(1, 0)
    await soon(heard)
    await other.offline()
  })

  it('are sent again when it is rung again while it answers', async (t) => {
    // No message is sent only because time has passed.
    t.mock.method(performance, 'now', () => 1)
    const machine = boot({ cpus: 2, doorbell: 'port' })
    const other = joinAs(machine, 101, { doorbell: 'port' })
    let rung = 0
    const twice = new Promise<void>((resolve) => {
      other.cpus.onRing(0, () => {
        if (++rung === 1) machine.cpus.ring(1, 0)
        else resolve()
      })
    })
    machine.cpus.ring(1, 0)
    await soon(twice)
    await other.offline()
  })

  it('are sent again if the first one is lost, though nobody rings after that', async (t) => {
    const { BroadcastChannel: original } = globalThis
    let lost = 0
    globalThis.BroadcastChannel = class extends original {
      override postMessage(message: unknown): void {
        if (lost++ > 0) super.postMessage(message)
      }
    }
    t.after(() => (globalThis.BroadcastChannel = original))
    const machine = boot({ cpus: 2, doorbell: 'port' })
    const other = joinAs(machine, 101, { doorbell: 'port' })
    const answered = new Promise<void>((resolve) => void other.cpus.onRing(0, resolve))
    for (let i = 0; i < 3; i++) machine.cpus.ring(1, 0)
    await soon(answered)
    assert.ok(lost > 1)
    await other.offline()
  })

  it('are sent to the next thread that has the number', async (t) => {
    countMessages(t)
    const machine = boot({ cpus: 2, doorbell: 'port' })
    const first = joinAs(machine, 101, { doorbell: 'port' })
    const { cpu } = first
    machine.cpus.ring(1, 0)
    await first.offline()
    const second = joinAs(machine, 102, { doorbell: 'port' })
    assert.equal(second.cpu, cpu)
    const answered = new Promise<void>((resolve) => second.cpus.onRing(0, resolve))
    machine.cpus.ring(1, 0)
    await soon(answered)
    await second.offline()
  })
})
