/**
 * What ends, called near the end of the stack, in a thread that lives on: it has ended, or it has
 * not and can be called again. Who waits for it finds out.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { Cell } from '../names/support.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
/** Calls near the end of the stack take a second on a busy machine. */
const patient = { timeout: 10_000 }

/** Calls `run`, which throws nothing, about so many frames before the stack is full. */
function near(left: number, run: () => void): void {
  const state = { frames: 0, isRun: false }
  const dig = (depth: number): void => {
    state.frames++
    if (depth > 0) {
      dig(depth - 1)
      return
    }
    run()
    state.isRun = true
  }
  assert.throws(() => dig(Infinity), RangeError)
  const { frames } = state
  // There is room for the call, whatever the engine has compiled meanwhile.
  for (let less = left; !state.isRun; less++) {
    try {
      dig(frames - 2 - less)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
}

/** What has begun, and how it ends. */
interface Begun {
  readonly end: () => unknown
  /** Whether it had ended before, by what a second end throws. */
  readonly isOver?: (error: unknown) => boolean
  /** Afterwards: throws, or rejects, unless all is well. */
  readonly check: () => unknown
}
const misuse = (error: unknown): boolean =>
  /has ended before|is under way|has unlocked before|owner|missing|MISSING|no .* named|free already|was freed/i.test(
    `${(error as { code?: string }).code ?? ''} ${(error as Error).message}`,
  )

type Begin = (machine: Machine, other: Machine, name: string) => Promise<Begun> | Begun
const ends: Readonly<Record<string, Begin>> = {
  'the last put of a reference': async (machine, other, name) => {
    const ref = machine.percpu.ref(name)
    ref.get()
    await ref.kill()
    const released = other.percpu.ref(name).released(patient)
    await turn()
    return { end: () => ref.isZero || ref.put(), check: () => released }
  },
  'a fast section': (machine, other, name) => {
    const section = machine.srcu(name).section()
    const waiting = other.srcu(name).synchronize(patient)
    return { end: () => section.end(), check: () => waiting }
  },
  'a fast section, once its grace period has begun': async (machine, other, name) => {
    const domain = machine.srcu(name)
    const token = domain.readLock()
    const waiting = other.srcu(name).synchronize(patient)
    for (let i = 0; i < 4; i++) await turn()
    return { end: () => domain.readUnlock(token), check: () => waiting }
  },
  'a normal section': async (machine, other, name) => {
    const section = machine.srcu(name, { flavour: 'normal' }).section()
    const waiting = other.srcu(name).synchronize(patient)
    for (let i = 0; i < 4; i++) await turn()
    return { end: () => section.end(), check: () => waiting }
  },
  'a normal section by hand': async (machine, other, name) => {
    const domain = machine.srcu(name, { flavour: 'normal' })
    const token = domain.readLock()
    const waiting = other.srcu(name).synchronize(patient)
    for (let i = 0; i < 4; i++) await turn()
    return { end: () => domain.readUnlock(token), check: () => waiting }
  },
  'a read lock of a semaphore, which a writer waits for': async (machine, other, name) => {
    const guard = machine.percpu.rwSemaphore(name).readLock()
    const writing = other.percpu.rwSemaphore(name).writeLock(patient)
    for (let i = 0; i < 4; i++) await turn()
    return { end: () => guard.unlock(), check: async () => (await writing).unlock() }
  },
  'a write lock of a semaphore, which a reader waits for': async (machine, other, name) => {
    const guard = await machine.percpu.rwSemaphore(name).writeLock()
    const reading = other.percpu.rwSemaphore(name).readLockAsync(patient)
    await turn()
    return {
      end: () => guard.unlock(),
      check: async () => {
        ;(await reading).unlock()
        assert.ok(!machine.percpu.rwSemaphore(name).isWriting)
        while (machine.percpu.rwSemaphore(name).isSlow) await turn()
      },
    }
  },
  'a mutex': async (machine, other, name) => {
    const guard = machine.locks.mutex(name).lock()
    const locking = other.locks.mutex(name).lockAsync(patient)
    await turn()
    return { end: () => guard.unlock(), check: async () => (await locking).unlock() }
  },
  'a permit': async (machine, other, name) => {
    const permit = machine.locks.semaphore(name, 1).acquire()
    const acquiring = other.locks.semaphore(name, 1).acquireAsync(1, patient)
    await turn()
    return { end: () => permit.release(), check: async () => (await acquiring).release() }
  },
  'a write lock of a seqlock': (machine, other, name) => {
    const guard = machine.locks.seqlock(name).writeLock()
    return {
      end: () => guard.unlock(),
      check: () => other.locks.seqlock(name).writeLock({ timeout: 0 }).unlock(),
    }
  },
  'the name of an object': (machine, other, name) => {
    machine.objects.create(name, Cell)
    return {
      end: () => machine.objects.remove(name),
      check: () => other.objects.create(name, Cell),
    }
  },
  'the name of a counter': (machine, other, name) => {
    machine.percpu.counter(name).add(1)
    return {
      end: () => machine.percpu.remove('counter', name),
      check: () => assert.equal(other.percpu.counter(name).sum(), 0),
    }
  },
  'the name of a mutex': (machine, other, name) => {
    const { address } = machine.locks.mutex(name)
    return {
      end: () => machine.locks.remove('mutex', name),
      check: () => assert.notEqual(other.locks.mutex(name).address, address),
    }
  },
  'an object': ({ heap }) => {
    const address = heap.alloc(64)
    return { end: () => heap.free(address), check: () => heap.verify({ quiet: true }) }
  },
  'per-CPU memory': ({ percpu }) => {
    const pointer = percpu.alloc(64)
    return { end: () => percpu.free(pointer), check: () => percpu.verify() }
  },
  'a function after a grace period': ({ rcu }) => {
    let calls = 0
    return {
      end: () => (calls > 0 ? undefined : rcu.call(() => calls++)),
      check: async () => {
        await rcu.barrier(patient)
        assert.ok(calls > 0)
      },
    }
  },
  'per-CPU memory after a grace period': ({ rcu, percpu }) => {
    const object = percpu.i32()
    return { end: () => rcu.free(object), check: () => rcu.barrier(patient) }
  },
  'an object after a grace period': ({ heap, rcu }) => {
    const address = heap.alloc(64)
    return { end: () => rcu.free(address), check: () => rcu.barrier(patient) }
  },
}

describe('near the end of the stack', () => {
  for (const [what, begin] of Object.entries(ends))
    it(`${what} ends, or can be ended`, async () => {
      const machine = fresh({ cpus: 3, memory: '4 MiB' })
      const other = joinAs(machine, 101)
      let overflows = 0
      // How deep a call goes depends on what the engine has compiled.
      for (let round = 0; round < 90; round++) {
        const { end, isOver = misuse, check } = await begin(machine, other, `n${round}`)
        let error: unknown
        near(round, () => {
          try {
            void Promise.resolve(end()).catch(() => undefined)
          } catch (thrown) {
            error = thrown
          }
        })
        if (error !== undefined) {
          overflows++
          assert.ok(error instanceof RangeError)
          try {
            await end()
          } catch (again) {
            if (!isOver(again)) throw again
          }
        }
        const since = performance.now()
        await check()
        assert.ok(performance.now() - since < 5000, `round ${round}: nobody was told`)
      }
      assert.ok(overflows > 0, 'no overflow')
      machine.heap.verify()
      machine.percpu.verify()
      assert.deepEqual(machine.locks.heldBy(0), [])
    })

  it('a CPU goes offline, or can be taken offline', async () => {
    const machine = fresh({ cpus: 3 })
    let overflows = 0
    for (let round = 0; round < 120; round += 2) {
      const other = joinAs(machine, 101)
      other.locks.mutex('m').lock().unlock()
      const leaving: { done?: Promise<unknown> } = {}
      near(round, () => {
        leaving.done = other.offline().catch((error: unknown) => error)
      })
      const error = await leaving.done
      if (error !== undefined) {
        overflows++
        assert.ok(error instanceof RangeError)
        await other.offline()
      }
      assert.equal(machine.cpus.states()[1]?.state, 'offline')
    }
    assert.ok(overflows > 0, 'no overflow')
    await machine.rcu.synchronize(patient)
  })
})
