/** Snapshots without a name, and removals, whose thread has left, or whose reaper ended nothing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { AddressSpace, Machine } from 'percpu'
import { loadU32 } from 'percpu/mem'
import { PagingNote } from '../../dist/pagetable/layouts.js'
import { fresh, joinAs } from '../support/machines.js'

const PAGE = 4096

/** A space in which a page has memory. */
function filled(machine: Machine, name: string): AddressSpace {
  const space = machine.space(name)
  space.map(0, PAGE)
  space.write(0, 1)
  return space
}
const kindsOf = (machine: Machine): string[] => machine.spaces().map(({ kind }) => kind)
/** How much a CPU has unmapped and not given up. */
function listOf({ watch, memory }: Machine, cpu: number): number | undefined {
  const note = watch.structs().find(({ name }) => name === `cpu[${cpu}].paging`)
  return note && loadU32(memory.u32, note.address / 4 + PagingNote.words.gathered)
}
/** What nobody catches while something is done. */
async function uncaughtIn(work: () => Promise<void>): Promise<unknown[]> {
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown: unknown[] = []
  process.on('uncaughtException', (error) => thrown.push(error))
  try {
    await work()
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
  return thrown
}
async function becomes(machine: Machine, kinds: readonly string[]): Promise<void> {
  for (let tries = 0; tries < 1000 && kindsOf(machine).length !== kinds.length; tries++) await setImmediate()
  assert.deepEqual(kindsOf(machine), kinds)
}

describe('a thread that leaves', () => {
  it('frees its snapshots, and none of others', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 2 })
    const space = filled(machine, 's')
    await space.fork()
    const array = machine.sparseArray('a', { value: 'u32' })
    array.set(5, 1)
    const before = machine.spaces()
    const other = joinAs(machine, 101)
    const theirs = await other.space('s').fork()
    theirs.write(0, 2)
    await other.sparseArray('a', { value: 'u32' }).snapshot()
    await (await theirs.fork()).fork()
    await other.offline()
    assert.deepEqual(machine.spaces(), before)
    space.verify()
  })

  it('leaves those in a hurry to whoever forks next', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 2 })
    const space = filled(machine, 's')
    const other = joinAs(machine, 101)
    await other.space('s').fork()
    await other.offline({ timeout: 0 })
    assert.deepEqual(kindsOf(machine), ['space', 'snapshot'])
    await space.fork('named')
    await becomes(machine, ['space', 'space'])
    space.verify()
  })

  it('leaves those with pinned pages to whoever uses a space for the first time', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 3 })
    const [leaving, later] = [joinAs(machine, 101), joinAs(machine, 102)]
    filled(leaving, 's')
    const fork = await leaving.space('s').fork()
    fork.pin(0)
    await leaving.offline()
    later.space('s')
    await becomes(later, ['space'])
    later.space('s').verify()
  })
})

describe('a thread that is cleaned up after by one that has left', () => {
  it('has its snapshots freed, and what it had unmapped, by whoever forks next', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 3 })
    const [ended, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
    const space = filled(machine, 's')
    const theirs = filled(ended, 't')
    assert.equal(machine.space('t').read(0), 1)
    await ended.space('s').fork()
    const unmapping = theirs.unmap(0, PAGE)
    unmapping.catch(() => undefined)
    // The page is on the list of what is given up after the round, which has not come.
    for (let turn = 0; turn < 100 && listOf(machine, 1) === 0; turn++) await Promise.resolve()
    // It has left before it has ended anything.
    reaper.cpus.declareDead(1)
    await reaper.offline({ timeout: 0 })
    assert.deepEqual(kindsOf(machine), ['space', 'space', 'snapshot'])
    assert.equal(listOf(machine, 1), 4)
    await space.fork('named')
    await becomes(machine, ['space', 'space', 'space'])
    assert.equal(listOf(machine, 1), 0)
    space.verify()
  })
})

describe('a space that a thread was removing when it ended', () => {
  it('stays if somebody has pinned it meanwhile, and nothing is thrown', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 3 })
    const removing = joinAs(machine, 101)
    const space = filled(machine, 's')
    removing.remove('space', 's').catch(() => undefined)
    const pin = space.pin(0)
    const thrown = await uncaughtIn(async () => {
      machine.cpus.declareDead(1)
      for (let turn = 0; turn < 100; turn++) await setImmediate()
    })
    assert.deepEqual(thrown, [])
    assert.deepEqual(kindsOf(machine), ['space'])
    pin.unpin()
    await machine.remove('space', 's')
    assert.deepEqual(kindsOf(machine), [])
  })
})
