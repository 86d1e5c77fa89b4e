/** Boot options, the header page, and the handles that `join` accepts and refuses. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { threadId } from 'node:worker_threads'
import { ArgumentError, boot, join, type BootOptions, type JoinOptions, type MachineHandle } from 'percpu'
import { fillBytes, load32, openMemory, store32, storeU32 } from 'percpu/mem'
import type { Identity } from '../support/actor.js'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { withMachine } from '../support/threads.js'

describe('boot', () => {
  it('takes sizes as numbers and as text', () => {
    assert.equal(boot({ memory: 2 ** 20 }).cpus.configuration.memory, 2 ** 20)
    assert.equal(boot({ memory: '1.5 MiB' }).cpus.configuration.memory, 1.5 * 2 ** 20)
    assert.equal(boot({ memory: '512KiB' }).cpus.configuration.memory, 512 * 2 ** 10)
    assert.equal(boot().cpus.configuration.memory, 64 * 2 ** 20)
  })

  it('makes machines of 8 GiB, whose last word can be used', () => {
    const machine = boot({ memory: '8 GiB' })
    const address = machine.heap.memblock.alloc({ size: 64, align: 2 ** 32 })
    assert.equal(address, 2 ** 32)
    store32(machine.memory.i32, 2 ** 31 - 1, 7)
    assert.equal(load32(machine.memory.i32, 2 ** 31 - 1), 7)
  })

  const refused: readonly (readonly [string, BootOptions, RegExp])[] = [
    ['unknown units', { memory: '1 GB' }, /memory: '1 GB'.*512 MiB/],
    ['what is no size', { memory: Symbol('m') as never }, /memory: Symbol\(m\)/],
    ['a journal of no length', { journal: Symbol('j') as never }, /journal: Symbol\(j\)/],
    ['no doorbell', { doorbell: Symbol('d') as never }, /doorbell: Symbol\(d\)/],
    ['units of no size', { percpu: { unit: null as never } }, /percpu.unit: null/],
    ['fractions of bytes', { memory: 1000.5 }, /memory: 1000.5/],
    ['more than 8 GiB', { memory: '9 GiB' }, /memory: 9663676416 .* 8589934592/],
    ['too little for its own structures', { memory: '64 KiB' }, /memory: 65536 bytes are too few; .* 8 CPUs/],
    ['no CPU', { cpus: 0 }, /cpus: 0 .* 1 to 256/],
    ['half a CPU', { cpus: 1.5 }, /cpus: 1.5/],
    ['too many CPUs', { cpus: 257 }, /cpus: 257/],
    ['more nodes than CPUs', { cpus: 2, nodes: 3 }, /nodes: 3 .* 1 to 2/],
    ['numbers as text', { cpus: '3' as never }, /cpus: '3' is not/],
    ['what is no boolean', { smp: 'no' as never }, /smp: 'no' is neither true nor false/],
    ['options it does not have', { cpu: 3 } as never, /no option cpu; it has memory, cpus,/],
    ['what holds no options', null as never, /options: null/],
    ['text for options', '1 GiB' as never, /options: '1 GiB'/],
    ['several CPUs without SMP', { cpus: 2, smp: false }, /cpus: 2 contradicts smp: false/],
  ]
  for (const [what, options, message] of refused) {
    it(`refuses ${what}`, () => throwsCode(() => boot(options), 'PERCPU_ARGUMENT', message))
  }

  it('says how much memory is enough, whatever is too little', async () => {
    const minimumOf = (options: BootOptions): number => {
      try {
        boot(options)
      } catch (error) {
        assert.ok(error instanceof ArgumentError, String(error))
        return Number(error.details['minimum'])
      }
      throw new Error('it was enough')
    }
    for (const options of [{ cpus: 1 }, { cpus: 8 }, { cpus: 3, journal: 500, mmu: false }]) {
      const memory = minimumOf({ ...options, memory: 8192 })
      await boot({ ...options, memory }).offline()
      assert.equal(minimumOf({ ...options, memory: memory - 4096 }), memory)
    }
  })

  it('boots all four combinations of smp and mmu', () => {
    for (const smp of [true, false]) {
      for (const mmu of [true, false]) {
        const { configuration, possible } = boot({ smp, mmu }).cpus
        assert.equal(configuration.smp, smp)
        assert.equal(configuration.mmu, mmu)
        assert.equal(possible.length, smp ? 8 : 1)
      }
    }
  })

  it('is CPU 0, online, of incarnation 1', () => {
    const machine = boot({ cpus: 3 })
    assert.deepEqual([machine.cpu, machine.cpus.node, machine.cpus.incarnation], [0, 0, 1])
    assert.deepEqual(machine.cpus.possible, [0, 1, 2])
    assert.deepEqual(machine.cpus.present, [0])
    assert.deepEqual(machine.online, [0])
    assert.deepEqual(
      machine.cpus.states().map(({ state }) => state),
      ['online', 'offline', 'offline'],
    )
  })

  it('writes its mark first, and notes who is CPU 0', () => {
    const { memory, watch } = boot({ cpus: 1, memory: '256 KiB' })
    assert.equal(Buffer.from(memory.buffer, 0, 4).toString('latin1'), 'PRCU')
    const placed = watch.structs().find(({ name }) => name === 'cpu[0]') ?? assert.fail()
    const cpu = placed.struct.at(openMemory(memory.buffer), placed.address) as unknown as {
      readonly thread: { load(): number }
    }
    assert.equal(cpu.thread.load(), threadId + 1)
  })

  it('divides CPUs among nodes in order', () => {
    const nodes = boot({ cpus: 5, nodes: 2 })
      .cpus.states()
      .map(({ node }) => node)
    assert.deepEqual(nodes, [0, 0, 0, 1, 1])
  })
})

describe('join', () => {
  it('brings a worker online as the lowest free CPU', async () => {
    await withMachine({ cpus: 4, nodes: 2 }, async (machine, start) => {
      const first = await (await start()).tell<Identity>({ do: 'identify' })
      const second = await (await start()).tell<Identity>({ do: 'identify' })
      assert.deepEqual(first, { cpu: 1, incarnation: 1, node: 0 })
      assert.deepEqual(second, { cpu: 2, incarnation: 1, node: 1 })
      assert.deepEqual(machine.online, [0, 1, 2])
    })
  })

  it('gives a number again, as a new incarnation', () => {
    const machine = boot({ cpus: 2 })
    const first = joinAs(machine, 101)
    assert.deepEqual([first.cpu, first.cpus.incarnation], [1, 1])
    assert.equal(machine.cpus.declareDead(1), true)
    const second = joinAs(machine, 102)
    assert.deepEqual([second.cpu, second.cpus.incarnation], [1, 2])
  })

  it('refuses the thread that has joined already, and names its CPU', () => {
    const machine = boot({ cpus: 3 })
    throwsCode(() => join(machine.handle), 'PERCPU_ALREADY_JOINED', /CPU 0/)
    joinAs(machine, 101)
    throwsCode(() => joinAs(machine, 101), 'PERCPU_ALREADY_JOINED', /CPU 1/)
  })

  it('refuses when every possible CPU has a thread', () => {
    const machine = boot({ cpus: 2 })
    joinAs(machine, 101)
    throwsCode(() => joinAs(machine, 102), 'PERCPU_NO_FREE_CPU', /all 2 possible CPUs/)
    assert.deepEqual(machine.online, [0, 1])
  })

  it('refuses what is no handle', () => {
    for (const handle of [undefined, null, 7, {}, { type: 'percpu.machine' }, boot()]) {
      throwsCode(() => join(handle as unknown as MachineHandle), 'PERCPU_BAD_HANDLE')
    }
    const { handle } = boot()
    throwsCode(
      () => join(JSON.parse(JSON.stringify(handle)) as MachineHandle),
      'PERCPU_BAD_HANDLE',
      /SharedArrayBuffer/,
    )
  })

  it("refuses another version's handle, and another version's machine", () => {
    const { handle } = boot()
    throwsCode(() => join({ ...handle, version: 99 }), 'PERCPU_VERSION_MISMATCH', /format 99/)
    throwsCode(
      () => join({ ...handle, layoutHash: 1 }),
      'PERCPU_VERSION_MISMATCH',
      /the handle has .*layout 1\)/,
    )
    storeU32(openMemory(handle.buffer).u32, 1, 98)
    throwsCode(() => join(handle), 'PERCPU_VERSION_MISMATCH', /the machine in this buffer has format 98/)
  })

  it('refuses a truncated buffer', () => {
    const { handle } = boot({ memory: '1 MiB' })
    const copy = (bytes: number) => {
      const buffer = new SharedArrayBuffer(bytes)
      new Uint8Array(buffer).set(new Uint8Array(handle.buffer).subarray(0, bytes))
      return { ...handle, buffer }
    }
    throwsCode(() => join(copy(2 ** 19)), 'PERCPU_TRUNCATED_BUFFER', /takes 1048576 bytes.*only 524288/)
    throwsCode(() => join(copy(16)), 'PERCPU_TRUNCATED_BUFFER', /16 bytes/)
    throwsCode(() => join(copy(0)), 'PERCPU_TRUNCATED_BUFFER')
  })

  it('refuses a foreign buffer', () => {
    const { handle } = boot()
    throwsCode(() => join({ ...handle, buffer: new SharedArrayBuffer(2 ** 20) }), 'PERCPU_FOREIGN_BUFFER')
    const noise = new SharedArrayBuffer(2 ** 20)
    fillBytes(openMemory(noise), 0, 2 ** 20, 1)
    throwsCode(() => join({ ...handle, buffer: noise }), 'PERCPU_FOREIGN_BUFFER')
  })

  it('loses no number to a doorbell that does not exist', () => {
    const machine = boot({ cpus: 2 })
    const wrong = { doorbell: 'waitasync', thread: 101 } as unknown as JoinOptions
    throwsCode(() => join(machine.handle, wrong), 'PERCPU_ARGUMENT', /'waitasync'/)
    const { BroadcastChannel } = globalThis
    Object.assign(globalThis, { BroadcastChannel: undefined })
    try {
      throwsCode(() => joinAs(machine, 101, { doorbell: 'port' }), 'PERCPU_UNSUPPORTED', /BroadcastChannel/)
    } finally {
      Object.assign(globalThis, { BroadcastChannel })
    }
    assert.deepEqual(machine.cpus.present, [0])
    assert.equal(joinAs(machine, 101).cpu, 1)
  })

  it('that fails half-way gives its number back, and what it took of boot memory', async () => {
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const { watch, heap } = machine
    const before = heap.memblock.report()
    // A supervisor registers an area of its own for the next thread, which then cannot.
    const area = watch.registrations.find(0)?.vpa ?? assert.fail()
    watch.registrations.register(1, area, 1)
    throwsCode(() => joinAs(machine, 101), 'PERCPU_VPA', /registered/)
    assert.deepEqual(machine.cpus.present, [0])
    assert.deepEqual(machine.cpus.states()[1], { cpu: 1, node: 0, state: 'offline', incarnation: 1 })
    assert.deepEqual(heap.memblock.report(), before)
    // It is replaced by that of the next incarnation.
    const joined = joinAs(machine, 101)
    assert.deepEqual([joined.cpu, joined.cpus.incarnation], [1, 2])
    await joined.offline()
  })

  it('writes nothing when it refuses', () => {
    const machine = boot({ cpus: 1, memory: '256 KiB' })
    const before = new Uint8Array(machine.handle.buffer).slice()
    throwsCode(() => joinAs(machine, 101), 'PERCPU_NO_FREE_CPU')
    throwsCode(() => join({ ...machine.handle, version: 99 }), 'PERCPU_VERSION_MISMATCH')
    assert.deepEqual(new Uint8Array(machine.handle.buffer), before)
  })
})
