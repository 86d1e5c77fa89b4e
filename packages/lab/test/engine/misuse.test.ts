/** What is asked for wrongly is refused, with an error that has a code. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type CpuContext, explore, percpu, type Scenario, ScenarioError } from '../../dist/index.js'
import { fails, idle, wordsOf } from './support.js'

const { i32, struct } = percpu
const nothing = () => undefined

async function refuses(scenario: (t: Scenario) => unknown, message: RegExp): Promise<void> {
  await assert.rejects(explore('refused', scenario), (error: unknown) => {
    assert.ok(error instanceof ScenarioError, String(error))
    assert.equal(error.code, 'LAB_SCENARIO')
    assert.match(error.message, message)
    return true
  })
  // And the next exploration is none the worse for it.
  assert.equal((await explore('next', (t) => t.cpu(0, idle(t)))).executions, 1)
}

describe('a scenario', () => {
  it('without a body is refused', () => refuses(nothing, /needs at least one cpu/))
  it('with two bodies for a CPU is refused', () =>
    refuses((t) => {
      t.cpu(0, nothing)
      t.cpu(0, nothing)
    }, /CPU 0 has a body already/))
  it('that interrupts or kills nobody is refused', async () => {
    await refuses((t) => t.irq(1, nothing), /CPU 1 has no body/)
    await refuses((t) => t.kill(2), /CPU 2 has no body/)
  })
  it('without what a call takes is refused', async () => {
    const none = undefined as never
    await refuses((t) => t.cpu(0, none), /the body of CPU 0: undefined is not a function/)
    await refuses((t) => t.finally(none), /the check: undefined is not a function/)
    await refuses((t) => t.filter(none), /the filter: undefined is not a function/)
    await refuses((t) => t.invariant(none), /the invariant: undefined/)
    await refuses((t) => void t.ipi(none), /the handler: undefined/)
    await refuses((t) => void t.memory(none), /the struct/)
    const one = (settings: (t: Scenario) => void) => (t: Scenario) => {
      t.cpu(0, nothing)
      settings(t)
    }
    await refuses(
      one((t) => t.irq(0, none)),
      /the handler of CPU 0: undefined/,
    )
    await refuses(
      one((t) => t.irq(0, nothing, { time: 3 } as never)),
      /irq: there is no option time; there are at, level, name, times/,
    )
    await refuses(
      one((t) => t.irq(0, nothing, { at: 'nowhere' as never })),
      /irq: at is one of anywhere, safepoints, not "nowhere"/,
    )
    await refuses(
      one((t) => t.kill(0, { repaer: nothing } as never)),
      /kill: there is no option repaer; there are reaper, reaperKill/,
    )
    await refuses(
      one((t) => t.kill(0, { reaper: 5 as never })),
      /kill: reaper is a function, not 5/,
    )
    await refuses(
      one((t) => t.kill(0, { reaper: nothing, reaperKill: { reaper: 5 as never } })),
      /kill: reaper is a function, not 5/,
    )
  })
  it('with numbers that are none is refused', async () => {
    for (const wrong of [-1, 0.5, NaN, Infinity, '0' as never, undefined as never]) {
      await refuses((t) => t.cpu(wrong, nothing), /cpu: the number: \S+ is no whole number from 0 on/)
      await refuses((t) => void t.words(wrong), /words: the count: \S+ is no whole number from 0 on/)
    }
    const Word = struct('Word', { one: i32 })
    await refuses((t) => t.name(t.shared, -4, Word), /name: the address: -4 is no whole number/)
    await refuses((t) => t.name({} as never, 0, Word), /name: \[object Object\] is no memory/)
  })
  it('that needs more memory than there is is refused', () =>
    refuses((t) => void t.words(20_000), /80000 more do not fit/))
  it('with too many processes is refused', async () => {
    const many = (t: Scenario) => {
      for (let cpu = 0; cpu < 31; cpu++) t.cpu(cpu, nothing)
    }
    await assert.rejects(explore('many', many), RangeError)
  })
  it('that throws gives its error to the caller', async () => {
    const broken = () => {
      throw new TypeError('in the scenario')
    }
    await assert.rejects(explore('broken', broken), TypeError)
  })
})

describe('a promise', () => {
  const one = (settings: (t: Scenario) => unknown) => (t: Scenario) => {
    t.cpu(0, idle(t))
    settings(t)
  }
  /** Functions that return a promise, rejected by a check after the first await, or thenable. */
  const promising = [
    async () => {
      await Promise.resolve()
      assert.fail('not looked at')
    },
    () => ({ then: nothing }),
  ] as (() => never)[]

  it('of the scenario is refused, with all that would come after it', async () => {
    const scenario = async (t: Scenario): Promise<void> => {
      t.cpu(0, idle(t))
      await Promise.resolve()
      t.finally(nothing)
    }
    await refuses(scenario, /refused: the scenario has returned a promise/)
    // What it throws meanwhile is nobody's unhandled rejection.
    await refuses(async () => Promise.reject(new Error('lost')), /the scenario has returned a promise/)
    await refuses(() => ({ then: nothing }), /the scenario has returned a promise/)
  })
  it('of a check is refused', async () => {
    for (const check of promising) {
      await refuses(
        one((t) => t.finally(check)),
        /finally\(\) has returned a promise/,
      )
      await refuses(
        one((t) => t.invariant(check)),
        /the invariant has returned a promise/,
      )
      await refuses(
        one((t) => t.filter(check)),
        /the filter has returned a promise/,
      )
    }
  })
  it('of an interrupt or of preparations is a failure', async () => {
    for (const handler of promising) {
      const { cause } = await fails(
        'assertion',
        'async irq',
        one((t) => t.irq(0, handler)),
      )
      assert.match(String(cause), /ScenarioError: the handler of an interrupt has returned a promise/)
      const prepared = (t: Scenario): void => t.cpu(0, (cpu) => cpu.prepare(handler))
      await fails('assertion', 'async prepare', prepared)
    }
  })
  it('that a body forgets fails if it is rejected, and is explored', async () => {
    const forgetful = (wrong: number) => (t: Scenario) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        void (async () => {
          w.add(0, 1)
          await Promise.resolve()
          assert.equal(w.add(0, 1), wrong)
        })()
      })
      t.finally(() => assert.equal(w.load(0), 2))
    }
    await explore('forgotten', forgetful(1))
    await fails('assertion', 'forgotten and rejected', forgetful(5))
  })
})

describe('a scenario that is described', () => {
  it('takes no bodies and checks any more', async () => {
    const late: unknown[] = []
    const call = (name: 'cpu' | 'irq' | 'kill' | 'ipi' | 'filter' | 'finally' | 'invariant' | 'history') =>
      fails('assertion', name, (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, () => {
          w.load(0)
          ;(t[name] as (...args: unknown[]) => unknown)(1, nothing)
        })
      }).then(({ cause }) => late.push(String(cause)))
    const names = ['cpu', 'irq', 'kill', 'ipi', 'filter', 'finally', 'invariant', 'history'] as const
    for (const name of names) await call(name)
    assert.deepEqual(
      late,
      names.map(
        (name) =>
          `ScenarioError: ${name}() comes too late: a scenario is described before its function returns`,
      ),
    )
  })
})

describe('an invariant', () => {
  it('fails the exploration though a body catches all errors', async () => {
    await fails('invariant', 'swallowed', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        try {
          w.store(0, 1)
          w.store(0, 2)
        } catch {
          return
        }
      })
      t.invariant(() => assert.notEqual(w.load(0), 1))
    })
  })
})

describe('an exploration', () => {
  it('with options that there are not, or other values, is refused', async () => {
    for (const [options, message] of [
      [{ mod: 'pct' }, /^misuse: there is no option mod; there are mode, preemptions, /],
      [{ mode: 'all' }, /^misuse: mode is one of exhaustive, enumerate, pct, random, not "all"/],
      [{ preemptions: '3' }, /^misuse: preemptions is a whole number from 0 on, not "3"/],
      [{ executions: 0 }, /^misuse: executions is a whole number from 1 on, not 0/],
      [{ maxSteps: NaN }, /maxSteps is a whole number/],
      [{ weak: 1 }, /weak is true or false/],
      [{ replay: 5 }, /replay is a string/],
      [{ expect: 5 }, /expect is an object/],
      [{ expect: { executons: 1 } }, /^misuse: expect: there is no option executons; there are executions, /],
      [null, /options are an object, not null/],
    ] as [never, RegExp][])
      await assert.rejects(
        explore('misuse', (t) => t.cpu(0, nothing), options),
        {
          code: 'LAB_SCENARIO',
          message,
        },
      )
    await assert.rejects(explore('misuse', 5 as never), {
      name: 'ScenarioError',
      message: /5 is not a function/,
    })
  })
})

describe('a body', () => {
  const inBody = async (body: (cpu: CpuContext) => unknown, message: RegExp) => {
    const failure = await fails('assertion', 'misuse', (t) => {
      wordsOf(t, 1)
      t.cpu(0, body)
    })
    assert.match(failure.message, message)
    return failure.cause
  }
  it('that chooses among nothing fails', async () => {
    for (const count of [0, 1.5, NaN, -1])
      assert.ok(
        (await inBody((cpu) => cpu.choose(count), /choose\(\) takes a whole number/)) instanceof
          ScenarioError,
      )
  })
  it('that says what cannot be fails', async () => {
    const wrong: readonly [(cpu: CpuContext, t: Scenario) => unknown, RegExp][] = [
      [(cpu) => cpu.mask(-1), /mask: the level -1 is no number from 0 on/],
      [(cpu) => cpu.mask(NaN), /mask: the level NaN/],
      [(cpu) => cpu.unmask('1' as never), /unmask: the level "1"/],
      [(cpu) => cpu.ipi(-1, undefined as never), /ipi: the CPU: -1 is no whole number from 0 on/],
      [(cpu) => cpu.ipi(0, undefined as never), /ipi: the handler is none that t\.ipi\(\) made/],
      [(cpu) => cpu.ipiAndWait(0, nothing as never), /ipiAndWait: the handler is none/],
      [(cpu) => cpu.allocated({} as never, 0, 8), /allocated: \[object Object\] is no memory/],
      [(cpu, t) => cpu.allocated(t.shared, -8, 8), /allocated: the address: -8/],
      [(cpu, t) => cpu.freed(t.shared, 0, 0.5), /freed: the number of bytes: 0\.5/],
    ]
    for (const [body, message] of wrong) {
      const failure = await fails('assertion', 'wrong', (t) => {
        wordsOf(t, 1)
        t.cpu(0, (cpu) => void body(cpu, t))
      })
      assert.match(failure.message, message)
      assert.ok(failure.cause instanceof ScenarioError)
    }
  })
  it('that interrupts a CPU that is not there fails', async () => {
    const failure = await fails('assertion', 'nobody', (t) => {
      const handler = t.ipi(nothing)
      t.cpu(0, (cpu) => cpu.ipi(7, handler))
    })
    assert.match(failure.message, /there is no CPU 7 to interrupt/)
  })
  it('that explores fails', async () => {
    let inner: Promise<unknown> | undefined
    await explore('outer', (t) => {
      const touch = idle(t)
      t.cpu(0, () => {
        touch()
        inner ??= assert.rejects(
          explore('inner', (t2) => t2.cpu(0, nothing)),
          ScenarioError,
        )
      })
    })
    await inner
  })
  it('is the only place for what a CPU does', async () => {
    let kept: CpuContext | undefined
    await explore('kept', (t) => {
      const touch = idle(t)
      t.cpu(0, (cpu) => {
        kept = cpu
        touch()
      })
    })
    const outside = (error: unknown) => error instanceof ScenarioError && /only the body/.test(error.message)
    assert.throws(() => kept?.safepoint(), outside)
    assert.throws(() => kept?.choose(2), outside)
  })
  it('that reads beyond its memory gets what an engine gives', async () => {
    await explore('outside', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        assert.equal(w.plainLoad(1 << 20), undefined)
        assert.throws(() => w.load(1 << 20), RangeError)
        w.load(0)
      })
    })
  })
  it('cannot block while it prepares', async () => {
    const failure = await fails('assertion', 'blocked', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, (cpu) => cpu.prepare(() => w.wait(0, 0)))
    })
    assert.match(failure.message, /cannot block in prepare/)
  })
})
