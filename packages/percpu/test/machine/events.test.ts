/** What a machine object tells of by itself, and how what was begun on it ends. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { withMachine } from '../support/threads.js'

/** The next error that nobody catches; the runner does not hear of it. */
function uncaught(): Promise<unknown> {
  const name = 'uncaughtException'
  const listeners = process.listeners(name)
  process.removeAllListeners(name)
  return new Promise((resolve) =>
    process.once(name, (error) => {
      for (const listener of listeners) process.on(name, listener)
      resolve(error)
    }),
  )
}

const { Emitter } = await import('../../dist/machine/events.js')

describe('events', () => {
  it('say whether anybody listens', () => {
    const events = new Emitter<{ a: number; b: number }>('thing', ['a', 'b'])
    assert.equal(events.has('a'), false)
    const off = events.on('a', () => undefined)
    assert.deepEqual([events.has('a'), events.has('b')], [true, false])
    off()
    assert.equal(events.has('a'), false)
  })
})

describe('a machine object', () => {
  it('tells of each CPU that its thread has cleaned up after, with what that was doing', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const died: unknown[] = []
      machine.on('died', ({ cpu, incarnation, postMortem }) =>
        died.push([cpu, incarnation, postMortem?.activity]),
      )
      const actor = await start()
      await actor.terminate()
      assert.deepEqual(died, [[1, 1, 'dead']])
    })
  })

  it('goes on telling when its own CPU has gone offline, as it goes on supervising', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const died: number[] = []
      machine.on('died', ({ cpu }) => died.push(cpu))
      const actor = await start()
      await machine.offline()
      await actor.terminate()
      assert.deepEqual(died, [1])
    })
  })

  it('tells the other listeners when one throws, which surfaces as an uncaught error', async () => {
    const machine = boot({ cpus: 2 })
    const error = new Error('of a listener')
    const told: number[] = []
    machine.on('died', () => {
      throw error
    })
    machine.on('died', ({ cpu }) => told.push(cpu))
    joinAs(machine, 101)
    const surfaced = uncaught()
    machine.cpus.declareDead(1)
    assert.deepEqual(told, [1])
    assert.equal(await surfaced, error)
  })

  it('leaves nothing at the signal of a listener that was let go', () => {
    const machine = boot({ cpus: 1 })
    const { signal } = new AbortController()
    for (let i = 0; i < 100; i++) machine.on('died', () => undefined, { signal })()
    assert.deepEqual(getEventListeners(signal, 'abort'), [])
  })

  it('tells that it has gone offline, once, and lets listeners go', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    const told: unknown[] = []
    leaver.on('offline', (event) => told.push(event))
    leaver.on('offline', () => assert.fail('it was let go'))()
    await leaver.offline()
    assert.deepEqual(told, [{ cpu: 1, incarnation: 1 }])
    throwsCode(
      () => machine.on('other' as never, () => undefined),
      'PERCPU_ARGUMENT',
      /died, offline, stall, callbacksLost and rcuMisuse/,
    )
  })

  it('goes offline at the end of an `await using` block, also if it has before', async () => {
    const machine = boot({ cpus: 2 })
    {
      await using other = joinAs(machine, 101)
      assert.deepEqual(machine.online, [0, other.cpu])
    }
    assert.deepEqual(machine.online, [0])
    const again = joinAs(machine, 101)
    await again.offline()
    await again[Symbol.asyncDispose]()
    await rejectsCode(again.offline(), 'PERCPU_OFFLINE')
  })
})

describe('what was begun on a machine object', () => {
  it('is ended by the function that beginning it returned: hotplug callbacks', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    const downs: string[] = []
    for (const name of ['kept', 'taken back']) {
      const off = leaver.cpus.addHotplug({ name, teardown: () => void downs.push(name) })
      if (name === 'taken back') off()
    }
    await leaver.offline()
    assert.deepEqual(downs, ['kept'])
  })

  it('is ended by the function that beginning it returned: answers to a ring', () => {
    const machine = boot({ cpus: 1 })
    let rings = 0
    const off = machine.cpus.onRing(3, () => {
      rings++
    })
    throwsCode(() => machine.cpus.onRing(3, () => undefined), 'PERCPU_ARGUMENT', /has a handler already/)
    machine.cpus.ring(0, 3)
    machine.poll()
    off()
    machine.cpus.ring(0, 3)
    machine.poll()
    machine.cpus.onRing(3, () => {
      rings += 10
    })
    machine.cpus.ring(0, 3)
    machine.poll()
    assert.equal(rings, 11)
  })
})
