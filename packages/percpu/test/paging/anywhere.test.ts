/**
 * Changes of spaces with their thread killed before any access to shared memory: each has happened
 * wholly, or not at all, all counts of pages are right, and no page is lost.
 */
// First: what killed threads wait for does not keep the process alive.
import '../support/no-timers.js'
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { AddressSpace, Machine } from 'percpu'
import { forEachAccessAsync, fresh, joinAs } from '../support/hooked-percpu.js'
import { killAfter, muteKilled } from '../collections/support/victims.js'

const PAGE = 4096
const BLOCK = 1024 * PAGE

interface Scene {
  readonly prepare?: (space: AddressSpace, machine: Machine) => unknown
  readonly change: (space: AddressSpace) => unknown
  /** What others see, before and after. */
  readonly look: (space: AddressSpace, machine: Machine) => unknown
  readonly before: unknown
  readonly after: unknown
  /** It is killed at every so many accesses, and at so many of them at least. */
  readonly stride: number
  readonly points: number
  readonly memory?: string
}
const codeOr = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}
const mapTwo = (space: AddressSpace): void => {
  space.map(0, 2 * PAGE)
  space.write(4, 7)
  space.write(PAGE + 4, 8)
}
const words = (space: AddressSpace): unknown => [4, PAGE + 4].map((at) => codeOr(() => space.read(at)))

const scenes: Readonly<Record<string, Scene>> = {
  mapping: {
    change: (space) => space.map(0, 2 * PAGE),
    look: words,
    before: ['PERCPU_FAULT', 'PERCPU_FAULT'],
    after: [0, 0],
    stride: 11,
    points: 10,
  },
  'the first write to a page': {
    prepare: (space) => space.map(0, PAGE),
    change: (space) => space.write(4, 7),
    look: (space) => space.read(4),
    before: 0,
    after: 7,
    stride: 9,
    points: 10,
  },
  'a write after a fork': {
    prepare: async (space) => {
      mapTwo(space)
      await space.fork('child')
    },
    change: (space) => space.write(4, 9),
    look: (space, machine) => [space.read(4), machine.space('child').read(4)],
    before: [7, 7],
    after: [9, 7],
    stride: 431,
    points: 15,
  },
  unmapping: {
    prepare: mapTwo,
    change: (space) => space.unmap(0, PAGE),
    look: words,
    before: [7, 8],
    after: ['PERCPU_FAULT', 8],
    stride: 41,
    points: 12,
  },
  'unmapping what a fork shares': {
    prepare: async (space) => {
      mapTwo(space)
      await space.fork('child')
    },
    change: (space) => space.unmap(0, PAGE),
    look: (space, machine) => [words(space), words(machine.space('child'))],
    before: [
      [7, 8],
      [7, 8],
    ],
    after: [
      ['PERCPU_FAULT', 8],
      [7, 8],
    ],
    stride: 331,
    points: 12,
  },
  protecting: {
    prepare: mapTwo,
    change: (space) => space.protect(0, PAGE, { write: false }),
    look: (space) => codeOr(() => space.write(4, space.read(4))),
    before: undefined,
    after: 'PERCPU_FAULT',
    stride: 19,
    points: 8,
  },
  forking: {
    prepare: mapTwo,
    change: (space) => space.fork('child'),
    look: async (space, machine) => {
      space.write(4, 9)
      const child = codeOr(() => words(machine.space('child')))
      // What was not whole is being removed.
      if (child === 'PERCPU_REMOVED') await machine.remove('space', 'child').catch(() => undefined)
      const isNew = JSON.stringify(child) === '["PERCPU_FAULT","PERCPU_FAULT"]'
      return child === 'PERCPU_REMOVED' || isNew ? 'no child' : child
    },
    before: 'no child',
    after: [7, 8],
    stride: 17,
    points: 12,
  },
  'splitting a block': {
    prepare: (space) => {
      space.map(0, BLOCK, { huge: true })
      space.write(4, 7)
    },
    change: (space) => space.split(0),
    look: (space) => [space.read(4), space.maps()[0]?.resident],
    before: [7, BLOCK],
    after: [7, BLOCK],
    stride: 257,
    points: 10,
    memory: '24 MiB',
  },
  'collapsing a split block': {
    prepare: (space) => {
      space.map(0, BLOCK, { huge: true })
      space.write(4, 7)
      space.split(0)
    },
    change: (space) => space.collapse(0),
    look: (space) => [space.read(4), space.maps()[0]?.resident],
    before: [7, BLOCK],
    after: [7, BLOCK],
    stride: 997,
    points: 10,
    memory: '24 MiB',
  },
}

async function prepare({
  prepare: work,
  memory = '1 MiB',
}: Scene): Promise<{ machine: Machine; victim: Machine }> {
  const machine = fresh({ memory, cpus: 4 })
  const victim = joinAs(machine, 101)
  await work?.(machine.space('it'), machine)
  // What each thread needs once, it has.
  for (const each of [machine, victim]) {
    each.space('it')
    each.space('other').map(0, PAGE)
    each.space('other').write(0, 1)
    await each.space('other').drop()
  }
  return { machine, victim }
}

/** Pages in use once every space is gone. */
async function pagesLeft(machine: Machine): Promise<number> {
  for (const name of ['child', 'it']) await machine.remove('space', name).catch(() => undefined)
  await machine.rcu.barrier()
  machine.heap.trim()
  machine.heap.verify({ quiet: true })
  return machine.heap.pages.report().reduce((sum, { total, free }) => sum + total - free, 0)
}

describe('a thread killed before any access', () => {
  before(muteKilled)
  for (const [name, scene] of Object.entries(scenes))
    it(`of ${name} has done it, or not`, async () => {
      const seen = { before: 0, after: 0 }
      const whole = await prepare(scene)
      await scene.change(whole.victim.space('it'))
      await whole.victim.offline()
      const left = await pagesLeft(whole.machine)
      const points = await forEachAccessAsync(async (at) => {
        const { machine, victim } = await prepare(scene)
        const space = victim.space('it')
        const killed = await killAfter(victim, at * scene.stride, () => scene.change(space))
        if (killed) machine.cpus.declareDead(1)
        else await victim.offline()
        const found = JSON.stringify(await scene.look(machine.space('it'), machine))
        if (found === JSON.stringify(scene.before)) seen.before++
        else {
          assert.equal(found, JSON.stringify(scene.after), `access ${at * scene.stride}`)
          seen.after++
        }
        machine.space('it').verify()
        assert.ok((await pagesLeft(machine)) <= left, `access ${at * scene.stride}: pages are lost`)
        return killed
      })
      assert.ok(points >= scene.points && seen.before + seen.after > points, JSON.stringify({ points, seen }))
    })
})

describe('what a thread has left that died while it unmapped', () => {
  before(muteKilled)
  it('is in no fork, and not in what is mapped there next', async () => {
    const seen = { unmapped: 0 }
    for (let at = 0; at < 700; at += 29) {
      const { machine, victim } = await prepare({ ...scenes['unmapping'], prepare: mapTwo } as Scene)
      const dying = victim.space('it')
      if (await killAfter(victim, at, () => dying.unmap(0, PAGE))) machine.cpus.declareDead(1)
      else await victim.offline()
      const space = machine.space('it')
      const isUnmapped = space.maps()[0]?.address !== 0
      const fork = await space.fork('child')
      if (isUnmapped) {
        for (const each of [space, fork])
          assert.equal(
            codeOr(() => each.read(4)),
            'PERCPU_FAULT',
            `access ${at}`,
          )
        seen.unmapped++
        space.map(0, PAGE)
        assert.equal(space.read(4), 0, `access ${at}`)
        space.write(4, 5)
      }
      assert.deepEqual([space.read(PAGE + 4), fork.read(PAGE + 4)], [8, 8])
      space.verify()
    }
    assert.ok(seen.unmapped > 1)
  })
  it('goes when its thread is cleaned up after', async () => {
    const seen = { unmapped: 0 }
    for (let at = 0; at < 700; at += 31) {
      const { machine, victim } = await prepare({ ...scenes['unmapping'], prepare: mapTwo } as Scene)
      const dying = victim.space('it')
      if (await killAfter(victim, at, () => dying.unmap(0, PAGE))) machine.cpus.declareDead(1)
      else await victim.offline()
      const space = machine.space('it')
      if (space.maps()[0]?.address === 0) {
        for (let turns = 0; turns < 10; turns++) await setImmediate()
        assert.equal(space.read(4), 7, `access ${at}`)
        continue
      }
      seen.unmapped++
      for (let turns = 0; turns < 100 && codeOr(() => space.read(4)) === 7; turns++) await setImmediate()
      assert.equal(
        codeOr(() => space.read(4)),
        'PERCPU_FAULT',
        `access ${at}`,
      )
      assert.equal(space.read(PAGE + 4), 8)
    }
    assert.ok(seen.unmapped > 1)
  })
})

describe('what a thread has left that died while it protected', () => {
  before(muteKilled)
  it('holds for all threads when it is cleaned up after', async () => {
    const seen = { protected: 0 }
    for (let at = 0; at < 400; at += 19) {
      const { machine, victim } = await prepare({ ...scenes['protecting'], prepare: mapTwo } as Scene)
      const other = joinAs(machine, 102)
      const space = other.space('it')
      space.write(4, 9)
      const dying = victim.space('it')
      if (await killAfter(victim, at, () => dying.protect(0, PAGE, { write: false })))
        machine.cpus.declareDead(1)
      else await victim.offline()
      if (machine.space('it').maps()[0]?.write === false) {
        seen.protected++
        const write = (): unknown => codeOr(() => space.write(4, 9))
        for (let turns = 0; turns < 100 && write() === undefined; turns++) await setImmediate()
        assert.equal(write(), 'PERCPU_FAULT', `access ${at}`)
      }
      await other.offline()
    }
    assert.ok(seen.protected > 1)
  })
})

describe('an unmapping that ends before it is whole', () => {
  it('is ended by the next change of the space', async () => {
    const machine = fresh({ memory: '32 MiB', cpus: 2 })
    const other = joinAs(machine, 101)
    const space = machine.space('it')
    // More pages than the list has places: the first and the last one share a table with others.
    const pages = 3 * 1024
    space.map(0, pages * PAGE)
    space.populate(0, pages * PAGE)
    other.space('it').read(0)
    const controller = new AbortController()
    const { signal } = controller
    const late = assert.rejects(space.unmap(PAGE, (pages - 2) * PAGE, { signal }), { name: 'AbortError' })
    // Before the other thread can answer.
    for (let turns = 0; turns < 50; turns++) await Promise.resolve()
    controller.abort()
    await late
    assert.equal(
      codeOr(() => space.read((pages - 2) * PAGE)),
      0,
    )
    await other.offline()
    await space.protect(0, PAGE, {})
    for (const page of [1, pages / 2, pages - 2])
      assert.equal(
        codeOr(() => space.read(page * PAGE)),
        'PERCPU_FAULT',
      )
    const left = machine.heap.pages.report().reduce((sum, { total, free }) => sum + total - free, 0)
    assert.ok(left < 200 * PAGE, `${left} bytes`)
    space.verify()
  })
})
