/**
 * A thread killed while it makes something of any kind that has names, or ends it: it is there, or
 * not; everything is whole, and no more memory is lost than the copies of one per-CPU object.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import '../support/no-timers.js'
import { fresh, joinAs } from '../support/hooked-percpu.js'
import { accessesOf, changesOf, inUse, killForGood, kinds, settle } from './support.js'

/** What takes a name away within one stretch, of a thing that may be ended. */
const synchronous: Readonly<Record<string, (machine: Machine) => void>> = {
  ref: (machine) => machine.percpu.remove('ref', 'mine'),
}
const cells = 64

for (const [kind, { make, end }] of Object.entries(kinds)) {
  describe(`a thread killed with a ${kind}`, () => {
    const prepare = async (): Promise<Machine> => {
      const machine = fresh({ memory: '4 MiB', cpus: 2, percpu: { unit: '8 KiB' } })
      make(machine, 'first')
      make(machine, 'second')
      await end(machine, 'second')
      await settle(machine)
      return machine
    }
    /** Kills at some accesses of `run`, each time by another thread, of the same machine. */
    const killAll = async (run: (machine: Machine) => unknown, before: (machine: Machine) => unknown) => {
      const machine = await prepare()
      const used = inUse(machine)
      await before(machine)
      const first = joinAs(machine, 101)
      let pending: unknown
      const points = changesOf(accessesOf(() => (pending = run(first))))
      await pending
      await first.offline()
      let lost = 0
      const every = Math.ceil(points.length / 12)
      for (const at of points.filter((_, i) => i % every === 0 || i > points.length - 6)) {
        await before(machine)
        const victim = joinAs(machine, 101)
        killForGood(() => run(victim), at, victim)
        machine.cpus.declareDead(1)
        await settle(machine)
        // It is there, or is made anew.
        make(machine, 'mine')
        await end(machine, 'mine')
        await settle(machine)
        const now = inUse(machine)
        machine.heap.verify({ quiet: true })
        // What a list of callbacks has once, it keeps.
        assert.ok(now.blocks <= used.blocks + 2, `${now.blocks} blocks after access ${at}`)
        lost += now.copies > used.copies + lost * cells ? 1 : 0
        assert.ok(now.copies <= used.copies + lost * cells, `${now.copies} bytes after access ${at}`)
      }
      assert.ok(lost <= 3, `${lost} times`)
    }
    it('while it makes one', async () => {
      await killAll(
        (machine) => make(machine, 'mine'),
        () => undefined,
      )
    })
    if (kind !== 'srcu')
      it('while it takes the name away', async () => {
        await killAll(synchronous[kind] ?? ((machine) => end(machine, 'mine')), async (machine) => {
          make(machine, 'mine')
          if (kind === 'ref' && !machine.percpu.ref('mine').isDying) await machine.percpu.ref('mine').kill()
        })
      })
  })
}
