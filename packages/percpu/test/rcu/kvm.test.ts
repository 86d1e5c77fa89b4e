/**
 * The history of struct kvm, with a good end. It embeds two SRCU domains, which once grew with the
 * number of CPUs, and pushed a field behind them out of reach. Here the same struct embeds the
 * domains that this library has, and they are used.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, SrcuLayout, type AnyStruct, type Machine, type Srcu } from 'percpu'
import { loadU32, storeU32 } from 'percpu/mem'

interface KvmExample {
  readonly kvm: (srcu: AnyStruct) => AnyStruct
}
const { kvm } = (await import(
  new URL('../../../../examples/layout-kvm.js', import.meta.url).href
)) as unknown as KvmExample

/** The contract of the struct is checked here: arch.lpid lies within 15 bits. */
const Kvm = kvm(SrcuLayout)
const offsetOf = (path: string): number =>
  Kvm.fields.find((field) => field.path === path)?.offset ?? assert.fail(path)
const LPID = offsetOf('arch.lpid')
const DOMAINS = [offsetOf('srcu'), offsetOf('irq_srcu')]
const MARK = 0x5a5a5a5a

/** Word indices of the struct without its domains: who made these grow would write there. */
function outside(address: number): number[] {
  const offsets = Array.from({ length: Kvm.size / 4 }, (_, word) => word * 4)
  return offsets
    .filter((at) => !DOMAINS.some((offset) => at >= offset && at < offset + SrcuLayout.size))
    .map((at) => (address + at) / 4)
}

describe('struct kvm with SRCU domains in it', () => {
  it('has arch.lpid within reach of one instruction', () => {
    assert.equal(SrcuLayout.size, 64)
    assert.ok(LPID <= 32767, `${LPID}`)
  })

  for (const cpus of [1, 2, 16, 64, 256])
    it(`keeps its size on a machine of ${cpus} CPUs, whatever its domains take`, async () => {
      const machine = boot({ cpus, memory: '64 MiB' })
      const address = machine.heap.alloc(Kvm.size, { zero: true, persist: true })
      const { u32 } = machine.memory
      for (const word of outside(address)) storeU32(u32, word, MARK)

      const used = machine.percpu.report().usedBytes
      const [srcu, irq] = DOMAINS.map((offset, i) =>
        machine.initSrcu(address + offset, { flavour: i === 0 ? 'fast' : 'normal' }),
      )
      assert.ok(srcu && irq)
      for (const domain of [srcu, irq]) await use(machine, domain)
      // The lists, too, lie elsewhere.
      assert.ok(machine.percpu.report().usedBytes > used)
      assert.ok(outside(address).every((word) => loadU32(u32, word) === MARK))
      for (const domain of [srcu, irq]) await domain.cleanup()
      assert.equal(machine.percpu.report().usedBytes, used)
      machine.heap.free(address)
      machine.heap.verify({ quiet: true })
      await machine.offline()
    })
})

/** As KVM does: memory slots are replaced and freed while somebody walks them. */
async function use(machine: Machine, domain: Srcu): Promise<void> {
  const old = machine.heap.alloc(64)
  const calls: string[] = []
  const section = domain.section()
  void domain.free(old)
  void domain.call(() => calls.push(domain.name))
  await machine.rcu.synchronize()
  await new Promise(setImmediate)
  assert.ok(calls.length === 0 && machine.heap.allocations().some((allocation) => allocation.address === old))
  section.end()
  await domain.barrier({ timeout: 10_000 })
  assert.deepEqual(calls, [domain.name])
  assert.ok(!machine.heap.allocations().some((allocation) => allocation.address === old))
  await domain.synchronize({ timeout: 10_000 })
  await domain.synchronizeExpedited({ timeout: 10_000 })
}
