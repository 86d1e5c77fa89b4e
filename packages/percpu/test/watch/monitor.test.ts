/** Monitors, with a clock that moves when the test says so: what they tell, and when they end. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import type { AtomicI32, Machine } from 'percpu'
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

  it('tells of a death once, whether it reaps or finds it at a heartbeat', () => {
    watched((machine, victim, reaper, beat) => {
      const told: (readonly [number, boolean])[] = []
      const monitor = machine.watch.monitor({ interval: 10 })
      monitor.on('died', ({ cpu, postMortem }) => told.push([cpu, postMortem !== undefined]))
      beat()
      reaper.cpus.declareDead(victim.cpu)
      beat()
      beat()
      assert.deepEqual(told, [[1, false]])
      machine.cpus.declareDead(reaper.cpu)
      beat()
      assert.deepEqual(told.slice(1), [[2, true]])
    })
  })

  it('shows a CPU as busy that has not answered for two intervals, and as it was before that', () => {
    watched((machine, victim) => {
      const interval = 60_000
      machine.watch.monitor({ interval })
      victim.poll()
      const place = machine.watch.structs().find(({ name }) => name === `cpu[${victim.cpu}].watch`)
      const area = place?.struct.at(machine.memory, place.address) as unknown as {
        ping: AtomicI32
        pingAt: number
      }
      Object.assign(area, { utilisation: 0.25, beatAt: 1 })
      area.ping.add(1)
      const shownAfter = (intervals: number) => {
        area.pingAt = machine.watch.inspect().at - intervals * interval
        return machine.watch.inspect().cpus[victim.cpu]?.utilisation
      }
      assert.deepEqual([0, 1.9, 2.1, 4].map(shownAfter), [0.25, 0.25, 1, 1])
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
