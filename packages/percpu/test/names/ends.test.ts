/**
 * What becomes of names that are taken away, or not given after all: no memory is lost, nobody is
 * led to what was, and what a dead thread had begun is over before anything is freed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { load32, loadAtomic32, store32, storeAtomic32 } from 'percpu/mem'
import { codeOf, throwsCode } from '../support/codes.js'
import { fresh, interrupt, joinAs, killAtAccess, mem, percpu } from '../support/hooked-percpu.js'
import { accessesOf, Cell, hasLayerLock, inUse, kinds, settle } from './support.js'

const { Heap } = await import('../../dist/alloc/heap.js')
const { PageAllocator } = await import('../../dist/alloc/pages.js')
const { Allocator } = await import('../../dist/percpu/allocator.js')
const { NamesLayer } = await import('../../dist/names/layer.js')
const { PercpuCounterLayout, PercpuRefLayout } = await import('../../dist/percpu/layouts.js')
const { NamesMap } = await import('../../dist/names/names-map.js')
const { NamesCpu } = await import('../../dist/names/layouts.js')
const { addressOf, insideOf } = await import('../support/inside.js')
const { OutOfMemoryError, struct, i32 } = percpu

const lockWord = PercpuCounterLayout.words.lock
const small = { memory: '2 MiB', cpus: 3, percpu: { unit: '8 KiB' } } as const

/** Runs `operation`, whose allocation number `at` is refused. Returns how many it asked for. */
function refuseAt(operation: () => unknown, at: number): { readonly asked: number; readonly code: string } {
  let asked = 0
  const undo: (() => void)[] = []
  const refuse = <Name extends string>(prototype: Record<Name, unknown>, name: Name): void => {
    const real = prototype[name] as (...args: unknown[]) => unknown
    prototype[name] = function (this: unknown, ...args: unknown[]) {
      if (asked++ === at) throw new OutOfMemoryError('refused by the test')
      return real.apply(this, args)
    }
    undo.push(() => (prototype[name] = real))
  }
  refuse(Heap.prototype as unknown as Record<'alloc', unknown>, 'alloc')
  refuse(PageAllocator.prototype as unknown as Record<'tryAlloc', unknown>, 'tryAlloc')
  refuse(Allocator.prototype as unknown as Record<'allocate', unknown>, 'allocate')
  try {
    return { code: codeOf(operation), asked }
  } finally {
    for (const each of undo) each()
  }
}

describe('a name that is not given, as memory is refused,', () => {
  for (const [kind, { make, end }] of Object.entries(kinds)) {
    it(`of a ${kind}, is free, and nothing is lost`, async () => {
      const machine = fresh(small)
      // What is made once, for all names, and what `end` needs.
      make(machine, 'first')
      make(machine, 'second')
      await end(machine, 'second')
      await settle(machine)
      const before = inUse(machine)
      let refused = 0
      for (let at = 0; ; at++) {
        const { asked, code } = refuseAt(() => make(machine, 'mine'), at)
        if (code !== 'none') {
          assert.equal(code, 'PERCPU_OUT_OF_MEMORY', `allocation ${at}`)
          refused++
          await settle(machine)
          assert.deepEqual(inUse(machine), before, `allocation ${at}`)
          // The name is as free as it was.
          assert.equal(refuseAt(() => make(machine, 'mine'), Infinity).code, 'none')
        }
        await end(machine, 'mine')
        await settle(machine)
        assert.deepEqual(inUse(machine), before, `allocation ${at}, at its end`)
        if (at >= asked) break
      }
      assert.ok(refused > 0)
    })
  }
  it('after others have found it, stays until they are through', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const Unit = struct('Unit', { value: i32 })
    machine.objects.create('warm', Unit)
    machine.objects.remove('warm')
    await settle(machine)
    const before = inUse(machine).blocks
    const persist = Reflect.get(Heap.prototype, 'persist') as () => void
    let found = 0
    Heap.prototype.persist = () => {
      Heap.prototype.persist = persist
      found = other.objects.open('a', Unit).address
      throw new RangeError('no room on the stack')
    }
    assert.throws(() => machine.objects.create('a', Unit), RangeError)
    assert.ok(found > 0)
    const isThere = machine.heap
      .allocations()
      .some(({ address, size }) => address <= found && found < address + size)
    assert.ok(isThere)
    throwsCode(() => other.objects.open('a', Unit), 'PERCPU_OBJECT_MISSING')
    await settle(machine)
    assert.equal(inUse(machine).blocks, before)
  })
  it('of a cache, is free', () => {
    const machine = fresh(small)
    const Unit = struct('Unit', { value: i32 })
    machine.heap.cache('first', Unit).create()
    const before = inUse(machine).blocks
    let refused = 0
    for (let at = 0; ; at++) {
      const { code, asked } = refuseAt(() => machine.heap.cache(`cache ${at}`, Unit).create(), at)
      if (code === 'none' && at >= asked) break
      refused++
      assert.equal(inUse(machine).blocks, before)
      machine.heap.free(machine.heap.cache(`cache ${at}`, Unit).create().address)
    }
    assert.ok(refused > 0)
  })
})

describe('a name that another thread takes away', () => {
  for (const kind of ['per-CPU object', 'counter', 'rwSemaphore'] as const) {
    it(`while a ${kind} is made, costs nobody any memory`, async () => {
      const { make, end } = kinds[kind] ?? assert.fail()
      const machine = fresh(small)
      const other = joinAs(machine, 101)
      for (const each of [machine, other]) {
        make(each, 'warm')
        await end(each, 'warm')
      }
      await settle(machine)
      const before = inUse(machine)
      let removed = 0
      const count = accessesOf(() => make(machine, 'mine')).length
      await end(machine, 'mine')
      for (let at = 0; at < count; at++) {
        const isThere = (): boolean => codeOf(() => void end(other, 'mine')) === 'none'
        interrupt(
          () => make(machine, 'mine'),
          at,
          () => {
            if (!hasLayerLock(machine) && isThere()) removed++
          },
        )
        if (isThere()) continue
        // It was taken away at the end, and nothing is left of it.
      }
      await settle(machine)
      assert.deepEqual(inUse(machine), before)
      assert.ok(removed > 3, `${removed} times`)
    })
  }

  it('leads nobody to a lock whose memory is another one now', async () => {
    const machine = fresh(small)
    const other = joinAs(machine, 101)
    const stale = other.locks.condition('c', other.locks.mutex('m'))
    const { address } = stale
    machine.locks.remove('condition', 'c')
    await settle(machine)
    const mutex = other.locks.mutex('another')
    const found = other.locks.conditionAt(address, mutex)
    assert.notEqual(found, stale)
    assert.equal(found.mutex, mutex)
    // One that has its name is the same by both.
    const named = other.locks.mutex('m')
    assert.equal(other.locks.mutexAt(named.address), named)
  })

  it('is gone: a second time it is missing', async () => {
    const machine = fresh(small)
    for (const [kind, { make, end }] of Object.entries(kinds)) {
      make(machine, 'mine')
      await end(machine, 'mine')
      if (kind === 'srcu' || kind === 'ref') continue
      throwsCode(() => void end(machine, 'mine'), 'PERCPU_OBJECT_MISSING')
    }
  })
})

describe('what a dead thread had begun with a counter', () => {
  it('is over before grace periods go on without it', async () => {
    const fold = (machine: ReturnType<typeof fresh>): void => machine.percpu.counter('c').add(1000)
    const first = fresh(small)
    fold(first)
    const folder = joinAs(first, 101)
    const count = accessesOf(() => fold(folder)).length
    let folding = 0
    for (let at = Math.max(0, count - 60); at < count; at++) {
      const machine = fresh(small)
      const victim = joinAs(machine, 101)
      fold(machine)
      const { address } = insideOf(machine.memory).names.each('counter')[Symbol.iterator]().next().value as {
        address: number
      }
      const isLocked = (): boolean => loadAtomic32(machine.memory.i32, address / 4 + lockWord) !== 0
      killAtAccess(() => fold(victim), at, victim)
      if (!isLocked()) continue
      folding++
      const cookie = machine.rcu.startPoll()
      machine.poll()
      let isEarly = false
      const look = (): void => {
        mem.control.before = undefined
        if (isLocked() && machine.rcu.poll(cookie)) isEarly = true
        mem.control.before = look
      }
      mem.control.before = look
      try {
        machine.cpus.declareDead(1)
      } finally {
        mem.control.before = undefined
      }
      assert.ok(!isEarly, `access ${at}`)
      assert.ok(!isLocked())
      await machine.rcu.synchronize()
    }
    assert.ok(folding > 3)
  })
})

describe('a reference count whose mode a dead thread was changing', () => {
  it('is not made again by a reaper while another thread removes it', () => {
    let removed = 0
    for (let look = 1; look < 6; look++) {
      const machine = fresh(small)
      const other = joinAs(machine, 102)
      const victim = joinAs(machine, 101)
      victim.percpu.ref('r')
      const state = addressOf(machine.memory, 'ref', 'r') / 4 + PercpuRefLayout.words.state
      const { i32: view } = machine.memory
      // As the victim leaves it in the middle of `kill`: entered, dead.
      storeAtomic32(view, state, loadAtomic32(view, state) | 5)
      let looks = 0
      const outcome = { isRemoved: false }
      mem.control.before = (name, [, index]) => {
        if (looks === look) {
          mem.control.before = undefined
          // As if the other thread had waited for its grace period before.
          const before = loadAtomic32(view, state)
          storeAtomic32(view, state, 7)
          outcome.isRemoved = codeOf(() => other.percpu.remove('ref', 'r')) === 'none'
          if (outcome.isRemoved) removed++
          else storeAtomic32(view, state, before)
        } else if (name === 'loadAtomic32' && index === state) looks++
      }
      machine.cpus.declareDead(victim.cpu)
      mem.control.before = undefined
      // From some look on the reaper is about to settle it, and it is not removed.
      if (!outcome.isRemoved) break
      throwsCode(() => machine.percpu.remove('ref', 'r'), 'PERCPU_OBJECT_MISSING')
    }
    assert.ok(removed > 1, `only ${removed} looks`)
  })
})

/** Calls `before` at each access that the names' layer makes to find what the dead left. */
function duringExamine(before: () => void): () => void {
  const { prototype } = NamesLayer
  const examine = Reflect.get(prototype, 'examine') as (recovery: unknown) => void
  Reflect.set(prototype, 'examine', function (this: unknown, recovery: unknown) {
    mem.control.before = before
    try {
      examine.call(this, recovery)
    } finally {
      mem.control.before = undefined
    }
  })
  return () => Reflect.set(prototype, 'examine', examine)
}

describe('a note of what was done with a name', () => {
  /** Makes machines whose CPU 1 dies in the middle of a change: where `isThere` holds first. */
  const killedIn = (change: (machine: Machine) => void, isThere: (machine: Machine) => boolean) => {
    let from = 0
    return () => {
      for (let at = from; ; at++) {
        const machine = fresh(small)
        machine.objects.create('warm', Cell)
        const victim = joinAs(machine, 101)
        victim.objects.create('old', Cell)
        killAtAccess(() => change(victim), at, victim)
        if (!isThere(machine)) continue
        from = at
        return machine
      }
    }
  }
  const cases = {
    // It is linked, and in flight.
    created: killedIn(
      ({ objects }) => objects.create('new', Cell),
      ({ objects }) => objects.list().some(({ name }) => name === 'new'),
    ),
    // It is in flight, and linked no more.
    removed: killedIn(
      ({ objects }) => objects.remove('old'),
      ({ objects }) => !objects.list().some(({ name }) => name === 'old'),
    ),
  }
  for (const [what, make] of Object.entries(cases))
    it(`stays until the work is done, if looking at it throws: ${what}`, async () => {
      /** What is left. The look's access number `at` throws; -1: none does. */
      const attempt = async (at: number) => {
        const machine = make()
        let count = 0
        const undo = duringExamine(() => {
          if (count++ === at) throw new Error(`access ${at}`)
        })
        machine.cpus.declareDead(1)
        undo()
        await settle(machine)
        if (what === 'created') machine.objects.remove('new')
        throwsCode(() => machine.objects.open('new', Cell), 'PERCPU_OBJECT_MISSING')
        await settle(machine)
        return { ...inUse(machine), isReached: count > at }
      }
      const whole = await attempt(-1)
      let thrown = 0
      for (let at = 0; ; at++) {
        const left = await attempt(at)
        if (!left.isReached) break
        assert.deepEqual(left, whole, `access ${at}`)
        thrown++
      }
      assert.ok(thrown > 5, `only ${thrown} accesses`)
    })
  it('that names what nobody has any more is forgotten', () => {
    const machine = fresh(small)
    const victim = joinAs(machine, 101)
    victim.objects.create('a', struct('Unit', { value: i32 }))
    const { objects, map } = insideOf(machine.memory)
    const note = NamesMap.open(objects, map.cpus).note(1)
    const { i32: view } = machine.memory
    const { words } = NamesCpu
    const address = victim.heap.alloc(4096)
    for (const state of [1, 2, 3]) {
      store32(view, note + words.state, state)
      store32(view, note + words.block, address / 8 + 1)
      store32(view, note + words.entry, address / 8 + 4)
      const next = state === 1 ? victim : joinAs(machine, 102)
      killAtAccess(() => next.objects.create('b', struct('Unit', { value: i32 })), 0, next)
      machine.cpus.declareDead(1)
      assert.equal(load32(view, note + words.entry), 0, `state ${state}`)
      machine.heap.verify()
    }
  })
})
