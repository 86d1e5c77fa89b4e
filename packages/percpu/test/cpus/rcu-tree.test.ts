/** How many CPUs the thread that begins a grace period rings, on a machine of 256. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { storeAtomic32 } from 'percpu/mem'
import { insideOf } from '../support/inside.js'

const { Ringer } = await import('../../dist/cpus/ringer.js')
const { RcuTree } = await import('../../dist/cpus/rcu-tree.js')
const { RcuNode } = await import('../../dist/machine/layouts.js')

const CPUS = 256

/** The tree as CPU 0 has it, with every CPU reading, and the CPUs that it has rung. */
function busyMachine() {
  const { memory } = boot({ cpus: CPUS, memory: '64 MiB' })
  const { map, table } = insideOf(memory)
  for (let leaf = 0; leaf < CPUS / map.fanout; leaf++) {
    const node = map.rcuNodes + (leaf * RcuNode.stride) / 4
    storeAtomic32(memory.i32, node + RcuNode.words.active, 0xffff)
  }
  const rung: number[] = []
  const ringer = new Ringer(table)
  ringer.ring = (cpu) => void rung.push(cpu)
  return { tree: new RcuTree(table, ringer), rung }
}

describe('a grace period of 256 CPUs', () => {
  it('is begun by ringing one CPU of each leaf, which rings the others', () => {
    const { tree, rung } = busyMachine()
    assert.equal(tree.request(tree.snap(), 0), true)
    const leaders = Array.from({ length: 16 }, (_, leaf) => leaf * 16)
    assert.deepEqual(rung, [1, ...leaders.slice(1)])
    rung.length = 0
    tree.report(16)
    assert.deepEqual(
      rung,
      Array.from({ length: 15 }, (_, i) => 17 + i),
    )
  })

  it('in a hurry rings them all, also if it was begun in none', () => {
    const { tree, rung } = busyMachine()
    tree.request(tree.snap(), 0, true)
    assert.equal(new Set(rung).size, CPUS - 1)
    const other = busyMachine()
    const cookie = other.tree.snap()
    other.tree.request(cookie, 0)
    other.rung.length = 0
    other.tree.request(cookie, 0, true)
    assert.equal(new Set(other.rung).size, CPUS)
  })

  it('is hurried by whoever comes later, with what is wanted after it', () => {
    const { tree, rung } = busyMachine()
    tree.expedite()
    assert.equal(rung.length, 0)
    tree.request(tree.snap(), 0)
    rung.length = 0
    tree.expedite()
    assert.equal(new Set(rung).size, CPUS)
  })

  it('ends when the last one has reported, and not before', () => {
    const { tree } = busyMachine()
    const cookie = tree.snap()
    tree.request(cookie, 0)
    for (let cpu = CPUS - 1; cpu > 0; cpu--) tree.report(cpu)
    assert.deepEqual([tree.isDone(cookie), tree.late()], [false, [0]])
    tree.report(0)
    assert.deepEqual([tree.isDone(cookie), tree.late()], [true, []])
  })
})
