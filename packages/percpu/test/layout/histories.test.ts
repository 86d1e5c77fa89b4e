/**
 * Two layouts from Linux that broke, or must never break: struct kvm's growth, and the lppaca of
 * PAPR.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { LayoutError, type AnyStruct } from 'percpu'
import { copyOut, createBuffer, openMemory } from 'percpu/mem'

interface KvmExample {
  readonly srcuClassic: AnyStruct
  readonly srcuTree: (cpus: number) => AnyStruct
  readonly srcuApart: () => AnyStruct
  readonly kvm: (srcu: AnyStruct) => AnyStruct
  readonly kvmSrcuLast: (srcu: AnyStruct) => AnyStruct
}
interface LppacaExample {
  readonly Lppaca: AnyStruct
  readonly refused: Readonly<Record<string, () => unknown>>
}

function exampleFile(name: string): URL {
  return new URL(`../../../../examples/${name}`, import.meta.url)
}
function output(name: string): string {
  return execFileSync(process.execPath, [fileURLToPath(exampleFile(name))], { encoding: 'utf8' })
}
function offset(layout: AnyStruct, path: string): number | undefined {
  return layout.fields.find((field) => field.path === path)?.offset
}

describe('layout: struct kvm and the growth of srcu_struct', async () => {
  const example = (await import(exampleFile('layout-kvm.js').href)) as unknown as KvmExample
  const { kvm, kvmSrcuLast, srcuApart, srcuClassic, srcuTree } = example

  it('has arch.lpid within reach while srcu_struct is small', () => {
    assert.equal(offset(kvm(srcuClassic), 'arch.lpid'), 17752)
  })

  it('is refused when each srcu_struct grows with 2048 CPUs, naming the field and both numbers', () => {
    const tree = srcuTree(2048)
    assert.equal(tree.size - srcuClassic.size, 14056)
    assert.throws(
      () => kvm(tree),
      (error: unknown) => {
        assert.ok(error instanceof LayoutError)
        const { struct, field, rule, found, allowed } = error.details
        assert.deepEqual(
          { struct, field, rule, found, allowed },
          { struct: 'kvm', field: 'arch.lpid', rule: 'within', found: 45864, allowed: 32767 },
        )
        assert.match(error.message, /struct kvm: field arch\.lpid is at offset 45864, .* at most at 32767/)
        return true
      },
    )
  })

  it('is accepted for few CPUs, which is how it went unnoticed', () => {
    assert.ok((offset(kvm(srcuTree(64)), 'arch.lpid') ?? Infinity) < 32767)
  })

  it('passes with both srcu_structs at the end, whatever their size', () => {
    for (const cpus of [16, 2048, 65536])
      assert.equal(offset(kvmSrcuLast(srcuTree(cpus)), 'arch.lpid'), 17368)
  })

  it('passes with a size that no longer depends on the number of CPUs', () => {
    const lpid = offset(kvm(srcuApart()), 'arch.lpid')
    assert.equal(lpid, 17752 + 2 * (srcuApart().size - srcuClassic.size))
    assert.ok(lpid <= 32767)
  })

  it('runs as an example', () => {
    const text = output('layout-kvm.js')
    for (const number of ['17752', '45864', '32767', '17368']) assert.ok(text.includes(number), number)
  })
})

describe('layout: the lppaca', async () => {
  const { Lppaca, refused } = (await import(exampleFile('layout-lppaca.js').href)) as unknown as LppacaExample

  it('is 640 bytes with its fields where PAPR says', () => {
    assert.deepEqual([Lppaca.size, Lppaca.align, Lppaca.stride], [640, 1024, 1024])
    const papr = {
      desc: 0x000,
      size: 0x004,
      __old_status: 0x009,
      dyn_hw_node_id: 0x018,
      dyn_hw_proc_id: 0x01c,
      vphn_assoc_counts: 0x058,
      cede_latency_hint: 0x0b0,
      ebb_regs_in_use: 0x0b1,
      dtl_enable_mask: 0x0b8,
      donate_dedicated_cpu: 0x0b9,
      fpregs_in_use: 0x0ba,
      pmcregs_in_use: 0x0bb,
      wait_state_cycles: 0x0d8,
      slb_count: 0x0fc,
      idle: 0x0fe,
      vmxregs_in_use: 0x0ff,
      yield_count: 0x100,
      dispersion_count: 0x104,
      cmo_faults: 0x108,
      cmo_fault_time: 0x110,
      enqueue_dispatch_tb: 0x158,
      ready_enqueue_tb: 0x160,
      wait_ready_tb: 0x168,
      page_ins: 0x180,
      dtl_idx: 0x218,
    }
    assert.deepEqual({ ...Lppaca.offsets }, papr)
  })

  it('is big-endian in memory', () => {
    const memory = openMemory(createBuffer(4096))
    const paca = Lppaca.at(memory, 1024) as unknown as Record<string, number | bigint>
    paca['desc'] = 0xd397d781
    paca['size'] = 0x280
    paca['yield_count'] = 1
    paca['dtl_idx'] = 0x0102n
    assert.deepEqual([...copyOut(memory, 1024, 6)], [0xd3, 0x97, 0xd7, 0x81, 0x02, 0x80])
    assert.deepEqual([...copyOut(memory, 1024 + 0x100, 4)], [0, 0, 0, 1])
    assert.deepEqual([...copyOut(memory, 1024 + 0x218, 8)], [0, 0, 0, 0, 0, 0, 1, 2])
    assert.deepEqual([paca['desc'], paca['dtl_idx']], [0xd397d781, 0x0102n])
  })

  it('is refused in every wrong size and alignment, naming both numbers', () => {
    const broken = Object.entries(refused).map(([what, define]) => {
      let details: unknown
      assert.throws(define, (error: unknown) => {
        assert.ok(error instanceof LayoutError)
        const { rule, found, allowed } = error.details
        details = { rule, found, allowed }
        return true
      })
      return [what, details]
    })
    assert.deepEqual(Object.fromEntries(broken), {
      'aligned to a cache line only': { rule: 'noCross', found: 128, allowed: 1024 },
      'a byte longer': { rule: 'size', found: 648, allowed: 640 },
      'a byte of it missing': { rule: 'size', found: 632, allowed: 640 },
      '641 bytes': { rule: 'size', found: 641, allowed: 640 },
      '639 bytes': { rule: 'size', found: 639, allowed: 640 },
    })
  })

  it('runs as an example', () => {
    const text = output('layout-lppaca.js')
    for (const part of ['size: 640, cachelines: 5', 'when it lies at 3584'])
      assert.ok(text.includes(part), part)
  })
})
