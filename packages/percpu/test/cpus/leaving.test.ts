/** How a CPU leaves: in bounded time, whatever others do, and its work keeps its outcomes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { TRACE_WORK } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import type { Identity } from '../support/actor.js'
import { fresh, joinAs } from '../support/machines.js'
import { becomesSet, withMachine, words } from '../support/threads.js'

const never = (): Promise<void> => new Promise(() => undefined)

describe('offline', () => {
  it('does not wait longer than it is told, and is offline all the same', async () => {
    const controller = new AbortController()
    for (const options of [{ timeout: 20 }, { signal: controller.signal }]) {
      const machine = fresh()
      const cpu = joinAs(machine, 101)
      const others: string[] = []
      const count = (name: string): void => {
        others.push(name)
      }
      cpu.cpus.addHotplug({ name: 'other', teardown: () => count('other') })
      cpu.cpus.addHotplug({ name: 'endless', teardown: never })
      const leaving = cpu.offline(options)
      if (options.signal) controller.abort()
      await rejectsCode(leaving, 'PERCPU_HOTPLUG', /teardown of endless .*: it has not ended in time$/)
      assert.deepEqual(others, ['other'])
      assert.deepEqual(machine.online, [0])
      throwsCode(() => cpu.online, 'PERCPU_OFFLINE')
    }
  })

  it('waits for nothing if its signal has aborted before', async () => {
    for (const hasTeardown of [true, false]) {
      const machine = fresh()
      const cpu = joinAs(machine, 101)
      if (hasTeardown) cpu.cpus.addHotplug({ name: 'endless', teardown: never })
      const leaving = cpu.offline({ signal: AbortSignal.abort() })
      if (hasTeardown) await rejectsCode(leaving, 'PERCPU_HOTPLUG')
      else await leaving
      assert.deepEqual(machine.online, [0])
      throwsCode(() => cpu.online, 'PERCPU_OFFLINE')
    }
  })

  it('is hurried by whoever calls it again', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    cpu.cpus.addHotplug({ name: 'endless', teardown: never })
    const [first, second] = await Promise.allSettled([cpu.offline(), cpu.offline({ timeout: 5 })])
    assert.equal(first.status, 'rejected')
    assert.equal(second.status, 'rejected')
    assert.deepEqual(machine.online, [0])
  })

  it('does not wait without limit for calls that nobody answers', () =>
    withMachine({ cpus: 3 }, async (machine, start) => {
      const actor = await start()
      const { cpu: busy } = await actor.tell<Identity>({ do: 'identify' })
      const [until = 0, tells = 0] = words(machine, 2)
      actor.tell({ do: 'spin', until, tells, polls: false, deaf: false }).catch(() => undefined)
      await becomesSet(machine.memory, tells)
      const cpu = joinAs(machine, 101, { stallTimeout: 30 })
      const call = cpu.cpus.call(busy, 'f').catch(() => undefined)
      await cpu.offline()
      await call
      assert.deepEqual(machine.online, [0, busy])
    }))

  it('is refused to a teardown, which would wait for itself', async () => {
    for (const wait of [(): Promise<void> => Promise.resolve(), (): Promise<void> => setTimeout(5)]) {
      const machine = fresh()
      const cpu = joinAs(machine, 101)
      cpu.cpus.addHotplug({
        name: 'mine',
        teardown: async () => {
          await wait()
          await cpu.offline()
        },
      })
      await rejectsCode(cpu.offline(), 'PERCPU_HOTPLUG', /teardown of mine failed.*must not wait/)
      assert.deepEqual(machine.online, [0])
    }
  })

  it('refuses wrong options, and changes nothing then', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    await rejectsCode(cpu.offline({ timeout: -1 }), 'PERCPU_ARGUMENT')
    await rejectsCode(cpu.offline({ timeOut: 1 } as never), 'PERCPU_ARGUMENT')
    await rejectsCode(cpu.offline({ signal: {} as never }), 'PERCPU_ARGUMENT')
    assert.deepEqual(machine.online, [0, 1])
  })
})

describe('work that outlives the stay of its CPU', () => {
  it('keeps its outcome', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    const value = cpu.run('fetch', () => setTimeout(5, 42))
    const failure = cpu.run('fail', async () => {
      await setTimeout(5)
      throw new Error('mine')
    })
    // In the same stretch: it is rejected while the CPU leaves.
    const failed = assert.rejects(failure, /^Error: mine$/)
    await cpu.run('leave', () => cpu.offline())
    assert.equal(await value, 42)
    await failed
  })

  it('also if it is traced', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    machine.watch.trace(1, TRACE_WORK)
    await setTimeout(5)
    const value = cpu.run('fetch', () => setTimeout(5, 42))
    await cpu.offline()
    assert.equal(await value, 42)
  })
})
