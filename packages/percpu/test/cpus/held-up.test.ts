/** What holds up a grace period and what does not, and who is blamed for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { boot, UnansweredError, type Machine } from 'percpu'
import { loadAtomic32, openMemory } from 'percpu/mem'
import { insideOf } from '../support/inside.js'
import { fresh } from '../support/machines.js'

const { Doorbell } = await import('../../dist/cpus/doorbell.js')
const { GracePeriods } = await import('../../dist/cpus/grace-period.js')
const { COMPLETED } = await import('../../dist/cpus/sequence.js')
const { Header } = await import('../../dist/machine/layouts.js')

/** A CPU without layers. */
function bareCpu(machine: Machine, key: number) {
  const { table } = insideOf(openMemory(machine.handle.buffer))
  const cpu = table.claim(key)
  const doorbell = new Doorbell(table, cpu)
  const gracePeriods = new GracePeriods(table, doorbell, cpu)
  doorbell.start('waitAsync')
  table.setState(cpu, 1, 'online')
  gracePeriods.comeOnline()
  const leave = () => {
    gracePeriods.leave()
    table.release(cpu)
    doorbell.close()
  }
  return { cpu, doorbell, gracePeriods, leave }
}

describe('a grace period', () => {
  it('is not held up by the CPU that began it and polls', async () => {
    const machine = fresh()
    const waiting = machine.rcu.synchronize({ timeout: 5000 })
    machine.poll()
    assert.equal(loadAtomic32(machine.memory.i32, Header.words.rcuSequence) & 3, 0)
    await waiting
  })

  it('that is late blames only CPUs that have been rung for it', async () => {
    const machine = boot({ cpus: 4, fanout: 2 })
    const cpus = [101, 102, 103].map((key) => bareCpu(machine, key))
    // CPU 2 never answers. So CPU 3, of the same leaf, is not rung.
    cpus[1]?.doorbell.mute(true)
    const late = machine.rcu.synchronize({ timeout: 50 })
    await assert.rejects(late, (error) => {
      assert.ok(error instanceof UnansweredError)
      assert.deepEqual(error.details['cpus'], [2])
      return true
    })
    cpus[1]?.doorbell.mute(false)
    cpus[1]?.doorbell.answer()
    await machine.rcu.synchronize({ timeout: 5000 })
    for (const cpu of cpus) cpu.leave()
  })

  it('is not begun for a cookie that is done, however old it is', async () => {
    const { gracePeriods, leave } = bareCpu(fresh(), 101)
    const now = gracePeriods.snap()
    for (const cookie of [COMPLETED, now - 4, now + 40, now + 2 ** 30]) {
      gracePeriods.request(cookie)
      gracePeriods.request(cookie, true)
      await setTimeout(0)
      assert.equal(gracePeriods.snap(), now)
    }
    leave()
  })

  it('comes also if a hook ends another one', () => {
    const { gracePeriods, leave } = bareCpu(fresh(), 101)
    const called: number[] = []
    const end = gracePeriods.onQuiescent(() => {
      called.push(1)
      end()
    })
    gracePeriods.onQuiescent(() => called.push(2))
    gracePeriods.report()
    assert.deepEqual(called, [1, 2])
    leave()
  })
})
