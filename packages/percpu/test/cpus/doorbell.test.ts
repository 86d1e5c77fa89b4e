/** Rings, cross calls, polling and parking, by Atomics.waitAsync and by messages. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, type CallOutcome, type DoorbellMode } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { becomesSet, get, set, withMachine, words } from '../support/threads.js'

const ringer = await import('../../dist/cpus/ringer.js')
const { Doorbell } = await import('../../dist/cpus/doorbell.js')
const { CpuTable } = await import('../../dist/cpus/cpu-table.js')
const { Deadline } = await import('../../dist/machine/wait-options.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

const none = { ran: [], failed: [], gone: [], deaf: [] } satisfies CallOutcome

for (const doorbell of ['waitAsync', 'port'] as const satisfies readonly DoorbellMode[]) {
  describe(`doorbells by ${doorbell}`, () => {
    it('ring one CPU or several', async () => {
      await withMachine({ cpus: 3, doorbell }, async (machine, start) => {
        const [first, second] = words(machine, 2) as [number, number]
        const actors = [await start({ doorbell }), await start({ doorbell })] as const
        await actors[0].tell({ do: 'count-rings', reason: 0, word: first })
        await actors[1].tell({ do: 'count-rings', reason: 15, word: second })
        machine.cpus.ring(1, 0)
        await becomesSet(machine.memory, first)
        machine.cpus.ring([1, 2], 15)
        await becomesSet(machine.memory, second)
        assert.equal(get(machine.memory, first), 1, 'CPU 1 has no handler for reason 15')
      })
    })

    it('ring the calling CPU too, as a job of its own', async () => {
      const machine = boot({ doorbell })
      const rung = new Promise<void>((resolve) => machine.cpus.onRing(3, resolve))
      machine.cpus.ring(machine.online, 3)
      const keepAlive = setInterval(() => undefined, 1 << 30)
      await rung
      clearInterval(keepAlive)
    })

    it('run a registered function everywhere, and wait for it', async () => {
      await withMachine({ cpus: 4, doorbell }, async (machine, start) => {
        const [sum] = words(machine, 1) as [number]
        const actors = await Promise.all([start({ doorbell }), start({ doorbell }), start({ doorbell })])
        await Promise.all(actors.map((actor) => actor.tell({ do: 'register', name: 'add', adds: sum })))
        const outcome = await machine.cpus.call([1, 2, 3], 'add', { argument: 7 })
        assert.deepEqual(outcome, { ...none, ran: [1, 2, 3] })
        assert.equal(get(machine.memory, sum), 21)
        for (let i = 0; i < 20; i++) await machine.cpus.call([2], 'add', { argument: 1 })
        assert.equal(get(machine.memory, sum), 41)
      })
    })

    it('run calls that nobody waits for, in order, each once', async () => {
      await withMachine({ cpus: 2, doorbell }, async (machine, start) => {
        const [sum] = words(machine, 1) as [number]
        const actor = await start({ doorbell })
        await actor.tell({ do: 'register', name: 'add', adds: sum })
        for (let i = 0; i < 50; i++) void machine.cpus.call([1], 'add', { argument: 1, wait: false })
        await machine.cpus.call([1], 'add', { argument: 1 })
        assert.equal(get(machine.memory, sum), 51)
      })
    })

    it('let two CPUs call each other at the same time', async () => {
      const machine = boot({ cpus: 2, doorbell })
      const other = joinAs(machine, 101, { doorbell })
      const ran: string[] = []
      machine.cpus.registerFunction('ping', (argument) => ran.push(`0:${argument}`))
      other.cpus.registerFunction('ping', (argument) => ran.push(`1:${argument}`))
      const outcomes = await Promise.all([
        machine.cpus.call([0, 1], 'ping', { argument: 5 }),
        other.cpus.call([0, 1], 'ping', { argument: 6 }),
      ])
      assert.deepEqual(outcomes, [
        { ...none, ran: [0, 1] },
        { ...none, ran: [0, 1] },
      ])
      assert.deepEqual(ran.sort(), ['0:5', '0:6', '1:5', '1:6'])
    })

    it('end a grace period', async () => {
      await withMachine({ cpus: 3, doorbell }, async (machine, start) => {
        await Promise.all([start({ doorbell }), start({ doorbell })])
        for (let i = 0; i < 20; i++) await machine.rcu.synchronize()
      })
    })
  })
}

describe('waiting', () => {
  it('for a condition that throws ends with what it throws, and others are still asked', async () => {
    const { memory } = boot()
    // Of a CPU that nobody is.
    const doorbell = new Doorbell(new CpuTable(memory, readMap(memory)), 1)
    let isReady = false
    let looks = 0
    const breaks = (): boolean => {
      if (++looks > 1) throw new RangeError('broken')
      return false
    }
    const broken = doorbell.sleepUntil([], breaks, new Deadline())
    const other = doorbell.sleepUntil([], () => isReady, new Deadline())
    isReady = true
    doorbell.recheck()
    await assert.rejects(broken, RangeError)
    assert.equal(await other, true)
    doorbell.recheck()
    assert.equal(looks, 2)
    doorbell.close()
  })
})

describe('the reasons of a ring', () => {
  it('of the machine and of users are bits of their own, and users have 16', () => {
    const own = Object.entries(ringer).filter(([name]) => name.startsWith('REASON_'))
    assert.ok(own.length >= 5)
    let all = 0
    for (const [name, reason] of own) {
      assert.equal(typeof reason, 'number')
      const bit = reason as number
      assert.ok(bit > 0 && (bit & (bit - 1)) === 0 && (all & bit) === 0, name)
      all |= bit
    }
    const { USER_REASONS, USER_REASONS_SHIFT } = ringer
    assert.ok(all < 1 << USER_REASONS_SHIFT && USER_REASONS_SHIFT + USER_REASONS < 31)
    assert.equal(USER_REASONS, 16)
  })
})

describe('callFunctionMany', () => {
  it('tells which CPUs failed, and why it could not run', async () => {
    await withMachine({ cpus: 5 }, async (machine, start) => {
      const [sum] = words(machine, 1) as [number]
      const [works, throws] = await Promise.all([start(), start(), start()])
      await works.tell({ do: 'register', name: 'f', adds: sum })
      await throws.tell({ do: 'register-throwing', name: 'f' })
      const outcome = await machine.cpus.call([1, 2, 3, 4], 'f', { argument: 1 })
      const cpu = async (actor: typeof works) => (await actor.tell<{ cpu: number }>({ do: 'identify' })).cpu
      assert.deepEqual(outcome.ran, [await cpu(works)])
      assert.equal(outcome.failed.length, 2, 'one throws, one has not registered it')
      assert.ok(outcome.failed.includes(await cpu(throws)))
      assert.deepEqual(outcome.gone, [4])
    })
  })

  it('does not hang when a CPU leaves or dies in the middle', async () => {
    await withMachine({ cpus: 4 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const dies = await start()
      await dies.tell({ do: 'register-endless', name: 'endless', tells })
      const first = machine.cpus.call([1], 'endless')
      await becomesSet(machine.memory, tells)
      await dies.terminate()
      assert.deepEqual(await first, { ...none, gone: [1] })

      const busy = await start()
      set(machine.memory, tells, 0)
      const leaving = busy
        .tell({ do: 'spin', until, tells, polls: false, deaf: false })
        .then(() => busy.tell({ do: 'offline' }))
      await becomesSet(machine.memory, tells)
      const second = machine.cpus.call([1], 'unknown')
      set(machine.memory, until)
      await leaving
      const { gone, failed } = await second
      assert.deepEqual([...gone, ...failed], [1])
    })
  })

  it('does not run at a next incarnation what was called at the one before', async () => {
    const machine = boot({ cpus: 2 })
    const first = joinAs(machine, 101)
    const call = machine.cpus.call([1], 'f', { argument: 1 })
    // The call is written and rung in a job of its own; until then this thread only declares CPU 1
    // dead.
    await Promise.resolve()
    await Promise.resolve()
    assert.equal(machine.cpus.declareDead(first.cpu), true)
    const second = joinAs(machine, 102)
    second.cpus.registerFunction('f', () => assert.fail('was not called'))
    second.poll()
    assert.deepEqual(await call, { ...none, gone: [1] })
    await machine.rcu.synchronize()
  })

  it('leaves deaf CPUs out, and looks after one that turns deaf', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until, sum] = words(machine, 3) as [number, number, number]
      const actor = await start()
      await actor.tell({ do: 'register', name: 'add', adds: sum })
      const spinning = actor.tell({ do: 'spin', until, tells, polls: false, deaf: true })
      await becomesSet(machine.memory, tells)
      assert.deepEqual(await machine.cpus.call([1], 'add', { argument: 1 }), { ...none, deaf: [1] })
      await machine.rcu.synchronize({ timeout: 5000 })
      set(machine.memory, until)
      await spinning
      await machine.rcu.synchronize()
      assert.equal(get(machine.memory, sum), 0, 'what it was called for while it was deaf is not run later')
      assert.deepEqual(await machine.cpus.call([1], 'add', { argument: 1 }), { ...none, ran: [1] })
      assert.equal(get(machine.memory, sum), 1)
    })
  })

  it('wakes a parked CPU, which goes on parking', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, word, sum] = words(machine, 3) as [number, number, number]
      const actor = await start()
      await actor.tell({ do: 'register', name: 'add', adds: sum })
      const parked = actor.tell({ do: 'park', word, tells })
      await becomesSet(machine.memory, tells)
      for (let i = 1; i <= 20; i++) {
        assert.deepEqual(await machine.cpus.call([1], 'add', { argument: 1 }), { ...none, ran: [1] })
        assert.equal(get(machine.memory, sum), i)
      }
      set(machine.memory, word)
      machine.cpus.ring(1, 0)
      await parked
    })
  })

  it('gives up after a timeout, naming who is late', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const actor = await start()
      const spinning = actor.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      await rejectsCode(machine.cpus.call([1], 'f', { timeout: 5 }), 'PERCPU_UNANSWERED', /'f' .* CPU 1/)
      set(machine.memory, until)
      await spinning
      assert.deepEqual(await machine.cpus.call([1], 'f'), { ...none, failed: [1] })
    })
  })

  it('is run by a CPU that is stopping, and never by one that is gone', async () => {
    const machine = boot({ cpus: 2 })
    const leaver = joinAs(machine, 101)
    let ran = 0
    leaver.cpus.registerFunction('f', () => ran++)
    let finish: () => void = () => undefined
    leaver.cpus.addHotplug({
      name: 'slow',
      teardown: () => new Promise<void>((resolve) => (finish = resolve)),
    })
    const call = machine.cpus.call(1, 'f')
    // The call is made in a job of its own.
    await Promise.resolve()
    const leaving = leaver.offline()
    assert.deepEqual(await call, { ...none, ran: [1] })
    finish()
    await leaving
    assert.equal(ran, 1)
    assert.deepEqual(await machine.cpus.call(1, 'f'), { ...none, gone: [1] })
    assert.deepEqual(await machine.cpus.call(1, 'f', { wait: false }), { ...none, gone: [1] })
  })

  it('counts a timeout from the call, also behind one that is not answered', async () => {
    await withMachine({ cpus: 3 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const actor = await start()
      const spinning = actor.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      let calls = 0
      joinAs(machine, 101).cpus.registerFunction('g', () => calls++)
      await machine.cpus.call(1, 'f', { wait: false })
      await rejectsCode(machine.cpus.call(2, 'g', { timeout: 5 }), 'PERCPU_UNANSWERED', /'g' was not called/)
      set(machine.memory, until)
      await spinning
      assert.deepEqual(await machine.cpus.call(2, 'g'), { ...none, ran: [2] })
      assert.equal(calls, 1, 'what was not called in time is not called later')
    })
  })

  it('takes no function for another one of a like name', async () => {
    const machine = boot({ cpus: 1 })
    // Each pair has the same 32-bit FNV-1a hash.
    for (const [one, other] of [
      ['liquid', 'costarring'],
      ['declinate', 'macallums'],
      ['altarage', 'zinke'],
    ] as const) {
      machine.cpus.registerFunction(one, () => assert.fail(`${other} was called`))
      assert.deepEqual(await machine.cpus.call(0, other), { ...none, failed: [0] })
    }
  })

  it('refuses impossible CPUs, reasons, arguments, timeouts, and names that are taken', async () => {
    const machine = boot({ cpus: 2 })
    await rejectsCode(machine.cpus.call([2], 'f'), 'PERCPU_ARGUMENT', /CPU 2 is not possible/)
    await rejectsCode(machine.cpus.call('0' as unknown as number, 'f'), 'PERCPU_ARGUMENT', /cpus: '0'/)
    await rejectsCode(machine.cpus.call([0], ''), 'PERCPU_ARGUMENT', /name/)
    await rejectsCode(machine.cpus.call([0], 'f', { argument: 2 ** 31 }), 'PERCPU_ARGUMENT', /2147483648/)
    for (const timeout of [NaN, -1, '1' as unknown as number]) {
      await rejectsCode(machine.cpus.call([0], 'f', { timeout }), 'PERCPU_ARGUMENT', /timeout/)
      await rejectsCode(machine.rcu.synchronize({ timeout }), 'PERCPU_ARGUMENT', /timeout/)
      throwsCode(() => machine.cpus.park(4096, 0, timeout), 'PERCPU_ARGUMENT', /timeout/)
    }
    assert.deepEqual(await machine.cpus.call([0], 'f', { timeout: 2 ** 40 }), { ...none, failed: [0] })
    throwsCode(() => machine.cpus.ring(-1, 0), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.cpus.ring(0, 16), 'PERCPU_ARGUMENT', /0 to 15/)
    throwsCode(() => machine.cpus.onRing(1.5, () => undefined), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.cpus.onRing(0, 5 as unknown as () => void), 'PERCPU_ARGUMENT', /handler/)
    throwsCode(() => machine.cpus.registerFunction('n', 5 as unknown as () => void), 'PERCPU_ARGUMENT', /run/)
    for (const name of ['', 'x'.repeat(57), '\ud800', 5 as unknown as string]) {
      throwsCode(() => machine.cpus.registerFunction(name, () => undefined), 'PERCPU_ARGUMENT', /name/)
      throwsCode(() => machine.cpus.addHotplug({ name }), 'PERCPU_ARGUMENT', /name/)
    }
    for (const name of ['', 'x'.repeat(57), '\ud800'])
      await rejectsCode(machine.cpus.call([0], name), 'PERCPU_ARGUMENT', /name/)
    for (const run of [() => Promise.resolve(), () => ({ then: () => undefined })] as (() => unknown)[])
      throwsCode(() => machine.cpus.deaf(run), 'PERCPU_ARGUMENT', /run: .* is asynchronous/)
    assert.equal(
      machine.cpus.deaf(() => 5),
      5,
    )
    const unregister = machine.cpus.registerFunction('f', () => undefined)
    throwsCode(
      () => machine.cpus.registerFunction('f', () => undefined),
      'PERCPU_ARGUMENT',
      /registered already/,
    )
    unregister()
    machine.cpus.registerFunction('f', () => undefined)
    unregister()
    assert.deepEqual(await machine.cpus.call([0], 'f'), { ...none, ran: [0] })
  })
})

describe('poll', () => {
  it('lets a long loop answer', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until, sum] = words(machine, 3) as [number, number, number]
      const actor = await start()
      await actor.tell({ do: 'register', name: 'add', adds: sum })
      const spinning = actor.tell({ do: 'spin', until, tells, polls: true, deaf: false })
      await becomesSet(machine.memory, tells)
      assert.deepEqual(await machine.cpus.call([1], 'add', { argument: 3 }), { ...none, ran: [1] })
      await machine.rcu.synchronize()
      set(machine.memory, until)
      await spinning
      assert.equal(get(machine.memory, sum), 3)
    })
  })

  it('is not re-entered by what it runs', () => {
    const machine = boot()
    let runs = 0
    machine.cpus.onRing(0, () => {
      if (++runs > 1) return
      machine.cpus.ring(0, 0)
      machine.poll()
    })
    machine.cpus.ring(0, 0)
    machine.poll()
    assert.equal(runs, 1)
  })
})

describe('an idle stretch', () => {
  it('answers nothing, whatever is called in it', async () => {
    const machine = boot({ cpus: 2 })
    const [word] = words(machine, 1) as [number]
    let rung = 0
    machine.cpus.onRing(0, () => rung++)
    machine.cpus.deaf(() => {
      machine.cpus.ring(0, 0)
      machine.poll()
      machine.cpus.park(word, 0, 0)
      machine.cpus.deaf(() => {
        machine.poll()
      })
      assert.equal(rung, 0)
    })
    assert.equal(rung, 1)
    await machine.rcu.synchronize()
  })

  it('in a called function sleeps, though the bell cannot be answered there', async () => {
    const machine = boot({ cpus: 1 })
    const [word] = words(machine, 1) as [number]
    machine.cpus.registerFunction('sleep', () => {
      machine.cpus.ring(0, 0)
      assert.equal(machine.cpus.park(word, 0, 1), 'timed-out')
    })
    assert.deepEqual((await machine.cpus.call(0, 'sleep')).ran, [0])
  })
})

describe('park', () => {
  it('hears a ring that comes right before it falls asleep', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, word, rung] = words(machine, 3) as [number, number, number]
      const actor = await start()
      await actor.tell({ do: 'count-rings', reason: 0, word: rung })
      const parked = actor.tell({ do: 'park', word, tells })
      for (let i = 1; i <= 200; i++) {
        machine.cpus.ring(1, 0)
        await becomesSet(machine.memory, rung)
        set(machine.memory, rung, 0)
      }
      set(machine.memory, word)
      machine.cpus.ring(1, 0)
      await parked
    })
  })

  it('is Atomics.wait for the word', () => {
    const machine = boot()
    const [word] = words(machine, 1) as [number]
    assert.equal(machine.cpus.park(word, 1), 'not-equal')
    assert.equal(machine.cpus.park(word, 0, 1), 'timed-out')
    throwsCode(() => machine.cpus.park(word + 2, 0), 'PERCPU_ARGUMENT')
    throwsCode(() => machine.cpus.park(2 ** 40, 0), 'PERCPU_ARGUMENT')
  })

  it('answers rings before it returns', () => {
    const machine = boot()
    const [word] = words(machine, 1) as [number]
    let rung = 0
    machine.cpus.onRing(0, () => rung++)
    machine.cpus.ring(0, 0)
    machine.cpus.park(word, 1)
    assert.equal(rung, 1)
  })
})
