/**
 * Async bodies: turns of an event loop, whose order is that of an engine where it is fixed, and
 * explored where it is not.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from '../../dist/index.js'
import { fails, idle, proves, wordsOf } from './support.js'

const sleep = (ms = 0) => new Promise<void>((resolve) => setTimeout(resolve, ms))

describe('an async body', () => {
  it('runs microtasks before tasks, and tasks in the order in which they became ready', (test) =>
    proves(
      test,
      (t) => {
        const touch = idle(t)
        t.cpu(0, async () => {
          touch()
          const order: string[] = []
          setImmediate(() => order.push('first'))
          setImmediate(() => order.push('second'))
          queueMicrotask(() => order.push('microtask'))
          void Promise.resolve().then(() => order.push('promise'))
          order.push('now')
          await new Promise((resolve) => setImmediate(resolve))
          return order.join(' ')
        })
      },
      ['["now microtask promise first second"]'],
    ))
  it('has its timers come in any order', (test) =>
    proves(
      test,
      (t) => {
        const touch = idle(t)
        t.cpu(0, async () => {
          touch()
          const order: number[] = []
          const timers = [1, 2].map((n) => sleep(n).then(() => order.push(n)))
          await Promise.all(timers)
          return order
        })
      },
      ['[[1,2]]', '[[2,1]]'],
    ))
  it('does not have a timer come that was cleared', (test) =>
    proves(
      test,
      (t) => {
        const touch = idle(t)
        t.cpu(0, async () => {
          touch()
          let came = false
          clearTimeout(setTimeout(() => (came = true), 1))
          await sleep(2)
          return came
        })
      },
      ['[false]'],
    ))
  it('interleaves with others at its awaits only where it touches memory', (test) =>
    proves(test, (t) => {
      const w = wordsOf(t, 1)
      for (const cpu of [0, 1])
        t.cpu(cpu, async () => {
          const before = w.load(0)
          await sleep()
          w.store(0, before + 1)
          return before
        })
    }))
  it('goes on when another CPU notifies what it awaits', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, async () => {
          while (w.load(0) === 0) {
            const wait = mem.waitAsync32(w.view, w.at(0), 0)
            if (wait.async) await wait.value
          }
          return w.load(0)
        })
        t.cpu(1, () => {
          w.store(0, 1)
          w.notify(0)
        })
      },
      ['[1,null]'],
    ))
  it('that awaits what never comes is a deadlock', async () => {
    const { trace } = await fails('deadlock', 'never', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, async () => {
        const wait = mem.waitAsync32(w.view, w.at(0), 0)
        if (wait.async) await wait.value
      })
    })
    assert.match(trace.failure?.stuck[0]?.waitsFor ?? '', /a promise that nobody settles/)
  })
  it('whose wait has a time limit sees both ends', (test) =>
    proves(
      test,
      (t) => {
        const w = wordsOf(t, 1)
        t.cpu(0, async () => {
          const wait = mem.waitAsync32(w.view, w.at(0), 0, 10)
          return wait.async ? await wait.value : wait.value
        })
        t.cpu(1, () => w.notify(0))
      },
      ['["ok",1]', '["timed-out",0]'],
    ))
  it('that rejects is a failed check', async () => {
    const failure = await fails('assertion', 'rejects', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, async () => {
        await sleep()
        assert.equal(w.load(0), 1, 'one')
      })
    })
    assert.match(failure.message, /cpu 0: one/)
  })
  it('leaves the globals as they were', async () => {
    const before = [setTimeout, setImmediate, queueMicrotask, performance.now(), Date.now(), Math.random]
    await fails('assertion', 'throws', (t) => t.cpu(0, () => assert.fail('at once')))
    assert.ok(before[0] === setTimeout && before[1] === setImmediate && before[2] === queueMicrotask)
    assert.equal(before[5], Math.random)
    assert.ok(performance.now() >= (before[3] as number) && Date.now() >= (before[4] as number))
  })
})
