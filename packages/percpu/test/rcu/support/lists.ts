/** Lists of what is to be freed, looked at from outside, while nobody is at work on them. */
import assert from 'node:assert/strict'
import type { Memory } from 'percpu/mem'
import { verify } from '../../alloc/support/verify.js'
import { insideOf } from '../../support/inside.js'

const { load32, loadAtomic32, store32, storeAtomic32 } = await import('percpu/mem')
const { RcuMap } = await import('../../../dist/rcu/rcu-map.js')
const { CallbackBlock, CallbackList, BLOCK_WORDS } = await import('../../../dist/rcu/layouts.js')
const { entriesBetween, entryWord, FIRST_POSITION } = await import('../../../dist/rcu/callback-list.js')
const { isQueued } = await import('../../../dist/alloc/tag.js')
const { USED } = await import('../../../dist/alloc/page-map.js')
const { words } = CallbackList
const { makeState } = await import('../../../dist/percpu/layer.js')
const { openRoot } = await import('../../../dist/percpu/setup.js')
const { findShared } = await import('../../../dist/percpu/named.js')
const { listsOf: listsOfDomain } = await import('../../../dist/rcu/srcu-callbacks.js')
const { registered } = await import('../../../dist/rcu/srcu-registry.js')

export { BLOCK_WORDS, FIRST_POSITION }

interface Seen {
  readonly memory: Memory
}

export function mapOf({ memory }: Seen): ReturnType<(typeof RcuMap)['open']> {
  const { objects, map } = insideOf(memory)
  return RcuMap.open(objects, map.cpus)
}

/** Word indices of all lists: those of sched RCU, and of each domain that has any. */
function allLists(seen: Seen): readonly number[] {
  const { memory } = seen
  const { table, objects, names } = insideOf(memory)
  const { geometry, tables } = openRoot({ own: { table }, objects } as never)
  // It is looked at, and nothing is allocated or locked.
  const locked = { view: memory.i32 }
  const state = makeState(table, geometry, tables, locked as never, undefined as never)
  const domains = [
    ...[...findShared(state, names, 'srcu')].map((domain) => domain.words),
    ...registered(memory, objects),
  ]
  return [...mapOf(seen).lists, ...domains.flatMap((domain) => listsOfDomain(state, domain * 4))]
}

/** Entries that are queued, of all lists. Every word of the lists is checked. */
export function queued({ memory }: Seen): number[] {
  const { i32 } = memory
  const entries: number[] = []
  for (const list of allLists({ memory })) {
    const word = (name: keyof typeof words): number => load32(i32, list + words[name])
    const [tail, passed] = [loadAtomic32(i32, list + words.tail), loadAtomic32(i32, list + words.passed)]
    assert.equal(loadAtomic32(i32, list + words.lock), 0, 'locked')
    assert.equal(passed, word('head'), 'passed')
    const ends = [word('done'), word('wait'), word('nextReady'), tail].map((end) => (end - word('head')) | 0)
    assert.deepEqual(
      [0, ...ends],
      [0, ...ends].sort((a, b) => a - b),
      'segments',
    )
    const before = entries.length
    let block = word('headBlock')
    for (let position = word('head'); position !== tail; position = (position + 1) | 0) {
      if (
        (position & (BLOCK_WORDS - 1)) === 0 &&
        load32(i32, block * 2 + CallbackBlock.words.base) !== position
      )
        block = block === 0 ? word('first') : load32(i32, block * 2 + CallbackBlock.words.next)
      if ((position & (BLOCK_WORDS - 1)) < 2) continue
      const entry = load32(i32, entryWord(block, position))
      entries.push(entry)
    }
    assert.equal(entries.length - before, entriesBetween(word('head'), tail), 'count')
  }
  return entries
}

/** Addresses of the blocks of all lists: between the first one that is in use and the last. */
function blocksOf({ memory }: Seen): number[] {
  const { i32 } = memory
  const blocks: number[] = []
  for (const list of allLists({ memory })) {
    const first = load32(i32, list + words.headBlock) || load32(i32, list + words.first)
    for (let block = first; block !== 0; block = load32(i32, block * 2 + CallbackBlock.words.next))
      blocks.push(block * 8)
    assert.equal(blocks.at(-1) ?? 0, load32(i32, list + words.tailBlock) * 8 || (blocks.at(-1) ?? 0))
  }
  return blocks.sort((a, b) => a - b)
}

/**
 * Which of the objects are still allocated. Those that say so are in a list, once; the blocks of
 * lists are there, and no others.
 */
export function left(seen: Seen, objects: readonly number[]): number[] {
  const verdict = verify(seen)
  assert.deepEqual(verdict.faults, [])
  const large = [...verdict.blocks].filter(([, { kind }]) => kind === USED).map(([page]) => page * 4096)
  const own = large.filter((address) => !verdict.cacheBlocks.has(address / 4096))
  assert.deepEqual(
    own.sort((a, b) => a - b),
    blocksOf(seen),
    'blocks',
  )
  const entries = queued(seen).filter((entry) => entry > 0)
  assert.equal(new Set(entries).size, entries.length, 'queued twice')
  const isListed = (address: number): boolean => entries.includes(address / 8)
  const allocated = [...verdict.objects].map(([address, { tag }]) => ({ address, tag }))
  for (const { address, tag } of allocated)
    assert.equal(isQueued(tag), isListed(address), 'lost, or freed early')
  return allocated.map(({ address }) => address).filter((address) => objects.includes(address))
}

/** Sets an empty list of a CPU forward by so many positions: what was before is free. */
export function forward(seen: Seen, cpu: number, by: number): void {
  const { i32 } = seen.memory
  const list = mapOf(seen).lists[cpu] ?? 0
  const position = (FIRST_POSITION + by) | 0
  for (const name of ['tail', 'passed'] as const) storeAtomic32(i32, list + words[name], position)
  for (const name of ['head', 'done', 'wait', 'nextReady'] as const)
    store32(i32, list + words[name], position)
}
