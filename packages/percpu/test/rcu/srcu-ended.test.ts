/**
 * A thread killed at any access of the end of a domain: the domain is there, or another CPU ends
 * it. No memory is lost.
 */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import type { Machine, Srcu } from 'percpu'
import '../support/no-timers.js'
import { forEachAccessAsync, fresh, joinAs, Killed, mem, percpu } from '../support/hooked-percpu.js'
import { inUse, settle } from '../names/support.js'

const { Callbacks } = await import('../../dist/rcu/callbacks.js')
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const Vm = percpu.struct('Vm', { srcu: percpu.SrcuLayout })

interface Ending {
  readonly machine: Machine
  readonly victim: Machine
  /** What is in use without the domain. */
  readonly before: ReturnType<typeof inUse>
  readonly find: Find
}

/** The domain, undefined if nobody can find it. With `isFirst` it is made. */
type Find = (machine: Machine, isFirst?: boolean) => Srcu | undefined

const kinds: Readonly<Record<string, (machine: Machine) => Find>> = {
  'with a name': () => (machine, isFirst) => {
    const { gracePeriods } = machine.watch.inspect()
    return isFirst || gracePeriods.some(({ domain }) => domain === 's') ? machine.srcu('s') : undefined
  },
  'in a struct': (machine) => {
    const address = machine.heap.alloc(Vm.size, { zero: true, persist: true })
    return (machine, isFirst) => {
      try {
        return isFirst ? machine.initSrcu(address) : machine.srcuAt(address)
      } catch (error) {
        assert.match(String(error), /there is no domain|is being cleaned up/)
        return undefined
      }
    }
  },
}

/** A domain that has everything: lists with pages, of two CPUs, and a tree. */
async function prepare(makeFind: (machine: Machine) => Find): Promise<Ending> {
  const machine = fresh({ memory: '1 MiB', cpus: 4 })
  const victim = joinAs(machine, 101)
  const find = makeFind(machine)
  const make = async (): Promise<void> => {
    const domain = find(machine, true)
    for (const each of [machine, victim]) {
      await settle(each)
      void each.rcu.free(each.heap.alloc(64))
      for (let i = 0; i < 3; i++) void find(each)?.free(each.heap.alloc(64))
      await find(each)?.barrier()
    }
    ;(domain as (Srcu & { grow(): void }) | undefined)?.grow()
    for (let turns = 0; turns < 10; turns++) await turn()
  }
  // What the heap, names and lists make once is there.
  await make()
  await find(machine)?.cleanup()
  await settle(machine)
  const before = inUse(machine)
  await make()
  return { machine, victim, before, find }
}

/** Ends the domain on the victim's thread, which is killed at its point number `at`. */
async function killDuringCleanup({ victim, find }: Ending, at: number): Promise<boolean> {
  const views: ReadonlySet<unknown> = new Set(
    Object.values(victim.memory).filter((view) => typeof view === 'object'),
  )
  const thread = { points: 0, isDead: false, onlyLooked: false }
  const before = (name: string, [view]: readonly unknown[]): void => {
    if (!views.has(view)) return
    if (!thread.onlyLooked) thread.isDead ||= thread.points++ === at
    thread.onlyLooked = name.startsWith('load') || name === 'copyOut'
    if (thread.isDead) throw new Killed()
  }
  const domain = find(victim) ?? assert.fail()
  mem.control.before = before
  // What is queued to be freed is for others.
  const kick = mock.method(Callbacks.prototype, 'kick', () => undefined)
  const state = { isDone: false }
  const done = (): void => void (state.isDone = true)
  domain.cleanup().then(done, done)
  for (let turns = 0; !state.isDone && !thread.isDead; turns++) {
    assert.ok(turns < 1000, 'it does not end')
    await turn()
  }
  kick.mock.restore()
  mem.control.before = undefined
  if (thread.isDead) for (const view of views) mem.control.dead.add(view as object)
  return thread.isDead
}

for (const [kind, makeFind] of Object.entries(kinds))
  describe(`the end of a domain ${kind}`, () => {
    it('is finished by others if its thread is killed at any access', async () => {
      let finished = 0
      const points = await forEachAccessAsync(async (at) => {
        const ending = await prepare(makeFind)
        const { machine, victim, find, before } = ending
        const isKilled = await killDuringCleanup(ending, at)
        if (isKilled) machine.cpus.declareDead(victim.cpu)
        else await victim.offline()
        const isThere = find(machine) !== undefined
        for (let turns = 0; turns < 10; turns++) await turn()
        assert.equal(find(machine) !== undefined, isThere, `access ${at}`)
        if (isThere) await find(machine)?.cleanup()
        else finished++
        await settle(machine)
        assert.deepEqual(inUse(machine), before, `access ${at}`)
        find(machine, true)
        return isKilled
      })
      assert.ok(points > 40, `only ${points} points`)
      assert.ok(finished > 20, `only ${finished} of ${points}`)
    })
  })

it('of a domain in a struct leaves one alone that is made there before it is finished', async () => {
  let made = 0
  await forEachAccessAsync(async (at) => {
    let address = 0
    const ending = await prepare((machine) => {
      address = machine.heap.alloc(Vm.size, { zero: true, persist: true })
      return (each, isFirst) => (isFirst ? each.initSrcu(address) : each.srcuAt(address))
    })
    const { machine, victim } = ending
    const isKilled = await killDuringCleanup(ending, at)
    const isGone = (): boolean => {
      try {
        machine.srcuAt(address)
        return false
      } catch (error) {
        return String(error).includes('there is no domain')
      }
    }
    let another: Srcu | undefined
    try {
      if (isKilled && isGone()) another = machine.initSrcu(address)
    } catch (error) {
      assert.match(String(error), /is being cleaned up/)
    }
    if (isKilled) machine.cpus.declareDead(victim.cpu)
    else await victim.offline()
    for (let turns = 0; turns < 10; turns++) await turn()
    await settle(machine)
    if (another === undefined) return isKilled
    made++
    assert.equal(machine.srcuAt(address), another, `access ${at}`)
    await another.free(machine.heap.alloc(64))
    await another.barrier()
    await another.cleanup()
    await settle(machine)
    machine.heap.verify({ quiet: true })
    return isKilled
  })
  assert.ok(made > 0)
})
