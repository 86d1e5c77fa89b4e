/**
 * Two faults: giving a name fails when others can find it already, and then the thread is killed at
 * any later access. The name is given, or not. Who has found it just before may read it until a
 * grace period has passed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import '../support/no-timers.js'
import { fresh, Injected, joinAs, Killed, mem } from '../support/hooked-percpu.js'
import { Cell, inUse, settle } from './support.js'

const { insideOf } = await import('../support/inside.js')

/** Makes an object named 'a'. Its link fails at access `fault`; it dies at access `at`. */
function fail(victim: Machine, fault: number, at: number): { readonly accesses: number; address: number } {
  const { names } = insideOf(victim.memory)
  const { queueMicrotask } = globalThis
  globalThis.queueMicrotask = () => undefined
  const outcome = { accesses: 0, address: 0 }
  mem.control.before = () => {
    const { before } = mem.control
    const number = outcome.accesses++
    if (number >= at) throw new Killed()
    mem.control.before = undefined
    const found = [...names.each('object')].find(({ name }) => name === 'a')?.address ?? 0
    mem.control.before = before
    if (number <= fault) outcome.address = found
    if (number === fault) throw new Injected()
  }
  try {
    victim.objects.create('a', Cell)
  } catch (error) {
    if (!(error instanceof Injected || error instanceof Killed)) throw error
  } finally {
    mem.control.before = undefined
    globalThis.queueMicrotask = queueMicrotask
  }
  if (outcome.accesses > at) mem.control.dead.add(victim.memory.i32)
  return outcome
}

function prepare(): { readonly machine: Machine; readonly victim: Machine } {
  const machine = fresh({ memory: '1 MiB', cpus: 2 })
  const victim = joinAs(machine, 101)
  victim.objects.create('warm', Cell)
  victim.objects.remove('warm')
  return { machine, victim }
}

describe('a thread whose link of a name fails', () => {
  it('loses nothing, and frees nothing too early, if it is killed at any later access', async () => {
    let points = 0
    for (let fault = 0; ; fault++) {
      const { machine, victim } = prepare()
      await settle(victim)
      const { accesses, address } = fail(victim, fault, Infinity)
      await victim.offline()
      await settle(machine)
      if (accesses <= fault) break
      // It fails while others can find it, and not behind what gives the name.
      if (address === 0 || machine.objects.list().some(({ name }) => name === 'a')) continue
      for (let at = fault + 1; at <= accesses; at++, points++) {
        const { machine, victim } = prepare()
        await settle(victim)
        const { blocks } = inUse(machine)
        const { address } = fail(victim, fault, at)
        machine.cpus.declareDead(1)
        const isThere = machine.objects.list().some(({ name }) => name === 'a')
        // Whoever has found it may read it for the rest of this stretch.
        const taken = Array.from({ length: 200 }, () => machine.heap.alloc(128))
        const isFree = taken.some((each) => each <= address && address < each + 128)
        assert.ok(!isFree, `freed too early: fault ${fault}, death ${at}`)
        for (const each of taken) machine.heap.free(each)
        await settle(machine)
        if (isThere) machine.objects.remove('a')
        await settle(machine)
        assert.ok(inUse(machine).blocks <= blocks + 1, `fault ${fault}, death ${at}`)
        machine.objects.create('a', Cell)
      }
    }
    assert.ok(points > 10, `only ${points} points`)
  })
})
