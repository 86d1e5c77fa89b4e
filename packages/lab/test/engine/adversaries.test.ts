/**
 * What may happen to a CPU: interrupts, IPIs, kills, failing allocations; each at every place where
 * it can, and nowhere else.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore } from '../../dist/index.js'
import { explored, fails, idle, proves, wordsOf } from './support.js'

describe('an interrupt', () => {
  it('comes before any step that it can matter to, and must come', async (test) => {
    const seen = new Set<unknown>()
    await explored(
      test,
      (t) => {
        const w = wordsOf(t, 2)
        t.cpu(0, () => [w.load(0), w.load(1), w.load(0)].join(''))
        t.irq(0, () => w.store(0, 1))
        t.finally(() => assert.equal(w.load(0), 1))
      },
      { observe: ([result]) => seen.add(result) },
    )
    assert.deepEqual([...seen].sort(), ['000', '001', '101'])
  })
  it('at safepoints comes there, or when nothing runs', async () => {
    const seen = new Set<unknown>()
    await explore(
      'safepoints',
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, (cpu) => {
          const first = w.load(0)
          cpu.safepoint()
          return [first, w.load(0), w.load(0)].join('')
        })
        t.irq(0, () => w.store(0, 1), { at: 'safepoints' })
      },
      { observe: ([result]) => seen.add(result) },
    )
    assert.deepEqual([...seen].sort(), ['000', '011'])
  })
  it('is kept out by a mask, and a level above the mask is not', async () => {
    const run = async (level: number) => {
      const seen = new Set<unknown>()
      await explore(
        'masked',
        (t) => {
          const w = wordsOf(t, 1)
          t.cpu(0, (cpu) => {
            assert.equal(cpu.mask(1), 0)
            const both = [w.load(0), w.load(0)].join('')
            cpu.unmask()
            return both
          })
          t.irq(0, () => w.store(0, 1), { level })
        },
        { observe: ([result]) => seen.add(result) },
      )
      return [...seen].sort()
    }
    assert.deepEqual(await run(1), ['00', '11'])
    assert.deepEqual(await run(2), ['00', '01', '11'])
  })
  it('makes a load and a store lose a count, which one step does not', async (test) => {
    const count =
      (add: (w: ReturnType<typeof wordsOf>) => void) => (t: Parameters<Parameters<typeof explore>[1]>[0]) => {
        const w = wordsOf(t, 1)
        t.cpu(0, () => add(w))
        t.irq(0, () => add(w), { times: 2 })
        t.finally(() => assert.equal(w.load(0), 3))
      }
    await fails(
      'assertion',
      'split',
      count((w) => w.store(0, w.load(0) + 1)),
    )
    await explored(
      test,
      count((w) => w.add(0, 1)),
    )
  })
})

describe('an IPI', () => {
  it('waited for has run', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        const handler = t.ipi(() => w.store(0, 1))
        t.cpu(0, (cpu) => {
          cpu.ipiAndWait(1, handler)
          return w.load(0)
        })
        t.cpu(1, () => undefined)
      },
      ['[1,null]'],
    ))
  it('not waited for comes before or after', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        const handler = t.ipi(() => w.store(0, 1))
        t.cpu(0, (cpu) => {
          cpu.ipi(1, handler)
          return w.load(0)
        })
        t.cpu(1, () => undefined)
      },
      ['[0,null]', '[1,null]'],
    ))
  it('to each other with interrupts masked is a deadlock', async () => {
    const { trace } = await fails('deadlock', 'both masked', (t) => {
      const handler = t.ipi(() => undefined)
      for (const me of [0, 1])
        t.cpu(me, (cpu) => {
          cpu.mask()
          cpu.ipiAndWait(1 - me, handler)
          cpu.unmask()
        })
    })
    const sent = trace.events.filter(({ name }) => name === 'ipi').map(({ target }) => target)
    assert.deepEqual(sent.sort(), [0, 1])
    assert.match((await fails('deadlock', 'again', (t) => {
      const handler = t.ipi(() => undefined)
      t.cpu(0, (cpu) => {
        cpu.mask()
        cpu.ipiAndWait(0, handler)
      })
    })).message, /send IPI to CPU 0/) // prettier-ignore
  })
})

describe('a kill', () => {
  it('comes before any step, or not at all, and then the reaper runs', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 2)
        t.cpu(0, () => {
          w.store(0, 1)
          w.store(0, 2)
          return 'alive'
        })
        t.kill(0, { reaper: () => w.add(1, w.load(0)) })
        t.finally(([result]) => {
          if (result === 'alive') assert.equal(w.load(0), 2)
        })
      },
      ['["alive"]', '[null]'],
    ))
  it('comes once before steps that only look, though each of them could be the last', async () => {
    const seen = new Set<string>()
    const { executions } = await explore('looks', (t) => {
      const w = wordsOf(t, 3)
      t.cpu(0, () => {
        w.load(0)
        w.store(0, 1)
        for (let i = 0; i < 5; i++) w.load(i % 2)
        w.store(1, 1)
        w.load(0)
        return 'alive'
      })
      t.kill(0, { reaper: () => w.store(2, 4 + w.load(0) + 2 * w.load(1)) })
      t.finally(([result]) => seen.add(`${String(result)} ${w.load(2)}`))
    })
    assert.deepEqual([...seen].sort(), ['alive 0', 'undefined 4', 'undefined 5', 'undefined 7'])
    assert.equal(executions, 4)
  })
  it('in a wait takes the waiter out of the queue', async () => {
    await explore('in a wait', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => w.wait(0, 0))
      t.cpu(1, () => {
        w.store(0, 1)
        return w.notify(0)
      })
      t.kill(0)
      t.finally(([woken, count]) => assert.ok(count === 0 || woken === 'ok' || woken === undefined))
    })
  })
  it('finds what a lock without an owner loses', async () => {
    await fails('deadlock', 'lost lock', (t) => {
      const w = wordsOf(t, 1)
      for (const cpu of [0, 1])
        t.cpu(cpu, () => {
          while (w.cas(0, 0, 1) !== 0) w.wait(0, 1)
          w.store(0, 0)
          w.notify(0, 1)
        })
      t.kill(0)
    })
  })
})

describe('choices', () => {
  it('are all made', (test) =>
    proves(
      test,
      (t) => {
        const touch = idle(t)
        t.cpu(0, (cpu) => {
          touch()
          return cpu.fails() ? 'failed' : cpu.choose(3)
        })
      },
      ['["failed"]', '[0]', '[1]', '[2]'],
    ))
})

describe('prepare', () => {
  it('runs once for all executions, without steps', async (test) => {
    const { operations } = await explored(test, (t) => {
      const w = wordsOf(t, 3)
      for (const me of [0, 1])
        t.cpu(me, (cpu) => {
          const mine = cpu.prepare(() => {
            w.store(2, w.load(2) + 1)
            return { number: w.add(0, 1) }
          })
          w.add(1, 1 + mine.number)
        })
      t.finally(() => assert.deepEqual([w.load(0), w.load(1), w.load(2)], [2, 3, 2]))
    })
    assert.ok(operations <= 4)
  })
  it('may be nested', async (test) => {
    const { operations } = await explored(test, (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, (cpu) => {
        cpu.prepare(() => {
          cpu.prepare(() => w.add(0, 1))
          w.add(0, 1)
        })
        w.load(0)
      })
      t.finally(() => assert.equal(w.load(0), 2))
    })
    assert.equal(operations, 1)
  })
  it('comes before the first step only', async () => {
    const failure = await fails('assertion', 'late', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, (cpu) => {
        w.load(0)
        cpu.prepare(() => undefined)
      })
    })
    assert.match(failure.message, /before the first step/)
  })
})
