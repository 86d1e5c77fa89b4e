/**
 * Each operation of the sync layer with its thread killed before its first access, its second, …
 * its last.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { codeOf } from '../support/codes.js'
import { forEachAccess, fresh, joinAs, killAt, killWhere, mem, percpu } from '../support/hooked-percpu.js'
import { assertFree, cells, change, valuesOf } from './support/cpus.js'

const { array, f32, i32, locked, SemaphoreLayout, struct, u16, u8 } = percpu
/** The words that operations change, as fields. */
const Cells = struct('Cells', {
  byte: locked(u8, 'm'),
  half: locked(u16, 'm'),
  real: locked(f32, 'm'),
  bytes: array(locked(u8, 'm'), 4),
  wide: locked(i32, 'm'),
})

describe('a thread killed before any access', () => {
  /** Operations of CPU 1, after CPU 0 made `prepare`. */
  const operations: Readonly<Record<string, (cpu: Machine, word: number) => unknown>> = {
    'lock and unlock': (cpu) => cpu.locks.mutex('m').lock().unlock(),
    tryLock: (cpu) => cpu.locks.mutex('m').tryLock()?.unlock(),
    'a lock that comes in vain': (cpu) => codeOf(() => cpu.locks.mutex('held').lock({ timeout: 0 })),
    'a section': (cpu, word) => cpu.locks.mutex('m').run((section) => change(section, word)),
    'nested sections': (cpu, word) =>
      cpu.locks.mutex('m').run((section) => {
        cpu.locks.mutex('n').run((inner) => change(inner, word))
        section.write32(word, 7)
        change(section, word)
      }),
    'a section of fields': (cpu, word) =>
      cpu.locks.mutex('m').run((section) => {
        const cells = section.at(Cells, word * 4)
        cells.byte++
        cells.half = 7
        cells.real = 0.25
        cells.bytes.set(2, 9)
        cells.wide = 5
        cells.byte = 0
      }),
    'a section that throws': (cpu, word) =>
      codeOf(() =>
        cpu.locks.mutex('m').run((section) => {
          change(section, word)
          throw Object.assign(new Error('no'), { code: 'PERCPU_NO' })
        }),
      ),
    'a seqlock write': (cpu, word) => cpu.locks.seqlock('s').write((section) => change(section, word)),
    'completing and waiting': (cpu) => {
      cpu.locks.completion('c').complete()
      cpu.locks.completion('c').wait({ timeout: 0 })
    },
    notifying: (cpu) => {
      using guard = cpu.locks.mutex('m').lock()
      cpu.locks.condition('d', cpu.locks.mutex('m')).wait(guard, { timeout: 0 })
      cpu.locks.condition('d', cpu.locks.mutex('m')).notify()
    },
    'acquiring and releasing permits': (cpu) => {
      const two = cpu.locks.semaphore('p', 5).acquire(2)
      const one = cpu.locks.semaphore('p', 5).acquire(1)
      two.release()
      one.release()
    },
  }
  function prepare(machine: Machine): number {
    for (const name of ['m', 'n', 'held']) machine.locks.mutex(name)
    machine.locks.seqlock('s')
    machine.locks.completion('c')
    machine.locks.condition('d', machine.locks.mutex('m'))
    machine.locks.semaphore('p', 5)
    machine.locks.mutex('held').lock()
    return cells(machine)
  }
  for (const [name, run] of Object.entries(operations)) {
    it(`of ${name} leaves everything whole and free`, () => {
      const points = forEachAccess((at) => {
        const machine = fresh()
        const word = prepare(machine)
        const before = valuesOf(machine, word)
        const cpu = joinAs(machine, 101)
        const bystander = joinAs(machine, 102)
        const killed = killAt(() => run(cpu, word), at, cpu)
        const after = valuesOf(machine, word)
        if (killed) {
          const permit = bystander.locks.semaphore('p', 5).tryAcquire(1)
          bystander.locks.completion('c').complete()
          assert.equal(machine.cpus.declareDead(1), true)
          permit?.release()
        }
        machine.locks.mutex('held').unlock()
        const values = valuesOf(machine, word)
        if (!killed) assert.deepEqual(values, after)
        else
          assert.ok([before.join(), after.join()].includes(values.join()), `access ${at}: ${values.join()}`)
        for (const mutex of ['m', 'n', 'held']) assertFree(machine, mutex)
        assert.equal(machine.locks.semaphore('p', 5).available, 5, `access ${at}`)
        assert.equal(mem.load32(machine.memory.i32, machine.locks.seqlock('s').address / 4) & 1, 0)
        machine.locks.seqlock('s').read(() => undefined, { timeout: 0 })
        return killed
      })
      assert.ok(points > 2, `only ${points} points`)
    })
  }

  it('of reaping leaves nothing that the next reaper does not finish', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = prepare(machine)
      machine.locks.mutex('held').unlock()
      const before = valuesOf(machine, word)
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      killWhere(
        (die) =>
          victim.locks.mutex('m').run((section) => {
            change(section, word)
            die()
          }),
        victim,
      )
      const killed = killAt(() => reaper.cpus.declareDead(1), at, reaper)
      if (killed) {
        machine.cpus.declareDead(2)
        if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
      }
      assert.deepEqual(valuesOf(machine, word), before, `access ${at}`)
      const guard = machine.locks.mutex('m').tryLock()
      assert.ok(guard?.predecessorDied)
      guard.unlock()
      assertFree(machine, 'm')
      return killed
    })
    assert.ok(points > 20, `only ${points} points`)
  })
})

describe('a semaphore', () => {
  it('gets back what a CPU held that was killed at any access, also when operations are numbered anew', () => {
    // So many operations that the numbers begin anew among those that follow.
    const last = 2 ** 32 - 3
    const points = forEachAccess((at) => {
      const machine = fresh()
      const victim = joinAs(machine, 101)
      const semaphore = victim.locks.semaphore('p', 5)
      mem.storeAtomic32(machine.memory.i32, semaphore.address / 4 + SemaphoreLayout.words.done + 1, last)
      const run = (): void => {
        const two = semaphore.acquire(2)
        const one = semaphore.acquire(1)
        machine.locks.semaphore('p', 5).tryAcquire(1)
        two.release()
        machine.locks.semaphore('p', 5).tryAcquire(1)
        one.release()
      }
      const killed = killAt(run, at, victim)
      if (killed) machine.cpus.declareDead(1)
      const { available, held } = machine.locks.semaphore('p', 5)
      assert.equal(available + held, 5, `after ${last}, killed before access ${at}`)
      return killed
    })
    assert.ok(points > 20, `only ${points} points`)
  })

  it('gets back what a dead CPU held, also when its reaper dies', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      victim.locks.semaphore('p', 5).acquire(3)
      machine.locks.semaphore('p', 5).acquire(1)
      const killed = killAt(() => reaper.cpus.declareDead(1), at, reaper)
      if (killed) {
        machine.locks.semaphore('p', 5).tryAcquire(1)
        machine.cpus.declareDead(2)
        if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
      }
      const { available, held } = machine.locks.semaphore('p', 5)
      assert.equal(available + held, 5, `access ${at}`)
      return killed
    })
    assert.ok(points > 10)
  })
})
