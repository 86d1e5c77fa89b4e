/**
 * Pairs of operations of two CPUs: one of them runs completely before the first access of the other, before its second, … and
 * after its last. Every outcome must be one that two operations one after the other could have had.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, interrupt, mem, percpu } from './support/hooked-percpu.js'
import { settles } from './support/settle.js'

const { boot, join, struct, atomic, i32 } = percpu
const Cell = struct('Cell', { value: atomic(i32) })
const spec = { type: 'Cell', layout: Cell }
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}

/** A machine with CPUs 0, 1 and 2 online, all of them on this thread. */
function three(cpus = 4): readonly [Machine, Machine, Machine] {
  const machine = boot({ memory: '512 KiB', cpus })
  return [machine, joinAs(machine, 101), joinAs(machine, 102)]
}
function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a thread that joins while another one', () => {
  it('boots finds no machine, or a whole one', () => {
    const { handle } = boot({ memory: '512 KiB', cpus: 2 })
    const outcomes: string[] = []
    let seen: SharedArrayBuffer | undefined
    mem.control.before = (name, [target]) => {
      seen ??= (target as { buffer?: SharedArrayBuffer }).buffer
      const { before } = mem.control
      mem.control.before = undefined
      const buffer = seen
      if (buffer) outcomes.push(codeOf(() => join({ ...handle, buffer })))
      mem.control.before = before
      // Whole, it says that this thread has joined it: as the CPU that boots it.
      const isPublished = outcomes.includes('PERCPU_ALREADY_JOINED')
      const expected = isPublished ? 'PERCPU_ALREADY_JOINED' : 'PERCPU_FOREIGN_BUFFER'
      if (buffer) assert.equal(outcomes.at(-1), expected, `before access ${outcomes.length}`)
    }
    try {
      boot({ memory: '512 KiB', cpus: 2 })
    } finally {
      mem.control.before = undefined
    }
    assert.deepEqual([...new Set(outcomes)], ['PERCPU_FOREIGN_BUFFER', 'PERCPU_ALREADY_JOINED'])
  })

  it('joins gets another number', () => {
    const points = forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 3 })
      const cpus: number[] = []
      const done = interrupt(
        () => cpus.push(joinAs(machine, 101).cpu),
        at,
        () => cpus.push(joinAs(machine, 102).cpu),
      )
      if (done) assert.deepEqual([...cpus].sort(), [1, 2])
      return done
    })
    assert.ok(points > 20)
  })

  it('leaves gets a whole number', () => {
    forEachAccess((at) => {
      const [machine] = three(3)
      let joined: Machine | undefined
      const done = interrupt(
        () => machine.declareDead(2),
        at,
        () => {
          if (codeOf(() => (joined = joinAs(machine, 103))) !== 'none') joined = undefined
        },
      )
      if (joined) {
        assert.equal(joined.cpu, 2)
        assert.deepEqual(machine.cpus()[2], { cpu: 2, node: 0, state: 'online', incarnation: 2 })
      } else if (done) {
        assert.deepEqual(machine.present, [0, 1])
      }
      return done
    })
  })

  it('rings it is rung from the moment on at which it is online', () => {
    forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 2 })
      const seen = { online: false }
      const joined: Machine[] = []
      const done = interrupt(
        () => joined.push(joinAs(machine, 101)),
        at,
        () => {
          seen.online = machine.online.includes(1)
          machine.ring(1, 0)
        },
      )
      let rung = 0
      for (const cpu of joined) {
        cpu.onRing(0, () => rung++)
        cpu.poll()
      }
      assert.equal(rung, seen.online ? 1 : 0)
      return done
    })
  })
})

describe('memblock', () => {
  const regions = (machine: Machine) => machine.memblock.report().regions

  it('changed by one CPU in the middle of a change by another one has both changes', () => {
    const points = forEachAccess((at) => {
      const [machine, first, second] = three()
      const freed = second.memblock.alloc({ size: 128 })
      const addresses: number[] = []
      const done = interrupt(
        () => addresses.push(first.memblock.alloc({ size: 256 })),
        at,
        () => {
          addresses.push(second.memblock.alloc({ size: 512 }))
          second.memblock.free(freed)
        },
      )
      if (!done) return false
      assert.equal(new Set(addresses).size, 2)
      assert.deepEqual(
        regions(machine)
          .filter(({ owner }) => owner !== undefined)
          .map(({ size }) => size)
          .sort((a, b) => a - b),
        [256, 512],
      )
      return true
    })
    assert.ok(points > 50)
  })

  it('reported in the middle of changes is as it was before or after one', () => {
    const points = forEachAccess((at) => {
      const [machine, first] = three()
      const addresses = [1, 2, 3].map((units) =>
        first.memblock.alloc({ size: 64 * units, label: `x${units}` }),
      )
      const snapshot = () =>
        regions(machine)
          .map(({ address, size, label }) => `${label}@${address}+${size}`)
          .join()
      const allowed = [snapshot()]
      let report = ''
      const done = interrupt(
        () => (report = snapshot()),
        at,
        () => {
          for (const address of addresses) {
            first.memblock.free(address)
            allowed.push(snapshot())
          }
          first.memblock.alloc({ size: 640, label: 'y' })
          allowed.push(snapshot())
        },
      )
      if (done) assert.ok(allowed.includes(report), `torn: ${report}`)
      return done
    })
    assert.ok(points > 20)
  })

  it('is found whole by a reader in the middle of a change', () => {
    forEachAccess((at) => {
      const [machine, first] = three()
      const before = regions(machine).length
      let seen: readonly string[] = []
      const done = interrupt(
        () => first.memblock.alloc({ size: 64, label: 'new' }),
        at,
        () => (seen = regions(machine).map(({ label }) => label)),
      )
      if (done)
        assert.ok(seen.length === before || (seen.length === before + 1 && seen.includes('new')), seen.join())
      return done
    })
  })
})

describe('the directory', () => {
  it('has each name once, whoever creates it in the middle of whom', () => {
    const points = forEachAccess((at) => {
      const [machine, first, second] = three()
      const before = machine.memblock.report().used
      const codes: string[] = []
      const done = interrupt(
        () => codes.push(codeOf(() => first.objects.create('same', spec))),
        at,
        () => codes.push(codeOf(() => second.objects.create('same', spec))),
      )
      if (!done) return false
      assert.deepEqual(codes.sort(), ['PERCPU_OBJECT_EXISTS', 'none'])
      assert.equal(machine.objects.list().length, 1)
      assert.equal(machine.memblock.report().used, before + 192)
      return true
    })
    assert.ok(points > 50)
  })

  it('shows an object whole or not at all', () => {
    forEachAccess((at) => {
      const [machine, first] = three()
      let seen: readonly string[] = []
      const init = (address: number) => mem.storeAtomic32(first.memory.i32, address / 4, 42)
      const done = interrupt(
        () => first.objects.create('cell', { ...spec, init }),
        at,
        () => {
          seen = machine.objects.list().map(({ name }) => name)
          if (seen.length > 0)
            assert.equal(Cell.at(machine.memory, machine.objects.open('cell', spec)).value.load(), 42)
        },
      )
      if (done) assert.ok(seen.length === 0 || seen.join() === 'cell', seen.join())
      return done
    })
  })
})

/** As `interrupt`, for an operation that goes on in later jobs: the hook stays until the promise settles. */
async function interruptAsync(
  operation: () => Promise<unknown>,
  at: number,
  intrude: () => void,
  machines: readonly Machine[],
): Promise<boolean> {
  let count = 0
  let intruded = false
  mem.control.before = () => {
    if (intruded || count++ !== at) return
    intruded = true
    intrude()
  }
  try {
    await settles(operation(), machines, `before access ${at}: somebody who waits was not rung`)
  } finally {
    mem.control.before = undefined
  }
  return intruded
}

describe('a cross call', () => {
  it('is run once and whole, however the target looks at it while it is made', async () => {
    for (let at = 0, more = true; more; at++) {
      const [caller, target, third] = three()
      const ran: string[] = []
      target.registerFunction('one', (argument) => ran.push(`one ${argument}`))
      target.registerFunction('two', (argument) => ran.push(`two ${argument}`))
      target.registerFunction('other', () => undefined)
      const timeout = 5000
      assert.deepEqual((await caller.callFunctionMany([1], 'one', { argument: 1, timeout })).ran, [1])
      more = await interruptAsync(
        async () => {
          // The third CPU's call rings the target, so that it looks at all callers.
          const others = third.callFunctionMany([1], 'other', { timeout })
          const outcome = await caller.callFunctionMany([1], 'two', { argument: 2, timeout })
          assert.deepEqual(outcome.ran, [1])
          await others
        },
        at,
        () => {
          target.ring(1, 0)
          target.poll()
        },
        [caller, target, third],
      )
      assert.deepEqual(ran, ['one 1', 'two 2'])
      for (const cpu of [caller, target, third]) await cpu.offline()
    }
  })
})

describe('a grace period', () => {
  it('ends when the other CPU has answered', async () => {
    const cpus = three()
    await settles(cpus[0].synchronize(), cpus, 'all CPUs have answered')
  })

  it('ends, however a CPU announces its quiescent state in the middle of the updater looking for it', async () => {
    for (let at = 0, more = true; more; at++) {
      // No third CPU, whose progress would wake the updater again.
      const updater = boot({ memory: '512 KiB', cpus: 2 })
      const reader = joinAs(updater, 101)
      more = await interruptAsync(
        () => updater.synchronize(),
        at,
        () => {
          reader.poll()
        },
        [updater, reader],
      )
      await reader.offline()
    }
  })

  it('begins and ends with a read-modify-write of one word that all grace periods share', async () => {
    const machine = boot({ memory: '512 KiB', cpus: 2 })
    const accesses: string[] = []
    mem.control.before = (name, [, index]) => void accesses.push(`${name} ${String(index)}`)
    await machine.synchronize()
    mem.control.before = undefined
    assert.match(accesses[0] ?? '', /^addAtomic32 \d+$/)
    assert.equal(accesses.at(-1), accesses[0])
    assert.equal(accesses.filter((access) => access === accesses[0]).length, 2)
  })
})
