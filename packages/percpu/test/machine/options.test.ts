/**
 * Options that there are not, or of another type: a typed error that names them, and nothing
 * happens.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, join, struct, u32, type Machine } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh } from '../support/machines.js'

const Pair = struct('Pair', { first: u32, second: u32 })
const misspelt = { misspelt: 1 } as object

const calls: Readonly<Record<string, (machine: Machine, options: never) => unknown>> = {
  boot: (_, options) => boot(options),
  'boot, percpu': (_, options) => boot({ percpu: options }),
  join: ({ handle }, options) => join(handle, options),
  'memblock.alloc': ({ heap }, options) => heap.memblock.alloc({ size: 64, ...(options as object) }),
  declareDead: (machine, options) => machine.cpus.declareDead(1, options),
  inspect: (machine, options) => machine.watch.inspect(options),
  monitor: (machine, options) => machine.watch.monitor(options),
  alloc: (machine, options) => machine.heap.alloc(8, options),
  'alloc, large': (machine, options) => machine.heap.alloc(8192, options),
  'pages.alloc': (machine, options) => machine.heap.pages.alloc(0, options),
  'cache.alloc': (machine, options) => machine.heap.cache('pair', Pair).alloc(options),
  'mutex.lock': (machine, options) => machine.locks.mutex('m').lock(options),
  'mutex.run': (machine, options) => machine.locks.mutex('m').run(() => 1, options),
  'semaphore.acquire': (machine, options) => machine.locks.semaphore('s', 1).acquire(1, options),
  'completion.wait': (machine, options) => machine.locks.completion('c').wait(options),
  'seqlock.read': (machine, options) => machine.locks.seqlock('q').read(() => 1, options),
  percpu: (machine, options) => machine.percpu(Pair, options),
  'percpu.u32': (machine, options) => machine.percpu.u32(options),
  'percpu.alloc': (machine, options) => machine.percpu.alloc(8, options),
  'percpu.counter': (machine, options) => machine.percpu.counter('n', options),
  'rwSemaphore.readLock': (machine, options) => machine.percpu.rwSemaphore('w').readLock(options),
}
const promises: typeof calls = {
  synchronize: (machine, options) => machine.rcu.synchronize(options),
  callFunctionMany: (machine, options) => machine.cpus.call([0], 'f', options),
  'mutex.lockAsync': (machine, options) => machine.locks.mutex('m').lockAsync(options),
  'semaphore.acquireAsync': (machine, options) => machine.locks.semaphore('s', 1).acquireAsync(1, options),
  'completion.waitAsync': (machine, options) => machine.locks.completion('c').waitAsync(options),
  'seqlock.readAsync': (machine, options) => machine.locks.seqlock('q').readAsync(() => 1, options),
  'rwSemaphore.readLockAsync': (machine, options) => machine.percpu.rwSemaphore('w').readLockAsync(options),
  'rwSemaphore.writeLock': (machine, options) => machine.percpu.rwSemaphore('w').writeLock(options),
  'ref.released': (machine, options) => machine.percpu.ref('r').released(options),
}

describe('an option that there is not', () => {
  for (const [name, call] of Object.entries(calls)) {
    it(`is refused by ${name}`, () => {
      const machine = fresh()
      throwsCode(
        () => call(machine, misspelt as never),
        'PERCPU_ARGUMENT',
        /has no option misspelt; it has \w/,
      )
      assert.deepEqual([machine.heap.allocations(), machine.locks.heldBy(0)], [[], []])
    })
  }
  for (const [name, call] of Object.entries(promises)) {
    it(`is refused by ${name}`, async () => {
      const machine = fresh()
      const refused = Promise.resolve(call(machine, misspelt as never))
      await rejectsCode(refused, 'PERCPU_ARGUMENT', /has no option misspelt; it has \w/)
      assert.deepEqual(machine.locks.heldBy(0), [])
    })
  }
})

describe('options', () => {
  it('are asked for by their names where a call cannot do without', () => {
    const machine = fresh()
    const asked = (call: () => unknown, names: RegExp): void => throwsCode(call, 'PERCPU_ARGUMENT', names)
    asked(
      () => machine.map('m', undefined as never),
      /^map needs an object with key and value, and may have cache, stats, hold, capacity, ttl, create$/,
    )
    asked(
      () => machine.rangeMap('m', undefined as never),
      /^rangeMap needs .* key and value, .* have create$/,
    )
    asked(() => machine.sparseArray('m', undefined as never), /^sparseArray needs .* value, .* have create$/)
    asked(() => machine.map('m', 'u32' as never), /^options: 'u32' is not .* options of map: key, value, /)
    asked(
      () => machine.percpu.u32('hits' as never),
      /^options: 'hits' is not .* of percpu: name, reserved; a name is given as \{ name: 'hits' \}$/,
    )
  })

  it('are an object', async () => {
    const machine = fresh()
    for (const wrong of [null, 5, 'zero'] as never[]) {
      const refused = (call: () => unknown): void => throwsCode(call, 'PERCPU_ARGUMENT', /not an object/)
      refused(() => machine.heap.alloc(8, wrong))
      refused(() => machine.heap.cache('pair', Pair).alloc(wrong))
      refused(() => machine.percpu.alloc(8, wrong))
      refused(() => machine.percpu(Pair, wrong))
      refused(() => machine.locks.mutex('m').lock(wrong))
      refused(() => machine.watch.monitor(wrong))
      refused(() => boot({ percpu: wrong }))
      await rejectsCode(machine.locks.mutex('m').lockAsync(wrong), 'PERCPU_ARGUMENT', /not an object/)
      await rejectsCode(machine.rcu.synchronize(wrong), 'PERCPU_ARGUMENT', /not an object/)
    }
    assert.deepEqual(machine.heap.allocations(), [])
  })
  it('have the types that they have', () => {
    const machine = fresh()
    const refused = (call: () => unknown, message: RegExp): void =>
      throwsCode(call, 'PERCPU_ARGUMENT', message)
    for (const flag of ['zero', 'persist'])
      refused(() => machine.heap.alloc(8, { [flag]: 1 }), new RegExp(`${flag}: 1 is neither true nor false`))
    refused(() => machine.heap.alloc(8, { label: 5 } as never), /label: 5 is not a string/)
    refused(
      () => machine.heap.alloc(8, { align: 2 ** 23 }),
      /align: 8388608 is not a power of two from 1 to 4194304/,
    )
    refused(() => machine.heap.alloc(8, { align: '8' } as never), /align: '8' is not/)
    refused(() => machine.heap.memblock.alloc({ size: 8, label: 5 } as never), /label: 5 is not a string/)
    refused(() => machine.percpu.alloc(8, { nowait: 'yes' } as never), /nowait: 'yes' is neither/)
    refused(() => machine.objects.create('a', Pair, 5 as never), /init: 5 is not a function/)
    refused(() => machine.objects.open(5 as never, Pair), /name: 5 is not a string/)
    refused(() => machine.cpus.addHotplug({ name: 'h', startup: 5 } as never), /startup: 5 is not a function/)
    assert.deepEqual(machine.heap.allocations(), [])
  })
})

describe('other arguments', () => {
  it('that are functions are told from others', async () => {
    const machine = fresh()
    const refused = (call: () => unknown): void => throwsCode(call, 'PERCPU_ARGUMENT', /is not a function/)
    const none = undefined as never
    refused(() => machine.locks.mutex('m').run(none))
    refused(() => machine.locks.mutex('m').lock().run(none))
    refused(() => machine.locks.seqlock('q').read(none))
    refused(() => machine.run('work', none))
    await rejectsCode(machine.locks.mutex('n').runAsync(none), 'PERCPU_ARGUMENT')
    assert.equal(machine.locks.mutex('n').owner, undefined)
  })
  it('of a monitor are events that it has, and functions', () => {
    const monitor = fresh().watch.monitor()
    throwsCode(
      () => monitor.on('blokced' as never, () => undefined),
      'PERCPU_ARGUMENT',
      /a monitor has no event 'blokced'; it has blocked, recovered and died/,
    )
    throwsCode(() => monitor.on('died', 5 as never), 'PERCPU_ARGUMENT', /listener: 5 is not a function/)
    monitor.stop()
  })
  it('of the heap name a cache, and a struct for it', () => {
    const machine = fresh()
    throwsCode(() => machine.heap.cache(5 as never, Pair), 'PERCPU_ARGUMENT', /name: 5 is not a string/)
    throwsCode(() => machine.heap.cache('pair', u32 as never), 'PERCPU_ARGUMENT', /no struct/)
    assert.equal(machine.heap.cache('pair', Pair).struct.size, 8)
  })
  it('are labels of work, and CPUs that are possible', () => {
    const machine = fresh()
    throwsCode(() => machine.run(5 as never, () => 1), 'PERCPU_ARGUMENT', /label: 5 is not a string/)
    throwsCode(() => machine.run(undefined as never, () => 1), 'PERCPU_ARGUMENT', /label: undefined is not/)
    for (const wrong of [-1, 3, 0.5, '0' as never])
      throwsCode(() => machine.locks.heldBy(wrong), 'PERCPU_ARGUMENT')
  })
})
