/** Sections: all of their writes or none, whenever their thread is killed, and its reaper. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type KillSettings, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openMutex } from './support/locks.js'

const { array, locked, owner, struct, u16, u8 } = percpu
const START = 10

/** Two fields of a lock, in a word with one of CPU 1; and the elements of an array. */
const Mixed = struct('Mixed', {
  flag: locked(u8, 'mutex'),
  other: owner(u8),
  count: locked(u16, 'mutex'),
  list: array(locked(u8, 'mutex'), 2),
})

/** CPU 0 moves amounts between three accounts, in nested sections; the sum stays. */
function transfer(t: Scenario, fails: boolean): { locks: Locks; accounts: number } {
  const locks = new Locks(t, 2)
  const [word, inner] = [locks.mutex('outer'), locks.mutex('inner')]
  const accounts = locks.words(3, START)
  const { i32 } = locks.memory
  const balance = (account: number): number => mem.load32(i32, accounts + account)
  t.cpu(0, (cpu) => {
    const state = locks.state(cpu)
    const [first, second] = [openMutex(state, word), openMutex(state, inner)]
    first.run((section) => {
      section.write32(accounts, balance(0) - 1)
      try {
        second.run((nested) => {
          nested.write32(accounts, balance(0) - 2)
          nested.write32(accounts + 2, balance(2) + 2)
          if (fails) throw new Error('no')
        })
      } catch (error) {
        assert.equal((error as Error).message, 'no')
      }
      section.write32(accounts + 1, balance(1) + 1)
    })
  })
  t.cpu(1, (cpu) => openMutex(locks.state(cpu), word).run(() => [balance(0), balance(1), balance(2)].join()))
  return { locks, accounts }
}
const after = (fails: boolean): string[] => ['10,10,10', fails ? '9,11,10' : '7,11,12']

describe('a section', () => {
  for (const fails of [false, true])
    it(`${fails ? 'with one inside that throws ' : ''}is seen as a whole when its thread is killed anywhere`, async (test) => {
      await explore(
        test,
        (t) => {
          const { locks, accounts } = transfer(t, fails)
          t.kill(0, { reaper: () => void locks.recover(0) })
          t.finally(([, seen]) => {
            assert.ok(after(fails).includes(seen as string), String(seen))
            const left = [0, 1, 2].map((i) => mem.load32(locks.memory.i32, accounts + i)).join()
            assert.ok(after(fails).includes(left), left)
            locks.assertIdle()
          })
        },
        { preemptions: 0 },
      )
    })

  it('is taken back by the second reaper, where the first one is killed', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 2)
      const word = locks.mutex()
      const list = locks.words(4, 1)
      const { i32 } = locks.memory
      // A thread that ends in the middle of its change, which writes one word twice.
      t.cpu(0, (cpu) => {
        const state = locks.state(cpu)
        cpu.prepare(() => {
          // It does not come to its promise jobs, in which a section that is left open is taken
          // back.
          const { queueMicrotask } = globalThis
          globalThis.queueMicrotask = () => undefined
          const section = openMutex(state, word).lock().begin()
          globalThis.queueMicrotask = queueMicrotask
          for (const at of [0, 1, 0, 2]) section.write32(list + at, 5 + at)
          section.writeF64(list / 2 + 1, 0.5)
        })
      })
      const reaper = (): void => void locks.recover(0)
      const settings: KillSettings = { reaper }
      t.cpu(1, reaper)
      t.kill(1, { ...settings, reaperKill: settings })
      t.finally(() => {
        const left = [0, 1, 2, 3].map((i) => mem.load32(i32, list + i))
        assert.deepEqual(left, [1, 1, 1, 1])
        locks.assertIdle()
      })
    })
  })

  it('takes back fields of 8 and 16 bits, and leaves what another CPU writes into their words', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 2)
      const word = locks.mutex()
      const mixed = t.memory(Mixed, 'mixed')
      mixed.other = 1
      t.cpu(0, (cpu) =>
        openMutex(locks.state(cpu), word).run((section) => {
          const own = section.at(mixed)
          own.flag = 1
          own.count = 300
          own.list.set(1, own.list.at(1) + 1)
          own.count++
        }),
      )
      t.cpu(1, () => mixed.other++)
      const settings: KillSettings = { reaper: () => void locks.recover(0) }
      t.kill(0, { ...settings, reaperKill: settings })
      t.finally(() => {
        const { flag, count, list, other } = mixed.toObject()
        const own = [flag, count, ...list].join()
        assert.ok(['0,0,0,0', '1,301,0,1'].includes(own), own)
        assert.equal(other, 2)
        locks.assertIdle()
      })
    })
  })
})
