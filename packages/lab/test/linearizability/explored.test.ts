/** Explorations whose histories must be linearizable. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ExplorationFailure, explore, mem, ScenarioError, type Scenario } from 'percpu-lab'

class Counter {
  value = 0
  increment(): number {
    return ++this.value
  }
  read(): number {
    return this.value
  }
}

type Words = ReturnType<Scenario['words']>
const add = ({ memory, base }: Words): number => mem.addAtomic32(memory.i32, base, 1) + 1
const loadAndStore = ({ memory, base }: Words): number => {
  const value = mem.loadAtomic32(memory.i32, base) + 1
  mem.storeAtomic32(memory.i32, base, value)
  return value
}
const load = ({ memory, base }: Words): number => mem.loadAtomic32(memory.i32, base)

const counted = (increment: (words: Words) => number) => (t: Scenario) => {
  const words = t.words(1)
  const history = t.history(Counter)
  for (const cpu of [0, 1]) t.cpu(cpu, () => history.call('increment', [], () => increment(words)))
  t.cpu(2, () => history.call('read', [], () => load(words)))
}

async function failureOf(describe: (t: Scenario) => void): Promise<ExplorationFailure> {
  const error: unknown = await explore('calls', describe).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ExplorationFailure, String(error))
  return error
}

describe('histories of explorations', () => {
  it('are linearizable where a counter adds in one step', async () => {
    const { executions } = await explore('calls', counted(add))
    assert.ok(executions > 6)
  })

  it('are not where it adds in two', async () => {
    const failure = await failureOf(counted(loadAndStore))
    assert.equal(failure.kind, 'not linearizable')
    assert.match(failure.message, /cpu \d: increment\(\) gave 1 .*would have given 2/s)
    assert.match(failure.message, /call increment\(\)/)
    assert.match(failure.message, /return increment\(\) = 1/)
  })

  it('tell apart who ends before another one begins, though no memory orders them', async () => {
    // Each has a word of its own: only the order of the two calls tells what is wrong. The first
    // execution has the other order.
    const stale = (t: Scenario) => {
      const { memory, base } = t.words(2)
      const history = t.history(Counter)
      t.cpu(0, () => history.call('read', [], () => mem.loadAtomic32(memory.i32, base + 1)))
      t.cpu(1, () => history.call('increment', [], () => mem.addAtomic32(memory.i32, base, 1) + 1))
    }
    const failure = await failureOf(stale)
    assert.equal(failure.kind, 'not linearizable')
    assert.match(failure.message, /read\(\) gave 0 .*would have given 1/s)
  })

  it('may have calls that a kill cuts off, with effect or without', async () => {
    const killed = (increment: (words: Words) => number) => (t: Scenario) => {
      const words = t.words(1)
      const history = t.history(Counter)
      t.cpu(0, () => history.call('increment', [], () => increment(words)))
      t.cpu(1, () => [1, 2].map(() => history.call('read', [], () => load(words))))
      t.kill(0)
    }
    await explore('calls', killed(add))
    // What a killed thread has published is taken back: read 1, then 0.
    const takenBack = (t: Scenario) => {
      const words = t.words(1)
      const history = t.history(Counter)
      t.cpu(0, () => history.call('increment', [], () => add(words)))
      t.cpu(1, () => [1, 2].map(() => history.call('read', [], () => load(words))))
      t.kill(0, { reaper: () => mem.storeAtomic32(words.memory.i32, words.base, 0) })
    }
    const failure = await failureOf(takenBack)
    assert.equal(failure.kind, 'not linearizable')
  })

  it('have calls that throw, and async ones whose ends overlap', async () => {
    class Once {
      isTaken = false
      take(): void {
        if (this.isTaken) throw Object.assign(new Error('taken'), { code: 'TAKEN' })
        this.isTaken = true
      }
    }
    const take = ({ memory, base }: Words): void => {
      if (mem.exchangeAtomic32(memory.i32, base, 1) === 1)
        throw Object.assign(new Error('taken'), { code: 'TAKEN' })
    }
    await explore('calls', (t) => {
      const words = t.words(1)
      const history = t.history(Once)
      t.cpu(0, async () => {
        const later = async () => {
          await Promise.resolve()
          take(words)
        }
        await Promise.allSettled([1, 2].map(() => history.call('take', [], later)))
      })
      t.cpu(1, () => {
        try {
          history.call('take', [], () => take(words))
        } catch (error) {
          if ((error as { code?: string }).code !== 'TAKEN') throw error
        }
      })
    })
  })

  it('have what calls gave, whatever becomes of it', async () => {
    class Box {
      value = 0
      get(): number[] {
        return [this.value]
      }
    }
    const changed = (wrong: number) => (t: Scenario) => {
      const words = t.words(1)
      const history = t.history(Box)
      t.cpu(0, () => {
        const got = history.call('get', [], () => [load(words) + wrong])
        got[0] = wrong === 0 ? 7 : 0
      })
    }
    await explore('calls', changed(0))
    assert.equal((await failureOf(changed(7))).kind, 'not linearizable')
    // The promise job runs after the body.
    const later = (t: Scenario) => {
      const words = t.words(1)
      const history = t.history(Box)
      t.cpu(0, () => void history.call('get', [], async () => Promise.resolve([load(words) + 7])))
    }
    assert.equal((await failureOf(later)).kind, 'not linearizable')
  })

  it('end before their bodies', async () => {
    const open = (t: Scenario) => {
      const words = t.words(1)
      const history = t.history(Counter)
      const timer = () => new Promise((resolve) => setTimeout(resolve, 1))
      t.cpu(0, async () => {
        void history.call('read', [], () => timer().then(() => load(words)))
        return Promise.resolve(load(words))
      })
    }
    await assert.rejects(explore('calls', open), /cpu 0 ended before its call of read/)
  })

  it('are recorded in bodies only, of specifications that can be', async () => {
    const refusals: [RegExp, (t: Scenario) => void][] = [
      [/only the body of a CPU/, (t) => t.history(Counter).call('read', [], () => 0)],
      [/no public fields/, (t) => t.history(Object)],
      [/no option keys/, (t) => t.history(Counter, { keys: () => 1 } as object)],
      [
        /has no method write/,
        (t) => {
          const words = t.words(1)
          const history = t.history(Counter)
          t.cpu(0, () => history.call('write', [], () => load(words)))
        },
      ],
    ]
    for (const [message, describe] of refusals)
      await assert.rejects(
        explore('calls', describe),
        (error) => error instanceof ScenarioError && message.test(error.message),
      )
  })
})

describe('an exploration in which no body touches shared memory', () => {
  it('fails', async () => {
    const nothing = /no body touched shared memory/
    await assert.rejects(
      explore('nothing', (t) => t.cpu(0, () => 1)),
      (error) => error instanceof ScenarioError && nothing.test(error.message),
    )
    const history = (t: Scenario) => {
      const calls = t.history(Counter)
      t.cpu(0, () => calls.call('read', [], () => 0))
    }
    await assert.rejects(explore('nothing', history), nothing)
  })
})
