/** Names of users: a space for each kind, millions of them, and how they end. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, interrupt, joinAs, percpu } from '../support/hooked-percpu.js'
import { codeOf, throwsCode } from '../support/codes.js'
import { accessesOf, hasLayerLock, kinds } from './support.js'

const { atomic, i32, struct } = percpu
const Cell = struct('Cell', { value: atomic(i32) })
const roomy = (): Machine => fresh({ memory: '32 MiB', cpus: 2 })

describe('names', () => {
  it('of each kind are a space of their own', () => {
    const machine = roomy()
    const found = Object.values(kinds).map(({ make }) => make(machine, 'jobs'))
    assert.equal(new Set(found).size, found.length)
    // Locks, objects and per-CPU memory are found again.
    for (const [i, { make }] of Object.values(kinds).entries())
      if (typeof found[i] === 'number') assert.equal(make(machine, 'jobs'), found[i])
    assert.deepEqual(
      machine.objects.list().map(({ name, type }) => [name, type]),
      [['jobs', 'Cell']],
    )
  })

  it('mean nothing: odd ones are as good as others', () => {
    const { objects, locks } = roomy()
    const names = [
      'percpu.sync',
      'percpu.',
      '__proto__',
      'constructor',
      ' ',
      '\0',
      'é'.repeat(28),
      '🦆',
      '\ufeffx',
    ]
    const made = names.map((name) => objects.create(name, Cell).address)
    assert.equal(new Set(made).size, names.length)
    for (const [i, name] of names.entries()) {
      assert.equal(objects.open(name, Cell).address, made[i])
      assert.ok(locks.mutex(name).address !== made[i])
    }
    assert.deepEqual(
      objects.list().map(({ name }) => name),
      [...names].reverse(),
    )
    for (const name of ['', 'x'.repeat(57), 'é'.repeat(29), '\ud800', 7 as never])
      for (const call of [
        () => objects.create(name, Cell),
        () => objects.open(name, Cell),
        () => objects.remove(name),
      ])
        throwsCode(call, 'PERCPU_ARGUMENT', /^name/)
  })

  it('are found in as many steps, however many there are, and memory for them is all they take', () => {
    const machine = fresh({ memory: '64 MiB', cpus: 2 })
    const { objects } = machine
    const other = joinAs(machine, 101)
    const regions = machine.heap.memblock.report().regions.filter(({ label }) => label !== '').length
    let most = 0
    for (let i = 0; i < 20_000; i++) objects.create(`object ${i}`, Cell)
    for (let i = 0; i < 20_000; i += 97) {
      const steps = accessesOf(() => other.objects.open(`object ${i}`, Cell)).length
      most = Math.max(most, steps)
    }
    assert.ok(most < 80, `${most} accesses`)
    assert.ok(accessesOf(() => codeOf(() => other.objects.open('no such', Cell))).length < 60)
    objects.create('one more', Cell)
    // Now and then the heap fetches half a magazine.
    const created = [1, 2, 3, 4, 5].map((i) => accessesOf(() => objects.create(`more ${i}`, Cell)).length)
    assert.ok(Math.min(...created) < 150, `${created.join()} accesses`)
    const removed = [1, 2, 3, 4, 5].map((i) => accessesOf(() => objects.remove(`more ${i}`)).length)
    assert.ok(Math.min(...removed) < 150, `${removed.join()} accesses`)
    const labelled = machine.heap.memblock.report().regions.filter(({ label }) => label.startsWith('object'))
    assert.deepEqual(labelled, [])
    assert.ok(machine.heap.memblock.report().regions.length < regions + 100)
    assert.equal(objects.list().length, 20_001)
    for (let i = 0; i < 20_000; i++) objects.remove(`object ${i}`)
    assert.deepEqual(
      objects.list().map(({ name }) => name),
      ['one more'],
    )
  })

  for (const [kind, { make, end }] of Object.entries(kinds)) {
    it(`of a ${kind} are free again when it ends, and so is its memory`, async () => {
      const machine = fresh({ memory: '4 MiB', cpus: 2 })
      const once = async (): Promise<void> => {
        make(machine, 'mine')
        await end(machine, 'mine')
        await machine.rcu.synchronize()
        await machine.rcu.barrier()
      }
      await once()
      const allocated = (): unknown => [machine.heap.allocations(), machine.percpu.report().usedBytes]
      const before = allocated()
      for (let i = 0; i < 20; i++) await once()
      assert.deepEqual(allocated(), before)
      machine.heap.verify({ quiet: true })
      machine.percpu.verify()
      if (kind !== 'srcu') {
        const remove = (): unknown =>
          kind === 'ref' ? machine.percpu.remove('ref', 'no') : end(machine, 'no')
        await assert.rejects(() => Promise.resolve().then(remove), { code: 'PERCPU_OBJECT_MISSING' })
      }
    })
  }

  it('that were given anew lead every thread to the new thing', async () => {
    const machine = roomy()
    const other = joinAs(machine, 101)
    const stale = other.locks.mutex('m')
    const domain = other.srcu('d')
    machine.locks.remove('mutex', 'm')
    await machine.srcu('d').cleanup()
    await machine.rcu.synchronize()
    await machine.rcu.barrier()
    const { address } = machine.locks.mutex('m')
    const found = other.locks.mutex('m')
    assert.equal(found.address, address)
    assert.notEqual(found, stale)
    const renewed = machine.srcu('d')
    const seen = other.srcu('d')
    assert.notEqual(seen, domain)
    const cookie = renewed.getState()
    assert.deepEqual([seen.getState(), seen.poll(cookie)], [cookie, false])
    throwsCode(() => domain.getState(), 'PERCPU_SRCU_MISUSE')
  })

  it('are left to what is in use, and nothing is changed', async () => {
    const machine = roomy()
    const other = joinAs(machine, 101)
    const refused = (remove: () => void, why: RegExp): void => {
      throwsCode(remove, 'PERCPU_NAME_IN_USE', why)
    }
    const guard = other.locks.mutex('l').lock()
    refused(() => machine.locks.remove('mutex', 'l'), /held by CPU 1/)
    const waiting = machine.locks.mutex('l').lockAsync()
    await new Promise(setImmediate)
    guard.unlock()
    ;(await waiting).unlock()
    machine.locks.remove('mutex', 'l')

    const permits = other.locks.semaphore('l', 3).acquire(2)
    refused(() => machine.locks.remove('semaphore', 'l'), /2 of its 3 permits/)
    permits.release()
    machine.locks.remove('semaphore', 'l')

    const pending = other.locks.completion('l').waitAsync()
    await new Promise(setImmediate)
    refused(() => machine.locks.remove('completion', 'l'), /waited for by CPU 1/)
    machine.locks.completion('l').complete()
    await pending
    machine.locks.remove('completion', 'l')

    const ref = other.percpu.ref('l')
    refused(() => machine.percpu.remove('ref', 'l'), /has references/)
    await ref.kill()
    machine.percpu.remove('ref', 'l')

    const reading = other.percpu.rwSemaphore('l').readLock()
    refused(() => machine.percpu.remove('rwSemaphore', 'l'), /for reading by CPU 1/)
    reading.unlock()
    const writing = await other.percpu.rwSemaphore('l').writeLock()
    refused(() => machine.percpu.remove('rwSemaphore', 'l'), /by CPU 1/)
    writing.unlock()
    machine.percpu.remove('rwSemaphore', 'l')
    for (const kind of ['', 'toString', undefined, 'object'] as never[])
      throwsCode(() => machine.locks.remove(kind, 'l'), 'PERCPU_ARGUMENT', /^kind/)
    for (const kind of ['', 'mutex', undefined] as never[])
      throwsCode(() => machine.percpu.remove(kind, 'l'), 'PERCPU_ARGUMENT', /^kind/)
  })

  it('are not given when memory is short', async () => {
    const machine = fresh({ memory: '1 MiB', cpus: 2 })
    machine.percpu.counter('first')
    // The list of what is to be freed has its page.
    await machine.rcu.free(machine.heap.alloc(8))
    await machine.rcu.barrier()
    const hold: number[] = []
    const fill = (bytes: number): void => {
      for (;;) {
        try {
          hold.push(machine.percpu.alloc(bytes))
        } catch {
          return
        }
      }
    }
    for (const bytes of [4096, 64, 4]) fill(bytes)
    const { length } = machine.heap.allocations()
    for (const name of ['counter', 'ref', 'rwSemaphore'] as const)
      throwsCode(() => machine.percpu[name]('late'), 'PERCPU_OUT_OF_MEMORY')
    throwsCode(() => machine.percpu(Cell, { name: 'late' }), 'PERCPU_OUT_OF_MEMORY')
    for (const name of ['counter', 'ref', 'rwSemaphore', 'object'] as const)
      throwsCode(() => machine.percpu.remove(name, 'late'), 'PERCPU_OBJECT_MISSING')
    await machine.rcu.synchronize()
    await machine.rcu.barrier()
    assert.equal(machine.heap.allocations().length, length)
    for (const pointer of hold) machine.percpu.free(pointer)
    machine.percpu.counter('late').add(3)
    assert.equal(machine.percpu.counter('late').sum(), 3)
  })

  it('of a large object that was removed: it is not freed before a grace period, though its remover dies', async () => {
    const machine = roomy()
    const other = joinAs(machine, 101)
    const Large = struct('Large', { values: percpu.array(i32, 1_300_000) })
    const { address } = other.objects.create('large', Large)
    const isThere = (): boolean =>
      machine.heap.memblock
        .report()
        .regions.some((region) => address >= region.address && address < region.address + region.size)
    other.objects.remove('large')
    // In one synchronous stretch: whoever has just found it may go on reading.
    machine.cpus.declareDead(other.cpu)
    assert.ok(isThere())
    await machine.rcu.synchronize()
    assert.ok(isThere(), 'what its thread was to free is lost')
  })

  it('of objects larger than the blocks of the heap take boot memory', async () => {
    const machine = fresh({ memory: '64 MiB', cpus: 2 })
    const Large = struct('Large', { cells: percpu.array(percpu.u32, 3 * 2 ** 20) })
    const { length } = machine.heap.memblock.report().regions
    const { address } = machine.objects.create('large', Large, (large) => large.cells.set(9, 9))
    assert.equal(joinAs(machine, 101).objects.open('large', Large).cells.at(9), 9)
    assert.equal(machine.objects.open('large', Large).address, address)
    machine.objects.remove('large')
    await machine.rcu.barrier()
    assert.equal(machine.heap.memblock.report().regions.length, length)
  })

  it('given by another thread in the middle of it are found, in whatever access', () => {
    let outside = 0
    for (let at = 0; ; at += 11) {
      const machine = fresh({ cpus: 2 })
      const other = joinAs(machine, 101)
      let own = 0
      let theirs = 0
      const done = interrupt(
        () => (own = machine.objects.openOrCreate('same', Cell).address),
        at,
        () => {
          // Under a lock it would wait for us.
          if (hasLayerLock(machine)) return
          theirs = other.objects.openOrCreate('same', Cell).address
          outside++
        },
      )
      if (!done) break
      theirs ||= other.objects.openOrCreate('same', Cell).address
      assert.equal(own, theirs)
      assert.equal(machine.objects.list().length, 1)
    }
    assert.ok(outside > 5)
  })
})
