/**
 * Everything that an execution can fail by, each by a scenario as small as it gets, and each with a
 * neighbour that does not fail.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type CpuContext, ExplorationFailure, explore, mem } from '../../dist/index.js'
import { fails, idle, proves, wordsOf, type Words } from './support.js'

describe('deadlock', () => {
  it('is two who each hold what the other waits for', async () => {
    const { trace } = await fails('deadlock', 'two locks', (t) => {
      const w = wordsOf(t, 2)
      const lock = (k: number) => {
        while (w.cas(k, 0, 1) !== 0) w.wait(k, 1)
      }
      const unlock = (k: number) => {
        w.store(k, 0)
        w.notify(k, 1)
      }
      for (const me of [0, 1])
        t.cpu(me, () => {
          lock(me)
          lock(1 - me)
          unlock(1 - me)
          unlock(me)
        })
    })
    assert.deepEqual(
      trace.failure?.stuck.map(({ process }) => trace.processes[process]?.name),
      ['cpu 0', 'cpu 1'],
    )
  })
  it('is not a wait that runs out of time', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, () => w.wait(0, 0, 10))
      },
      ['["timed-out"]'],
    ))
})

describe('starvation', () => {
  it('is a loop that nobody can end', async () => {
    const { trace } = await fails('starvation', 'nobody sets it', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => mem.awaitUntil(() => w.load(0) === 2))
      t.cpu(1, () => w.store(0, 1))
    })
    assert.match(trace.failure?.stuck[0]?.waitsFor ?? '', /stays false/)
  })
  it('is not one that somebody ends', (test) =>
    proves(test, (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => mem.awaitUntil(() => w.load(0) === 1))
      t.cpu(1, () => w.store(0, 1))
    }))
  it('is not a loop with a limit', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, () => mem.awaitUntil(() => w.load(0) === 1, 3))
        t.cpu(1, () => w.store(0, 1))
      },
      ['[false,null]', '[true,null]'],
    ))
  it('is found while the CPU that spins may be killed, whose kill is explored too', (test) =>
    proves(test, (t) => {
      const w = wordsOf(t, 2)
      t.cpu(0, () => {
        w.load(0)
        mem.awaitUntil(() => w.load(1) !== 0)
        return 'over'
      })
      t.cpu(1, () => w.store(1, 1))
      t.kill(0, { reaper: () => w.load(1) })
    }))
})

describe('a leak', () => {
  const blocks = (free: boolean) => (t: Parameters<Parameters<typeof explore>[1]>[0]) => {
    const w = wordsOf(t, 4)
    t.cpu(0, (cpu) => {
      cpu.allocated(w.memory, w.at(2) * 4, 8)
      if (free || w.load(0) === 0) cpu.freed(w.memory, w.at(2) * 4, 8)
    })
    t.cpu(1, () => w.store(0, 1))
  }
  it('is a block that nobody frees in some execution', async () => {
    const { trace } = await fails('leak', 'sometimes kept', blocks(false))
    assert.match(trace.failure?.message ?? '', /allocated in step \d+ is never freed/)
  })
  it('is not one that is freed in all', (test) => proves(test, blocks(true)))
})

describe('use after free', () => {
  it('is an access that nothing orders before the free', async () => {
    const { trace } = await fails('data race', 'read while freed', (t) => {
      const w = wordsOf(t, 4)
      t.cpu(0, (cpu) => {
        cpu.allocated(w.memory, w.at(2) * 4, 8)
        w.plainStore(2, 7)
        w.store(0, 1)
        w.store(0, 0)
        cpu.freed(w.memory, w.at(2) * 4, 8)
      })
      t.cpu(1, () => (w.load(0) === 1 ? w.plainLoad(2) : 0))
    })
    const { race } = trace.failure ?? {}
    assert.deepEqual([race?.first, race?.second].map((step) => trace.events[step ?? -1]?.name).sort(), [
      'free',
      'load',
    ])
  })
  // Words 2 to 7 are a block.
  const block = (
    t: Parameters<Parameters<typeof explore>[1]>[0],
    use: (w: Words, cpu: CpuContext) => void,
  ) => {
    const w = wordsOf(t, 8)
    t.cpu(0, (cpu) => {
      cpu.allocated(w.memory, w.at(2) * 4, 24)
      cpu.freed(w.memory, w.at(2) * 4, 24)
      w.store(0, 1)
    })
    t.cpu(1, (cpu) => {
      if (w.load(0) === 1) use(w, cpu)
    })
  }
  it('is an access after the free, also when that is ordered before it', async () => {
    const { trace } = await fails('use after free', 'read', (t) => block(t, (w) => w.load(7)))
    assert.match(trace.failure?.message ?? '', /^cpu 1 touches \(step \d+\) a block that cpu 0 freed/)
  })
  it('is a second free', async () => {
    const { trace } = await fails('use after free', 'free', (t) =>
      block(t, (w, cpu) => cpu.freed(w.memory, w.at(2) * 4, 24)),
    )
    assert.match(trace.failure?.message ?? '', /^cpu 1 frees a second time/)
  })
  it('is not the use of the block by who has it next', (test) =>
    proves(test, (t) =>
      block(t, (w, cpu) => {
        cpu.allocated(w.memory, w.at(2) * 4, 24)
        w.plainStore(7, 1)
        cpu.freed(w.memory, w.at(2) * 4, 24)
      }),
    ))
})

describe('a data race', () => {
  it('is an atomic and a plain access of one word', async () => {
    const { trace } = await fails('data race', 'mixed', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => w.plainStore(0, 1))
      t.cpu(1, () => w.load(0))
    })
    assert.equal(trace.failure?.race?.rule, 'atomic-plain')
  })
  it('is atomic accesses of different widths', async () => {
    const { trace } = await fails('data race', 'widths', (t) => {
      const w = wordsOf(t, 2)
      t.cpu(0, () => w.store(0, 1))
      t.cpu(1, () => mem.loadAtomicU64(w.memory.u64, w.at(0) / 2))
    })
    assert.equal(trace.failure?.race?.rule, 'unequal widths')
  })
  it('is not two plain loads, nor plain accesses of different bytes of a word', (test) =>
    proves(test, (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => mem.store16(w.memory.i16, w.at(0) * 2, 1))
      t.cpu(1, () => mem.store16(w.memory.i16, w.at(0) * 2 + 1, 1))
      t.cpu(2, () => mem.load16(w.memory.i16, w.at(0) * 2 + 4))
      t.cpu(3, () => mem.load16(w.memory.i16, w.at(0) * 2 + 4))
    }))
  it('is a range copied while a byte of it is written', async () => {
    const { trace } = await fails('data race', 'copy', (t) => {
      const w = wordsOf(t, 2)
      t.cpu(0, () => mem.copyOut(w.memory, w.at(0) * 4, 8))
      t.cpu(1, () => mem.store8(w.memory.bytes, w.at(1) * 4 + 3, 1))
    })
    assert.ok(trace.events.some(({ name, bytes }) => name === 'copyOut' && bytes === 8))
  })
})

describe('checks', () => {
  it('of a body fail as assertions, with what was thrown as the cause', async () => {
    const failure = await fails('assertion', 'body', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        w.add(0, 1)
        if (w.load(0) === 2) throw new RangeError('two')
      })
      t.cpu(1, () => w.add(0, 1))
    })
    assert.ok(failure.cause instanceof RangeError)
    assert.match(failure.message, /cpu 0: two/)
  })
  it('of the end see what the bodies returned', async () => {
    const failure = await fails('assertion', 'end', (t) => {
      const w = wordsOf(t, 1)
      for (const cpu of [0, 1]) t.cpu(cpu, () => w.add(0, 1))
      t.finally((results) => assert.deepEqual(results, [0, 1]))
    })
    // The second execution is the one in which CPU 1 comes first.
    assert.equal(failure.execution, 2)
  })
  it('of invariants run after each step', async () => {
    const { trace } = await fails('invariant', 'never one', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        w.store(0, 1)
        w.store(0, 2)
      })
      t.invariant(() => assert.notEqual(w.load(0), 1, 'one'))
    })
    assert.equal(trace.events.length, 1)
    assert.match(trace.failure?.message ?? '', /one/)
  })
})

describe('limits', () => {
  it('end an execution that goes on for ever', async () => {
    await fails(
      'limit',
      'endless',
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, () => {
          while (w.load(0) === 0);
        })
      },
      { maxSteps: 50 },
    )
  })
  it('end a search, which says that it is not complete', async () => {
    const scenario = (t: Parameters<Parameters<typeof explore>[1]>[0]) => {
      const w = wordsOf(t, 1)
      for (const cpu of [0, 1, 2]) t.cpu(cpu, () => w.add(0, 1))
    }
    const { executions, truncated } = await explore('some', scenario, { executions: 4 })
    assert.deepEqual([executions, truncated], [4, true])
    const all = await explore('all', scenario)
    assert.deepEqual([all.executions, all.truncated], [6, false])
    assert.equal((await explore('no time', scenario, { maxMs: 0 })).truncated, true)
  })
  it('are the counts that a test expects', async () => {
    const one = (expect: { executions?: number; blocked?: number }) =>
      explore('one', (t) => t.cpu(0, idle(t)), { expect })
    await one({ executions: 1, blocked: 0 })
    for (const expect of [{ executions: 2 }, { blocked: 1 }])
      await assert.rejects(
        one(expect),
        (error) => error instanceof ExplorationFailure && error.kind === 'execution count',
      )
  })
})

describe('nondeterminism', () => {
  it('is a body that does something else when it is run again', async () => {
    let runs = 0
    await fails('nondeterminism', 'counts its runs', (t) => {
      const w = wordsOf(t, 2)
      t.cpu(0, () => {
        w.load(runs++ % 2)
        w.load(0)
      })
      t.cpu(1, () => w.store(0, 1))
    })
  })
  it('is not what depends on time or chance, which are the same in each run', (test) =>
    proves(test, (t) => {
      const w = wordsOf(t, 2)
      t.cpu(0, () => {
        w.load(Math.random() < 0.5 ? 0 : 1)
        w.load(Math.floor(performance.now()) % 2)
        return Date.now() % 2
      })
      t.cpu(1, () => w.store(0, 1))
    }))
})
