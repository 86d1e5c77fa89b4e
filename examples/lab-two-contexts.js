// Two contexts of one CPU in one read section: why entering must be uninterruptible.
//
// A reader counts itself in, and an interrupt of the same CPU does the same in the middle of that.
// The lab tries every place where the interrupt can come. If counting is a load and a store, one
// count is overwritten, and the sums never agree again.
//
//     node examples/lab-two-contexts.js
import assert from 'node:assert/strict'
import { explore, mem, percpu } from 'percpu-lab'

const { atomic, i32, published, struct } = percpu
const Domain = struct('Domain', {
  locks: atomic(i32), // readers of CPU 0 that came
  unlocks: atomic(i32), // and those that left
  current: atomic(i32), // which of two objects readers are to use
})
const Pair = struct('Pair', { first: published(i32), second: published(i32) })

/** @typedef {{ load(): number, store(value: number): void, add(value: number): number }} Word */
/** @typedef {(word: Word) => void} Count */

/** @type {Count} */
export const separately = (word) => word.store(word.load() + 1)
/** @type {Count} */
export const uninterruptibly = (word) => void word.add(1)

/** One CPU: a reader, and an interrupt that is a reader, too. @param {Count} count */
export const twoReaders = (count) => (/** @type {import('percpu-lab').Scenario} */ t) => {
  const domain = t.memory(Domain, 'domain')
  const read = () => {
    count(domain.locks)
    domain.unlocks.add(1)
  }
  t.cpu(0, read)
  t.irq(0, read, { name: 'reader in an interrupt' })
  t.finally(() => assert.equal(domain.locks.load(), domain.unlocks.load(), 'the lock count fell behind'))
}

/**
 * What the counts are for: CPU 1 replaces an object, and reuses the old one when all readers have
 * left.
 *
 * @param {Count} count
 */
export const andAnUpdater = (count) => (/** @type {import('percpu-lab').Scenario} */ t) => {
  const domain = t.memory(Domain, 'domain')
  const objects = [t.memory(Pair, 'old'), t.memory(Pair, 'new')]
  const read = () => {
    count(domain.locks)
    const object = objects[domain.current.load()]
    assert.equal(object?.first, object?.second)
    domain.unlocks.add(1)
  }
  t.cpu(0, read)
  t.irq(0, read, { name: 'reader in an interrupt' })
  t.cpu(1, () => {
    domain.current.store(1)
    // Those that left are counted first, so that nobody who came in between is missed.
    mem.awaitUntil(() => {
      const left = domain.unlocks.load()
      return domain.locks.load() === left
    })
    const [old] = objects
    if (old === undefined) return
    old.first = 1
    old.second = 2
  })
}

/** @param {string} name @param {(t: import('percpu-lab').Scenario) => void} scenario */
async function find(name, scenario) {
  const found = await explore(name, scenario).catch((error) => error)
  console.log(found instanceof Error ? `${found.message}\n` : `${name}: no failure\n`)
}

await find('counted by a load and a store', twoReaders(separately))
await find('counted by a load and a store, with an updater', andAnUpdater(separately))
const two = await explore('counted in one step', twoReaders(uninterruptibly), {
  expect: { executions: 3, blocked: 0 },
})
const three = await explore('counted in one step, with an updater', andAnUpdater(uninterruptibly), {
  expect: { executions: 19, blocked: 28 },
})
for (const { name, executions } of [two, three])
  console.log(`${name}: all ${executions} executions are right`)
