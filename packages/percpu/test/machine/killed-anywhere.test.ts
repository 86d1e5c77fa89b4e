/**
 * Each synchronous operation of the machine, with its thread ended before its first memory access, its second, … its last.
 * After reaping, the operation has happened or has not, nothing is lost, and the number can be used again.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, killAt, mem, percpu } from './support/hooked-percpu.js'

const { boot, join, struct, atomic, i32 } = percpu
const Cell = struct('Cell', { value: atomic(i32) })
const spec = { type: 'Cell', layout: Cell }
const fresh = () => boot({ memory: '512 KiB', cpus: 3 })
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
const used = (machine: Machine) => machine.memblock.report().used

/** CPU 1 is free again and works as if nothing had been. */
async function assertWhole(machine: Machine, thread: number): Promise<void> {
  assert.deepEqual(machine.present, [0])
  assert.deepEqual(machine.online, [0])
  const next = joinAs(machine, thread)
  assert.equal(next.cpu, 1)
  const before = used(machine)
  const address = next.memblock.alloc({ size: 640, zero: true })
  assert.ok(mem.copyOut(machine.memory, address, 640).every((byte) => byte === 0))
  next.memblock.free(address)
  assert.equal(used(machine), before)
  let ran = 0
  next.registerFunction('probe', (argument) => (ran += argument))
  const call = machine.callFunctionMany([1], 'probe', { argument: 1, timeout: 10_000 })
  assert.deepEqual((await call).ran, [1])
  assert.equal(ran, 1)
  await machine.synchronize({ timeout: 10_000 })
  await next.offline()
}

describe('a thread killed before any access', () => {
  it('of join loses no CPU', async () => {
    const machines: Machine[] = []
    const points = forEachAccess((at) => {
      const machine = fresh()
      machines.push(machine)
      const killed = killAt(() => joinAs(machine, 101), at)
      // Only a thread that had claimed the number has left a trace of itself.
      if (machine.present.includes(1)) assert.equal(machine.declareDead(1), true)
      return killed
    })
    assert.ok(points > 20)
    for (const machine of machines.slice(0, -1)) await assertWhole(machine, 102)
  })

  /** Operations of CPU 1; `check` is told how much memory was in use before. */
  const operations: Readonly<
    Record<
      string,
      { prepare?: (cpu: Machine) => number; run: (cpu: Machine, given: number) => unknown; check: Check }
    >
  > = {
    'memblock.alloc': {
      run: (cpu) => cpu.memblock.alloc({ size: 4096 }),
      check: (machine, { before }) => assert.equal(used(machine), before),
    },
    'memblock.keep': {
      prepare: (cpu) => cpu.memblock.alloc({ size: 4096 }),
      run: (cpu, address) => cpu.memblock.keep(address),
      check: (machine, { before }) => assert.ok([before, before - 4096].includes(used(machine))),
    },
    'memblock.free': {
      prepare: (cpu) => {
        const address = cpu.memblock.alloc({ size: 4096 })
        cpu.memblock.keep(address)
        return address
      },
      run: (cpu, address) => cpu.memblock.free(address),
      check: (machine, { before }) => assert.ok([before, before - 4096].includes(used(machine))),
    },
    'objects.create': {
      run: (cpu) => cpu.objects.create('cell', spec),
      check: (machine, { before }) => {
        const objects = machine.objects.list()
        if (objects.length === 0) {
          assert.equal(used(machine), before)
          machine.objects.create('cell', spec)
        }
        assert.equal(used(machine), before + 192)
        assert.equal(Cell.at(machine.memory, machine.objects.open('cell', spec)).value.load(), 0)
        assert.equal(machine.memblock.report().regions.at(-1)?.owner, undefined)
      },
    },
    ring: {
      run: (cpu) => cpu.ring([0, 1], 5),
      check: () => undefined,
    },
    park: {
      prepare: (cpu) => cpu.memblock.alloc({ size: 4 }),
      run: (cpu, address) => cpu.park(address, 0, 0),
      check: () => undefined,
    },
    deaf: {
      run: (cpu) => cpu.deaf(() => undefined),
      check: () => undefined,
    },
  }
  type Check = (machine: Machine, given: { before: number }) => void

  for (const [name, { prepare, run, check }] of Object.entries(operations)) {
    it(`of ${name} leaves the machine whole`, async () => {
      const machines: Machine[] = []
      const points = forEachAccess((at) => {
        const machine = fresh()
        const cpu = joinAs(machine, 101)
        const given = prepare?.(cpu) ?? 0
        const before = used(machine)
        const killed = killAt(() => run(cpu, given), at, cpu)
        if (!killed) return false
        machines.push(machine)
        assert.equal(machine.declareDead(1), true)
        check(machine, { before })
        return true
      })
      assert.ok(points >= 4, `only ${points} accesses`)
      for (const machine of machines) await assertWhole(machine, 102)
    })
  }

  /** A grace period and a call that wait for CPU 1 while it is killed in the middle of announcing its progress. */
  for (const [name, run] of Object.entries<(cpu: Machine) => unknown>({
    poll: (cpu) => cpu.poll(),
    park: (cpu) => cpu.park(4096, 0, 0),
    deaf: (cpu) => cpu.deaf(() => undefined),
    offline: (cpu) => cpu.offline().catch(() => undefined),
  })) {
    it(`of ${name} leaves nobody waiting`, async () => {
      const ends: Promise<unknown>[] = []
      let at = 0
      for (let killed = true; killed; at++) {
        const machine = fresh()
        const cpu = joinAs(machine, 101)
        const period = machine.synchronize({ timeout: 10_000 })
        const call = machine.callFunctionMany(1, 'unknown', { timeout: 10_000 })
        for (let i = 0; i < 3; i++) await Promise.resolve()
        killed = killAt(() => run(cpu), at, cpu)
        if (killed) assert.equal(machine.declareDead(1), true)
        ends.push(period, call)
      }
      assert.ok(at > 1, `only ${at} accesses`)
      await Promise.all(ends)
    })
  }

  it('of answering a call is reported as gone, or has run it', async () => {
    const ends: Promise<void>[] = []
    let at = 0
    for (let killed = true; killed; at++) {
      const machine = fresh()
      const cpu = joinAs(machine, 101)
      const address = machine.memblock.alloc({ size: 4 })
      cpu.registerFunction('add', () => mem.addAtomic32(cpu.memory.i32, address / 4, 1))
      const call = machine.callFunctionMany([1], 'add')
      await Promise.resolve()
      await Promise.resolve()
      killed = killAt(() => cpu.poll(), at, cpu)
      if (killed) assert.equal(machine.declareDead(1), true)
      ends.push(
        call.then(async ({ ran, gone, failed }) => {
          assert.deepEqual(failed, [])
          assert.deepEqual([...ran, ...gone], [1])
          if (ran.length > 0) assert.equal(mem.loadAtomic32(machine.memory.i32, address / 4), 1)
          if (killed) await assertWhole(machine, 102)
        }),
      )
    }
    assert.ok(at > 8, `only ${at} accesses`)
    await Promise.all(ends)
  })
})
