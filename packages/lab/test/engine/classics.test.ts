/**
 * The classics of shared memory, found where they are wrong and proved where they are right, with
 * counts that brute force confirms.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type Scenario } from '../../dist/index.js'
import { fails, proves, wordsOf, type Words } from './support.js'

const { awaitUntil } = mem
const { struct, atomic, published, i32 } = percpu

describe('store buffering', () => {
  const scenario = (t: Scenario) => {
    const w = wordsOf(t, 2)
    for (const cpu of [0, 1])
      t.cpu(cpu, () => {
        w.store(cpu, 1)
        return w.load(1 - cpu)
      })
  }
  it('has three outcomes, and never both zero', (test) => proves(test, scenario, ['[0,1]', '[1,0]', '[1,1]']))
})

describe('message passing', () => {
  const Words = struct('Words', { flag: atomic(i32), data: published(i32) })
  it('through an atomic flag is proved', (test) =>
    proves(
      test,
      (t) => {
        const m = t.memory(Words)
        t.cpu(0, () => {
          m.data = 1
          m.flag.store(1)
        })
        t.cpu(1, () => (m.flag.load() === 1 ? m.data : -1))
      },
      ['[null,-1]', '[null,1]'],
    ))
  it('with the flag before the data is a race', async () => {
    const { trace } = await fails('data race', 'message passing', (t) => {
      const m = t.memory(Words)
      t.cpu(0, () => {
        m.flag.store(1)
        m.data = 1
      })
      t.cpu(1, () => (m.flag.load() === 1 ? m.data : -1))
    })
    assert.equal(trace.failure?.race?.rule, 'plain-plain')
    assert.equal(trace.events[trace.failure.race.second]?.word, 'data')
  })
})

/**
 * Two CPUs add one to a plain word between `lock` and `unlock`. The data race oracle sees whether
 * they exclude each other.
 */
const excluding =
  (words: number, lock: (w: Words, me: number) => void, unlock: (w: Words, me: number) => void) =>
  (t: Scenario) => {
    const w = wordsOf(t, words + 1)
    for (const me of [0, 1])
      t.cpu(me, () => {
        lock(w, me)
        w.plainStore(words, w.plainLoad(words) + 1)
        unlock(w, me)
      })
    t.finally(() => assert.equal(w.plainLoad(words), 2))
  }

describe("Peterson's lock", () => {
  // Words 0 and 1: who wants it. Word 2: whose turn it is to wait.
  const enter = (w: Words, me: number) => {
    w.store(me, 1)
    w.store(2, me)
    awaitUntil(() => w.load(1 - me) === 0 || w.load(2) !== me)
  }
  const leave = (w: Words, me: number) => w.store(me, 0)
  it('is proved', (test) => proves(test, excluding(3, enter, leave)))
  it('with the turn given away first is a race', async () => {
    await fails(
      'data race',
      'Peterson, wrong order',
      excluding(
        3,
        (w, me) => {
          w.store(2, me)
          w.store(me, 1)
          awaitUntil(() => w.load(1 - me) === 0 || w.load(2) !== me)
        },
        leave,
      ),
    )
  })
  it('without a turn is starvation', async () => {
    await fails(
      'starvation',
      'Peterson, no turn',
      excluding(
        3,
        (w, me) => {
          w.store(me, 1)
          awaitUntil(() => w.load(1 - me) === 0)
        },
        leave,
      ),
    )
  })
})

describe("Dekker's lock", () => {
  // Words 0 and 1: who wants it. Word 2: who may insist.
  const dekker = (giveWay: boolean) =>
    excluding(
      3,
      (w, me) => {
        w.store(me, 1)
        while (w.load(1 - me) === 1) {
          if (w.load(2) === me || !giveWay) awaitUntil(() => w.load(1 - me) === 0)
          else {
            w.store(me, 0)
            awaitUntil(() => w.load(2) === me)
            w.store(me, 1)
          }
        }
      },
      (w, me) => {
        w.store(2, 1 - me)
        w.store(me, 0)
      },
    )
  it('is proved', (test) => proves(test, dekker(true)))
  it('with two who insist is starvation', async () => {
    await fails('starvation', 'Dekker, nobody gives way', dekker(false))
  })
})

describe("Treiber's stack", () => {
  // Word 0: the top, a node's number with a tag above it. Word n: what is below node n. At first 1
  // lies on 2.
  const stack = (tagged: boolean) => {
    const one = tagged ? 256 : 0
    const pop = (w: Words): number => {
      for (;;) {
        const top = w.load(0)
        const node = top & 255
        if (node === 0) return 0
        const below = w.load(node)
        if (w.cas(0, top, ((top & ~255) + one) | below) === top) return node
      }
    }
    const push = (w: Words, node: number): void => {
      for (;;) {
        const top = w.load(0)
        w.store(node, top & 255)
        if (w.cas(0, top, ((top & ~255) + one) | node) === top) return
      }
    }
    return (t: Scenario) => {
      const w = wordsOf(t, 3)
      w.store(0, 1)
      w.store(1, 2)
      t.cpu(0, () => [pop(w)])
      t.cpu(1, () => {
        const first = pop(w)
        const second = pop(w)
        if (first !== 0) push(w, first)
        return [second]
      })
      t.finally((results) => {
        const nodes = (results as number[][]).flat().filter((node) => node !== 0)
        for (let node = w.load(0) & 255; node !== 0 && nodes.length < 9; node = w.load(node)) nodes.push(node)
        assert.deepEqual(nodes.sort(), [1, 2], 'each node has one owner')
      })
    }
  }
  it('loses a node to ABA', async () => {
    const { trace } = await fails('assertion', 'stack', stack(false))
    assert.match(trace.failure?.message ?? '', /each node has one owner/)
  })
  it('with a tag is proved', (test) => proves(test, stack(true)))
})

describe('waiting for items', () => {
  // Word 0: how many items there are.
  const consumers = (take: (w: Words) => void) => (t: Scenario) => {
    const w = wordsOf(t, 1)
    for (const cpu of [0, 1]) t.cpu(cpu, () => take(w))
    t.cpu(2, () => {
      for (let i = 0; i < 2; i++) {
        w.add(0, 1)
        w.notify(0, 1)
      }
    })
    t.finally(() => assert.equal(w.load(0), 0))
  }
  it('without looking again after Atomics.wait takes what is not there', async () => {
    const { trace } = await fails(
      'assertion',
      'no second look',
      consumers((w) => {
        if (w.load(0) === 0) w.wait(0, 0)
        assert.ok(w.add(0, -1) > 0, 'took an item that was there')
      }),
    )
    assert.match(trace.failure?.message ?? '', /took an item/)
  })
  it('in a loop is proved', (test) =>
    proves(
      test,
      consumers((w) => {
        for (;;) {
          const items = w.load(0)
          if (items === 0) w.wait(0, 0)
          else if (w.cas(0, items, items - 1) === items) return
        }
      }),
    ))
})

describe('a bell', () => {
  // Word 0: whether it is ready. Word 1: a bell, rung by counting.
  const bell = (wait: (w: Words) => void) => (t: Scenario) => {
    const w = wordsOf(t, 2)
    t.cpu(0, () => wait(w))
    t.cpu(1, () => {
      w.store(0, 1)
      w.add(1, 1)
      w.notify(1)
    })
  }
  it('looked at after the condition loses a wake-up', async () => {
    const { trace } = await fails(
      'deadlock',
      'lost wake-up',
      bell((w) => {
        if (w.load(0) === 0) w.wait(1, w.load(1))
      }),
    )
    assert.equal(trace.failure?.stuck.length, 1)
  })
  it('looked at before the condition is proved', (test) =>
    proves(
      test,
      bell((w) => {
        const rung = w.load(1)
        if (w.load(0) === 0) w.wait(1, rung)
      }),
    ))
})

describe('double-checked locking', () => {
  // Word 0: the object, once it is made. Word 1: the lock. Word 2: what is in the object. Word 3:
  // objects made.
  const lazily = (look: (w: Words) => number, lookAgain: (w: Words) => number) => (t: Scenario) => {
    const w = wordsOf(t, 4)
    for (const cpu of [0, 1])
      t.cpu(cpu, () => {
        if (look(w) === 0) {
          while (w.cas(1, 0, 1) !== 0) awaitUntil(() => w.load(1) === 0)
          if (lookAgain(w) === 0) {
            w.plainStore(2, 42)
            w.add(3, 1)
            w.store(0, 1)
          }
          w.store(1, 0)
        }
        return w.plainLoad(2)
      })
    t.finally((results) => {
      assert.equal(w.load(3), 1, 'made once')
      assert.deepEqual(results, [42, 42])
    })
  }
  it('is proved', (test) =>
    proves(
      test,
      lazily(
        (w) => w.load(0),
        (w) => w.load(0),
      ),
    ))
  it('with a plain first look is a race', async () => {
    const { trace } = await fails(
      'data race',
      'plain look',
      lazily(
        (w) => w.plainLoad(0),
        (w) => w.load(0),
      ),
    )
    assert.equal(trace.failure?.race?.rule, 'atomic-plain')
  })
  it('without the second look makes two', async () => {
    const failure = await fails(
      'data race',
      'no second look',
      lazily(
        (w) => w.load(0),
        () => 0,
      ),
    )
    // Before it is noticed that there are two, the second one is written while the first is read.
    assert.equal(failure.trace.failure?.race?.rule, 'plain-plain')
  })
})
