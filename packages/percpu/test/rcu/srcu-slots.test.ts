/** Slots of domains that end, when one end fails while another one begins. */
import assert from 'node:assert/strict'
import { it, mock } from 'node:test'
import type { Machine } from 'percpu'
import '../support/no-timers.js'
import { fresh, Injected, interrupt, joinAs, mem, percpu } from '../support/hooked-percpu.js'

const { SrcuEndings } = await import('../../dist/rcu/srcu-endings.js')
const Vm = percpu.struct('Vm', { srcu: percpu.SrcuLayout })

/** What ends domains of a thread. */
async function endingsOf(machine: Machine): Promise<InstanceType<typeof SrcuEndings>> {
  const spy = mock.method(SrcuEndings.prototype, 'endNamed')
  await machine.srcu('any').cleanup()
  spy.mock.restore()
  const found = spy.mock.calls[0]?.this
  assert.ok(found instanceof SrcuEndings)
  return found
}

it('an end that fails leaves the slot that another thread is about to mark', async () => {
  const machine = fresh({ memory: '2 MiB', cpus: 4 })
  const other = joinAs(machine, 101)
  const mine = await endingsOf(machine)
  const its = await endingsOf(other)
  const address = machine.heap.alloc(Vm.size, { zero: true, persist: true })
  let failures = 0
  /** It fails once it has reserved its slot: at the lock of the names. */
  const fail = (words: number): void => {
    mem.control.before = (name) => {
      if (name !== 'compareExchangeAtomic32') return
      mem.control.before = undefined
      throw new Injected()
    }
    its.endNamed('d', words).catch(() => failures++)
    mem.control.before = undefined
  }
  for (let at = 0; ; at++) {
    const domain = machine.srcu('d') as unknown as { readonly words: { readonly words: number } }
    const { words } = domain.words
    let ending: Promise<boolean> | undefined
    const isThere = interrupt(
      () => {
        ending = mine.endNamed('d', words)
      },
      at,
      () => {
        fail(words)
        other.initSrcu(address)
      },
    )
    assert.ok(await ending)
    if (!isThere) break
    const domains = machine.watch.inspect().gracePeriods.map(({ domain }) => domain)
    assert.ok(domains.includes(`srcu at ${address}`), `access ${at}`)
    await other.srcuAt(address).cleanup()
  }
  assert.ok(failures > 0)
})
