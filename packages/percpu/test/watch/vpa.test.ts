/**
 * VPAs on one thread: registration, labelled work, dispatch logs, home nodes, poison, and giving
 * CPUs up.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  boot,
  findDeadlocks,
  POISON_OFFSET,
  struct,
  TRACE_ALL,
  TRACE_PARKS,
  TRACE_WORK,
  u32,
  Vpa,
  type AwaitedLock,
  type LockState,
  type Machine,
} from 'percpu'
import { exchangeAtomic32, storeBigU16, storeBigU32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { insideOf } from '../support/inside.js'
import { joinAs } from '../support/machines.js'
import { words } from '../support/threads.js'

const { Cpu } = await import('../../dist/machine/layouts.js')

const only = (machine: Machine, cpu = 0) => {
  const found = machine.watch.inspect({ dispatches: 84 }).cpus[cpu]
  assert.ok(found)
  return found
}

/** Where PAPR wants each field of an lppaca. */
const papr = {
  desc: 0x0,
  size: 0x4,
  __old_status: 0x9,
  dyn_hw_node_id: 0x18,
  dyn_hw_proc_id: 0x1c,
  vphn_assoc_counts: 0x58,
  cede_latency_hint: 0xb0,
  ebb_regs_in_use: 0xb1,
  dtl_enable_mask: 0xb8,
  donate_dedicated_cpu: 0xb9,
  fpregs_in_use: 0xba,
  pmcregs_in_use: 0xbb,
  wait_state_cycles: 0xd8,
  slb_count: 0xfc,
  idle: 0xfe,
  vmxregs_in_use: 0xff,
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

describe('VPAs', () => {
  it('have the size, alignment and bytes that PAPR wants', () => {
    const machine = boot({ cpus: 5, nodes: 2 })
    assert.equal(Vpa.size, 640)
    assert.deepEqual(Object.fromEntries(Object.entries(Vpa.offsets)), papr)
    const { regions } = machine.heap.memblock.report()
    for (const cpu of machine.cpus.possible) {
      const area = regions.find(({ label }) => label === `vpa ${cpu}`)
      const log = regions.find(({ label }) => label === `dispatch log ${cpu}`)
      assert.ok(area && log)
      assert.equal(area.size, 1024)
      assert.equal(area.address % 128, 0)
      assert.equal(Math.floor(area.address / 4096), Math.floor((area.address + 1023) / 4096))
      assert.equal(log.size, 4096)
      assert.equal(log.address % 4096, 0)
      const { node } = machine.cpus.states()[cpu] ?? {}
      assert.deepEqual([area.node, log.node], [node, node])
    }
    const vpa = machine.watch.registrations.find(0)?.vpa ?? 0
    const bytes = new Uint8Array(machine.memory.buffer, vpa, 6)
    assert.deepEqual([...bytes], [0xd3, 0x97, 0xd7, 0x81, 0x04, 0x00])
  })

  it('are registered while a CPU is online: the log within the VPA', async () => {
    const machine = boot({ cpus: 2 })
    assert.equal(machine.watch.registrations.find(1), undefined)
    const cpu = joinAs(machine, 101)
    const { incarnation, vpa, log } = machine.watch.registrations.find(1) ?? {}
    assert.equal(incarnation, 1)
    assert.ok(vpa && log)
    throwsCode(() => machine.watch.registrations.unregister(1), 'PERCPU_VPA', /dispatch log first/)
    await cpu.offline()
    assert.equal(machine.watch.registrations.find(1), undefined)
    throwsCode(
      () => machine.watch.registrations.registerLog(1, log, 1),
      'PERCPU_VPA',
      /VPA must be registered before/,
    )
  })

  it('are refused when they are not what a supervisor can read', () => {
    const machine = boot({ cpus: 2 })
    const page = machine.heap.memblock.alloc({ size: 8192, align: 4096 })
    const { bytes, byteLength } = machine.memory
    const area = (address: number, size = 1024) => {
      storeBigU32(bytes, address, 0xd397d781)
      storeBigU16(bytes, address + 4, size)
      return address
    }
    const refuses = (address: number, rule: string) =>
      assert.throws(
        () => machine.watch.registrations.register(1, address, 1),
        (error: { code?: string; details?: { rule?: string } }) =>
          error.code === 'PERCPU_VPA' && error.details?.rule === rule,
        rule,
      )
    refuses(area(page + 64), 'alignment')
    refuses(page + 0.5, 'alignment')
    refuses(area(page, 639), 'size')
    refuses(page + 1024, 'descriptor')
    refuses(area(page + 4096 - 512), 'boundary')
    refuses(area(page + 4096 - 512, 640), 'boundary')
    refuses(-128, 'bounds')
    refuses(byteLength, 'bounds')
    assert.equal(machine.watch.registrations.find(1), undefined)
    for (const cpu of [2, -1, 0.5, NaN]) {
      throwsCode(
        () => machine.watch.registrations.register(cpu, area(page), 1),
        'PERCPU_ARGUMENT',
        /not possible/,
      )
      throwsCode(
        () => machine.watch.registrations.registerLog(cpu, page + 4096, 1),
        'PERCPU_ARGUMENT',
        /not possible/,
      )
      throwsCode(() => machine.watch.registrations.unregister(cpu), 'PERCPU_ARGUMENT', /not possible/)
      throwsCode(() => machine.watch.registrations.unregisterLog(cpu), 'PERCPU_ARGUMENT', /not possible/)
      throwsCode(() => machine.watch.registrations.find(cpu), 'PERCPU_ARGUMENT', /not possible/)
    }
    for (const incarnation of [0, -1, 1.5, 2 ** 21])
      throwsCode(() => machine.watch.registrations.register(1, area(page), incarnation), 'PERCPU_ARGUMENT')
    machine.watch.registrations.register(1, area(page + 128, 640), 1)
    refuses(area(page), 'registered')
    // After a crash the next incarnation replaces what is left.
    machine.watch.registrations.register(1, page, 2)
    assert.deepEqual(machine.watch.registrations.find(1), { incarnation: 2, vpa: page, log: undefined })
    throwsCode(
      () => machine.watch.registrations.registerLog(1, page + 64, 2),
      'PERCPU_VPA',
      /multiple of 4096/,
    )
    throwsCode(
      () => machine.watch.registrations.registerLog(1, page + 4096, 2),
      'PERCPU_VPA',
      /instead of 4096/,
    )
    storeBigU32(bytes, page + 4096 + 4, 4096)
    throwsCode(
      () => machine.watch.registrations.registerLog(1, page + 4096, 3),
      'PERCPU_VPA',
      /before the dispatch log/,
    )
    machine.watch.registrations.registerLog(1, page + 4096, 2)
    throwsCode(
      () => machine.watch.registrations.registerLog(1, page + 4096, 2),
      'PERCPU_VPA',
      /unregister that first/,
    )
  })

  it('of CPUs that will never come online are given back', () => {
    const machine = boot({ cpus: 6 })
    const { used, regions } = machine.heap.memblock.report()
    const cpu = joinAs(machine, 101)
    throwsCode(() => machine.cpus.limit(1), 'PERCPU_ARGUMENT', /CPU 1 has a thread/)
    assert.deepEqual(machine.cpus.possible, [0, 1, 2, 3, 4, 5])
    machine.cpus.limit(2)
    assert.deepEqual(machine.cpus.possible, [0, 1])
    assert.deepEqual(machine.cpus.present, [0, 1])
    assert.equal(machine.heap.memblock.report().used, used - 4 * (1024 + 4096))
    assert.equal(machine.heap.memblock.report().regions.length, regions.length - 8)
    throwsCode(() => joinAs(machine, 102), 'PERCPU_NO_FREE_CPU')
    assert.equal(cpu.watch.inspect().cpus.length, 2)
    machine.cpus.limit(2)
    for (const wrong of [0, 7, 1.5]) throwsCode(() => machine.cpus.limit(wrong), 'PERCPU_ARGUMENT')
  })

  it('tell a CPU that its home node changed', () => {
    const machine = boot({ cpus: 4, nodes: 2 })
    const cpu = joinAs(machine, 101)
    assert.equal(cpu.watch.homeNode, 0)
    machine.watch.setHomeNode(1, 1)
    assert.equal(cpu.watch.homeNode, 1)
    assert.equal(machine.watch.inspect().cpus[1]?.homeNode, 1)
    for (let i = 0; i < 256; i++) machine.watch.setHomeNode(1, i % 2)
    assert.equal(cpu.watch.homeNode, 1)
    throwsCode(
      () => machine.watch.setHomeNode(1, 2),
      'PERCPU_ARGUMENT',
      /node: 2 is not a whole number from 0 to 1/,
    )
  })

  it('ring the CPU if its home node is another one than before, and only then', () => {
    const machine = boot({ cpus: 2, nodes: 2 })
    joinAs(machine, 101)
    const bell = insideOf(machine.memory).table.record(1) + Cpu.words.bell
    const isRung = (node: number): boolean => {
      exchangeAtomic32(machine.memory.i32, bell, 0)
      machine.watch.setHomeNode(1, node)
      return exchangeAtomic32(machine.memory.i32, bell, 0) !== 0
    }
    assert.deepEqual([1, 0, 0, 1].map(isRung), [false, true, false, true])
  })

  it('begin with an empty dispatch log, as its index says', async () => {
    const machine = boot({ cpus: 2 })
    const index = (): number => {
      const { vpa } = machine.watch.registrations.find(1) ?? assert.fail()
      return new DataView(machine.memory.buffer).getUint32(vpa + Vpa.offsets.dtl_idx + 4)
    }
    const cpu = joinAs(machine, 101)
    assert.equal(index(), 0)
    machine.watch.trace(1, TRACE_WORK)
    cpu.run('work', () => undefined)
    assert.equal(index(), 1)
    await cpu.offline()
    joinAs(machine, 102)
    assert.equal(index(), 0)
  })
})

describe('the handle of a CPU', () => {
  it('reads poison and a null VPA once the incarnation of its CPU is over', async () => {
    const machine = boot({ cpus: 3 })
    const leaver = joinAs(machine, 101)
    joinAs(machine, 102)
    const left = machine.watch.areasOf(1)
    const dead = machine.watch.areasOf(2)
    const own = leaver.watch.areasOf(1)
    assert.equal(left.vpa, machine.watch.registrations.find(1)?.vpa)
    assert.ok(left.dataOffset > 0)
    assert.equal(machine.watch.areasOf(1), left)
    await leaver.offline()
    machine.cpus.declareDead(2)
    joinAs(machine, 103)
    for (const handle of [left, dead, own]) {
      assert.equal(handle.dataOffset, POISON_OFFSET)
      assert.equal(handle.vpa, null)
    }
    assert.equal(POISON_OFFSET.toString(16).slice(0, 8), 'edeaddea')
    const Word = struct('Word', { value: u32 })
    assert.throws(() => Word.at(machine.memory, own.dataOffset))
    assert.notEqual(machine.watch.areasOf(1).vpa, null)
  })
})

describe('labelled work', () => {
  it('is visible while it runs, nested, and gone however it ends', () => {
    const machine = boot({ cpus: 1 })
    for (const mask of [0, TRACE_WORK]) {
      machine.watch.trace(0, mask)
      const label = () => only(machine).work?.label
      const result = machine.run('outer', () => {
        assert.equal(label(), 'outer')
        assert.equal(only(machine).activity, 'working')
        assert.throws(() =>
          machine.run('inner', () => {
            assert.equal(label(), 'inner')
            throw new Error('inside')
          }),
        )
        assert.equal(label(), 'outer')
        return 42
      })
      assert.equal(result, 42)
      assert.equal(label(), undefined)
    }
    assert.deepEqual(
      only(machine).dispatches.map(({ kind, label, failed }) => [kind, label, failed]),
      [
        ['work', 'inner', true],
        ['work', 'outer', false],
      ],
    )
    assert.equal(only(machine).runs, 4)
  })

  it('has a beginning only if somebody wanted to know the time when it began', () => {
    const machine = boot({ cpus: 1 })
    const since = () => only(machine).work?.since
    machine.run('untimed', () => {
      machine.watch.trace(0, TRACE_WORK)
      machine.poll()
      assert.equal(since(), undefined)
      machine.run('timed', () => {
        const begun = since()
        assert.ok(begun !== undefined && begun > 0 && begun <= machine.watch.inspect().at)
        machine.watch.trace(0, 0)
        machine.poll()
        // Not the time of the work around it.
        machine.run('untimed again', () => assert.equal(since(), undefined))
      })
      assert.equal(only(machine).work?.label, 'untimed')
      assert.equal(since(), undefined)
    })
    assert.equal(only(machine).runs, 3)
  })

  it('that is asynchronous is pending until it settles', async () => {
    const machine = boot({ cpus: 1 })
    machine.watch.trace(0, TRACE_WORK)
    let finish: (value: number) => void = () => undefined
    const good = machine.run('fetch', () => new Promise<number>((resolve) => (finish = resolve)))
    const bad = machine.run('fail', async () => {
      await Promise.resolve()
      throw new TypeError('failed')
    })
    assert.equal(only(machine).work, undefined)
    assert.deepEqual(
      only(machine).pending.map(({ label }) => label),
      ['fetch', 'fail'],
    )
    assert.ok((only(machine).pending[0]?.since ?? 0) > 0)
    await assert.rejects(bad, TypeError)
    finish(7)
    assert.equal(await good, 7)
    assert.deepEqual(only(machine).pending, [])
    const entries = only(machine).dispatches.map(({ kind, label, failed }) => [kind, label, failed])
    assert.deepEqual(entries, [
      ['async work', 'fail', true],
      ['async work', 'fetch', false],
    ])
    const many = Array.from({ length: 20 }, () => machine.run('many', () => Promise.resolve()))
    assert.equal(only(machine).pending.length, 16)
    assert.equal(only(machine).pendingLost, 4)
    await Promise.all(many)
    assert.deepEqual(only(machine).pending, [])
  })

  it('beyond the table of labels is not lost, and a label that is too long is refused', () => {
    const machine = boot({ cpus: 1 })
    const work = () => assert.fail('it has no label')
    for (const label of ['ü'.repeat(23), 'x'.repeat(45), '\ud800', ''])
      throwsCode(() => machine.run(label, work), 'PERCPU_ARGUMENT', /label: /)
    machine.run('ü'.repeat(22), () => assert.equal(only(machine).work?.label, 'ü'.repeat(22)))
    for (let i = 0; i < 200; i++) machine.run(`label ${i}`, () => undefined)
    machine.run('label 3', () => assert.equal(only(machine).work?.label, 'label 3'))
    machine.run('label 199', () => assert.equal(only(machine).work?.label, '(other labels)'))
  })
})

describe('dispatch logs', () => {
  it('are off by default, and stay as they were set for the next thread', async () => {
    const machine = boot({ cpus: 2 })
    const first = joinAs(machine, 101)
    first.run('unseen', () => undefined)
    assert.deepEqual(only(machine, 1).dispatches, [])
    machine.watch.trace(1, TRACE_WORK)
    first.run('seen', () => undefined)
    assert.equal(only(machine, 1).dispatches.length, 1)
    await first.offline()
    assert.deepEqual(only(machine, 1).dispatches, [])
    const second = joinAs(machine, 102)
    second.run('next', () => undefined)
    assert.deepEqual(
      only(machine, 1).dispatches.map(({ label }) => label),
      ['next'],
    )
    machine.watch.trace(1, 0)
    second.run('unseen', () => undefined)
    assert.equal(only(machine, 1).dispatches.length, 1)
    throwsCode(() => machine.watch.trace(0, 16), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.watch.trace(2, 1), 'PERCPU_ARGUMENT')
  })

  it('show parks, wakes, deaf stretches and doorbells, with yield_count odd meanwhile', () => {
    const machine = boot({ cpus: 2 })
    const [word = 0] = words(machine, 1)
    machine.watch.trace(0, TRACE_ALL)
    const yields = () => only(machine).yieldCount
    const from = yields() ?? 0
    machine.cpus.park(word, 0, 1)
    machine.cpus.deaf(() => {
      assert.equal(yields(), from + 3)
      assert.equal(only(machine).activity, 'deaf')
    })
    assert.equal(yields(), from + 4)
    machine.cpus.ring(0, 3)
    machine.poll()
    const entries = only(machine).dispatches.filter(({ kind }) => kind !== 'doorbell')
    assert.deepEqual(
      entries.map(({ kind, subject }) => [kind, subject]),
      [
        ['park', word],
        ['wake', word],
        ['park', 0],
        ['wake', 0],
      ],
    )
    assert.ok((entries[1]?.duration ?? 0) > 0)
    const doorbell = only(machine).dispatches.findLast(({ kind }) => kind === 'doorbell')
    assert.equal((doorbell?.subject ?? 0) & (1 << 11), 1 << 11)
  })

  it('hold the last 84 entries, and only of the kinds asked for', () => {
    const machine = boot({ cpus: 1 })
    machine.watch.trace(0, TRACE_PARKS)
    machine.run('not asked for', () => undefined)
    assert.deepEqual(only(machine).dispatches, [])
    machine.watch.trace(0, TRACE_WORK)
    for (let i = 0; i < 300; i++) machine.run(`label ${i % 100}`, () => undefined)
    const labels = only(machine).dispatches.map(({ label }) => label)
    assert.deepEqual(
      labels,
      Array.from({ length: 84 }, (_, i) => `label ${16 + i}`),
    )
    const vpa = Vpa.at(machine.memory, machine.watch.registrations.find(0)?.vpa ?? 0)
    assert.equal(vpa.dtl_idx, 300n)
  })
})

describe('deadlocks', () => {
  const waits = (owner: number | undefined, blocking = true): AwaitedLock => ({
    address: 64,
    owner,
    blocking,
  })
  const graph = (edges: Record<number, AwaitedLock[]>) =>
    findDeadlocks(
      new Map(
        Object.entries(edges).map(([cpu, awaited]): [number, LockState] => [
          Number(cpu),
          { owned: [], awaited },
        ]),
      ),
    ).map(({ cpus, certain }) => [...cpus, certain])

  it('are circles of waits, each named once', () => {
    assert.deepEqual(graph({ 0: [waits(1)], 1: [waits(0)], 2: [waits(0)] }), [[0, 1, true]])
    assert.deepEqual(graph({ 3: [waits(1)], 1: [waits(2)], 2: [waits(3)] }), [[1, 2, 3, true]])
    assert.deepEqual(graph({ 0: [waits(1)], 1: [waits(2)], 2: [waits(undefined)] }), [])
    assert.deepEqual(graph({ 0: [waits(1, false)], 1: [waits(0)] }), [[0, 1, false]])
    assert.deepEqual(graph({ 0: [waits(0, false)], 1: [waits(1)] }), [[1, true]])
    assert.deepEqual(graph({ 0: [waits(1), waits(2)], 1: [waits(0)], 2: [waits(0)] }), [
      [0, 1, true],
      [0, 2, true],
    ])
  })

  it('name each CPU that is in a circle, by a shortest one', () => {
    assert.deepEqual(graph({ 0: [waits(1)], 1: [waits(2), waits(0)], 2: [waits(0)] }), [
      [0, 1, true],
      [0, 1, 2, true],
    ])
    assert.deepEqual(graph({ 0: [waits(1)], 1: [waits(2)], 2: [waits(3)], 3: [waits(1)] }), [[1, 2, 3, true]])
    assert.deepEqual(graph({ 0: [waits(0), waits(1)], 1: [waits(1, false), waits(0)] }), [
      [0, true],
      [0, 1, true],
    ])
  })

  it('are few, however many CPUs wait for each other', () => {
    class Counted extends Map<number, LockState> {
      looks = 0
      override get(cpu: number): LockState | undefined {
        this.looks++
        return super.get(cpu)
      }
    }
    const states = new Counted()
    for (let cpu = 0; cpu < 256; cpu++) {
      const others = Array.from({ length: 32 }, (_, i) => (cpu + 1 + i) % 256)
      states.set(cpu, { owned: [], awaited: others.map((owner) => waits(owner, false)) })
    }
    const found = findDeadlocks(states)
    assert.ok(found.length <= 256)
    assert.deepEqual(new Set(found.flatMap(({ cpus }) => cpus)), new Set(states.keys()))
    assert.ok(states.looks <= 256 * 257, `${states.looks} looks`)
  })
})

describe('after offline', () => {
  it('nothing of a machine can be looked at any more', async () => {
    const machine = boot({ cpus: 2 })
    await machine.offline()
    await rejectsCode(
      Promise.resolve().then(() => machine.watch.trace(0, 1)),
      'PERCPU_OFFLINE',
    )
    throwsCode(() => machine.watch.inspect(), 'PERCPU_OFFLINE')
    throwsCode(() => machine.run('x', () => 1), 'PERCPU_OFFLINE')
    throwsCode(() => machine.watch.homeNode, 'PERCPU_OFFLINE')
  })
})
