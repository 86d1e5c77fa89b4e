/** The end of a domain whose callbacks another CPU has just begun to look after. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { fresh, joinAs, mem, percpu } from '../support/hooked-percpu.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const Vm = percpu.struct('Vm', { srcu: percpu.SrcuLayout })

/** A domain in a struct that is just being taken away; another CPU has begun to work for it. */
async function ending() {
  const machine = fresh({ stallTimeout: 10 })
  const other = joinAs(machine, 101)
  const address = machine.heap.alloc(Vm.size, { zero: true }) + Vm.offsets.srcu
  const domain = machine.initSrcu(address, { flavour: 'normal' })
  await domain.call(() => undefined)
  const { callbacks } = other.srcuAt(address) as unknown as { callbacks: { kick(): void } }
  await Promise.all([domain.barrier(), other.srcuAt(address).barrier()])
  for (let i = 0; i < 10; i++) await turn()
  const cleaning = domain.cleanup()
  const isListed = () =>
    machine.watch.inspect().gracePeriods.some((each) => each.domain === `srcu at ${address}`)
  for (let tries = 0; isListed(); tries++) {
    assert.ok(tries < 1000, 'it leaves the registry in this stretch')
    await Promise.resolve()
  }
  // It has found the domain before, and does not come to do anything.
  const later = mock.method(globalThis, 'queueMicrotask', () => undefined)
  callbacks.kick()
  later.mock.restore()
  return { machine, other, address, cleaning }
}

describe('the end of a domain', () => {
  it('does not wait for a CPU that died at work for it', { timeout: 8000 }, async () => {
    const { machine, other, address, cleaning } = await ending()
    // Its thread has ended: it does not notice that it is dead.
    mem.control.dead.add(other.memory.i32)
    machine.cpus.declareDead(other.cpu)
    await cleaning
    machine.initSrcu(address)
  })

  it('leaks it if a CPU does not get done with it', { timeout: 8000 }, async () => {
    const { cleaning } = await ending()
    await assert.rejects(cleaning, { code: 'PERCPU_UNANSWERED', message: /do not free the struct/ })
  })
})
