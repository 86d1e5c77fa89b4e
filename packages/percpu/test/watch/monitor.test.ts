/** Monitors, with a clock that moves when the test says so: what they tell, and when they end. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

describe('a monitor', () => {
  /** Three CPUs; CPU 0 watches, and beats when the test says so. */
  function watched(
    run: (machine: Machine, victim: Machine, reaper: Machine, beat: () => void) => void,
  ): void {
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      const machine = fresh()
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      run(machine, victim, reaper, () => {
        mock.timers.tick(10)
      })
    } finally {
      mock.timers.reset()
    }
  }

  it('stopped by a listener of its own beats no more', () => {
    watched((machine, _victim, reaper, beat) => {
      const monitor = machine.watch.monitor({ interval: 10 })
      let told = 0
      monitor.on('died', () => {
        told++
        monitor.stop()
      })
      beat()
      assert.equal(monitor.heartbeats, 2)
      reaper.cpus.declareDead(1)
      beat()
      assert.deepEqual([monitor.heartbeats, told], [3, 1])
      for (let i = 0; i < 5; i++) beat()
      assert.equal(monitor.heartbeats, 3, 'it beats on')
    })
  })

  it('lets `dead` callbacks read the post-mortem: the area is there until the reaper is done', () => {
    watched((machine, victim) => {
      const seen: unknown[] = []
      machine.cpus.addHotplug({
        name: 'look',
        dead: (cpu) =>
          seen.push(
            machine.watch.postMortem(cpu)?.work?.label,
            machine.watch.registrations.find(cpu)?.incarnation,
          ),
      })
      victim.run('its last work', () => machine.cpus.declareDead(1))
      assert.deepEqual(seen, ['its last work', 1])
      assert.equal(machine.watch.postMortem(1), undefined)
    })
  })

  it('keeps no process alive, and neither do the CPUs that it makes beat', () => {
    const keepAlive = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const before = keepAlive()
    const machine = fresh()
    const watched = joinAs(machine, 101)
    const monitor = machine.watch.monitor({ interval: 5 })
    try {
      machine.poll()
      watched.poll()
      assert.equal(keepAlive(), before)
    } finally {
      monitor.stop()
    }
  })
})
