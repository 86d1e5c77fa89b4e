/** CPUs whose event loop goes on when their body has ended. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem, type CpuContext, type Scenario } from '../../dist/index.js'
import { fails, proves, wordsOf } from './support.js'

/** Adds 1 to the second word when the first one changes: once the body has ended, too. */
function answering(t: Scenario, body: (cpu: CpuContext) => unknown, stays: boolean): void {
  const w = wordsOf(t, 2)
  t.cpu(
    0,
    (cpu) => {
      const heard = mem.waitAsync32(w.view, w.at(0), 0)
      if (heard.async) void heard.value.then(() => w.add(1, 1))
      else w.add(1, 1)
      return body(cpu)
    },
    { stays },
  )
  t.cpu(1, () => {
    w.store(0, 1)
    mem.notify32(w.view, w.at(0))
    mem.awaitUntil(() => w.load(1) === 1)
  })
}

describe('a CPU that stays', () => {
  for (const [name, body] of [
    ['at once', () => 7],
    ['some time', async () => Promise.resolve(7)],
  ] as const)
    it(`answers after its body has ended ${name}, and gives that result`, async () => {
      const seen = new Set<unknown>()
      const { executions } = await explore('answers', (t) => {
        answering(t, body, true)
        t.finally(([result]) => seen.add(result))
      })
      assert.ok(executions > 0)
      assert.deepEqual([...seen], [7])
      await fails('starvation', 'does not stay', (t) => answering(t, body, false))
    })

  it('must end its body', async () => {
    await fails('deadlock', 'never ends', (t) => {
      t.cpu(0, () => new Promise(() => undefined), { stays: true })
    })
  })

  it('may still be waiting for its body in some executions', async () => {
    // It ends if the other one comes first. What an earlier execution gave must not count.
    const scenario = (t: Scenario) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => w.add(0, 1))
      t.cpu(
        1,
        async () => {
          if (w.add(0, 1) === 0) await new Promise(() => undefined)
          return 'ended'
        },
        { stays: true },
      )
      t.filter((results, ended) => ended || results[1] !== undefined, { unended: true })
    }
    const { executions, blocked } = await explore('left out', scenario)
    assert.deepEqual([executions, blocked], [1, 1])
  })

  it('fails by an error after its body', async () => {
    await fails('assertion', 'late error', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(
        0,
        () => {
          setImmediate(() => assert.equal(w.load(0), 0))
        },
        { stays: true },
      )
      t.cpu(1, () => w.store(0, 1))
    })
  })

  it('is searched as completely as it is by enumeration', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        for (const cpu of [0, 1])
          t.cpu(
            cpu,
            async () => {
              await new Promise((resolve) => setImmediate(resolve))
              setImmediate(() => w.add(0, 1))
              return w.add(0, 1)
            },
            { stays: true },
          )
      },
      ['[0,1]', '[0,2]', '[1,0]', '[2,0]'],
    ))
})
