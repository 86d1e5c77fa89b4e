/**
 * Operations called at every depth of the stack until it overflows, in a thread that lives on: they
 * leave nothing locked and nothing broken, wherever the engine throws its RangeError.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadAtomic32 } from 'percpu/mem'
import type { Machine } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const ROUNDS = Number(process.env['PERCPU_DEPTHS'] ?? 40)

/** Calls `use` at each depth until the stack is full. `pad` moves all depths. */
function untilFull(use: () => void, pad: number): void {
  let a = 0
  const recurse = (): void => {
    use()
    recurse()
    a++
  }
  const dig = (left: number): void => {
    if (left > 0) dig(left - 1)
    else recurse()
    a++
  }
  assert.throws(() => dig(pad), RangeError)
  assert.ok(a >= 0)
}

type Use = (machine: Machine) => () => void
const operations: Readonly<Record<string, Use>> = {
  'allocating and freeing an object':
    ({ heap }) =>
    () =>
      heap.free(heap.alloc(64)),
  'allocating many objects': ({ heap }) => {
    let taken: number[] = []
    return () => {
      taken.push(heap.alloc(700))
      if (taken.length < 40) return
      for (const address of taken.splice(0)) heap.free(address)
      taken = []
    }
  },
  'allocating and freeing pages':
    ({ heap }) =>
    () =>
      heap.pages.free(heap.pages.alloc(1), 1),
  'allocating and freeing per-CPU memory':
    ({ percpu }) =>
    () =>
      percpu.free(percpu.alloc(64)),
  'a section': ({ locks, heap }) => {
    const mutex = locks.mutex('m')
    const word = heap.memblock.alloc({ size: 64 }) / 4
    return () =>
      mutex.run((section) => {
        section.write32(word, 1)
        section.write32(word + 1, 1)
      })
  },
  'nested sections': ({ locks, heap }) => {
    const [outer, inner] = [locks.mutex('m'), locks.mutex('n')]
    const word = heap.memblock.alloc({ size: 64 }) / 4
    return () =>
      outer.run((section) => {
        section.write32(word, 1)
        inner.run((other) => other.write32(word + 1, 1))
      })
  },
  'a write of a seqlock': ({ locks, heap }) => {
    const seqlock = locks.seqlock('q')
    const word = heap.memblock.alloc({ size: 64 }) / 4
    return () => seqlock.write((section) => section.write32(word, 1))
  },
  'a counter': ({ percpu }) => {
    const counter = percpu.counter('c', { batch: 1 })
    return () => counter.add(1)
  },
  'labelled work': (machine) => () => machine.run('label', () => undefined),
  polling: (machine) => {
    machine.cpus.onRing(1, () => undefined)
    return () => {
      machine.cpus.ring(0, 1)
      machine.poll()
    }
  },
}

describe('the stack overflows in', () => {
  for (const [name, make] of Object.entries(operations))
    it(`${name}, and nothing stays locked or broken`, async () => {
      const machine = fresh({ cpus: 3, memory: '8 MiB' })
      const other = joinAs(machine, 101)
      const use = make(machine)
      for (let pad = 0; pad < ROUNDS; pad++) {
        untilFull(use, pad)
        // What the engine had no room to compile ends when the stretch is over.
        await Promise.resolve()
        for (const mutex of ['m', 'n']) other.locks.mutex(mutex).lock({ timeout: 0 }).unlock()
        const { address } = other.locks.seqlock('q')
        other.locks.seqlock('q').writeLock({ timeout: 0 }).unlock()
        assert.equal(loadAtomic32(machine.memory.i32, address / 4) & 1, 0)
        other.heap.free(other.heap.alloc(64))
        other.percpu.free(other.percpu.alloc(64))
        assert.deepEqual(machine.locks.heldBy(0), [])
        if (pad % 8 === 0) machine.heap.verify({ quiet: true })
        if (pad % 8 === 0) machine.percpu.verify()
      }
      // Its own work goes on.
      use()
      await machine.rcu.synchronize({ timeout: 10_000 })
    })
})
