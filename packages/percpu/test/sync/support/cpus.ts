/** Words to change and mutexes to look at, for the tests that load the hooked library. */
import assert from 'node:assert/strict'
import type { Machine, Section } from 'percpu'
import { mem } from '../../support/hooked-percpu.js'

/** `count` words with known values, from 1 on. */
export function cells(machine: Machine, count = 4): number {
  const word = machine.heap.memblock.alloc({ size: 4 * count, label: 'cells' }) / 4
  for (let i = 0; i < count; i++) mem.store32(machine.memory.i32, word + i, i + 1)
  return word
}
export function valuesOf(machine: Machine, word: number, count = 4): number[] {
  return Array.from({ length: count }, (_, i) => mem.load32(machine.memory.i32, word + i))
}
export function assertFree(machine: Machine, name: string): void {
  const mutex = machine.locks.mutex(name)
  const guard = mutex.tryLock()
  assert.ok(guard, `${name} is locked by ${JSON.stringify(mutex.owner)}`)
  guard.unlock()
  const words = Array.from({ length: 17 }, (_, i) => mem.load32(machine.memory.i32, mutex.address / 4 + i))
  assert.deepEqual(words, new Array(17).fill(0))
  for (const cpu of machine.cpus.possible) assert.deepEqual(machine.locks.heldBy(cpu), [])
}
/** Changes every cell, the first ones twice. */
export function change(section: Section, word: number): void {
  for (const at of [0, 1, 0, 2, 1, 3]) section.write32(word + at, 100 + at)
  section.writeF64(word / 2 + 1, 0.5)
}
