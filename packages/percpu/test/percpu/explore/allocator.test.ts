/**
 * Each operation of the per-CPU allocator with its thread killed before any access to shared
 * memory, and reaped. Afterwards all metadata are right, no page is lost, and the operation has
 * happened as a whole, or not at all.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { Examined } from '../support/examined.js'

const UNIT = 8192
const kinds = [
  { name: 'units mapped', options: { mmu: true } },
  { name: 'units contiguous', options: { mmu: false } },
] as const

/** What a scene is made of, on the booting thread, and what the CPU then does that is killed. */
interface Scene {
  readonly prepare: (machine: Machine) => readonly number[]
  readonly run: (machine: Machine, prepared: readonly number[]) => unknown
}

/** Takes all of the first chunk. Returns the pointers. */
function fill({ percpu }: Machine): number[] {
  const pointers = []
  for (;;) {
    const [first] = percpu.report().chunks
    const room = Math.min(4096, first?.largestFree ?? 0)
    if (room < 4) return pointers
    pointers.push(percpu.alloc(room, { align: 4 }))
  }
}

const scenes: Readonly<Record<string, Scene>> = {
  'allocates where there is room': {
    prepare: () => [],
    run: ({ percpu }) => percpu.alloc(20),
  },
  'allocates in a new chunk': {
    prepare: (machine) => fill(machine),
    run: ({ percpu }) => percpu.alloc(64),
  },
  'allocates several pages': {
    prepare: (machine) => fill(machine),
    run: ({ percpu }) => percpu.alloc(5000),
  },
  'frees a small object': {
    prepare: ({ percpu }) => [8, 8, 8].map((bytes) => percpu.alloc(bytes)),
    run: ({ percpu }, [, middle]) => {
      percpu.free(middle ?? 0)
      return true
    },
  },
  'frees what empties a chunk': {
    prepare: (machine) => [...fill(machine), machine.percpu.alloc(5000)],
    run: ({ percpu }, pointers) => {
      percpu.free(pointers.at(-1) ?? 0)
      return true
    },
  },
  'trims too many chunks': {
    prepare: (machine) => {
      fill(machine)
      const large = [1, 2, 3].map(() => machine.percpu.alloc(UNIT))
      for (const pointer of large) machine.percpu.free(pointer)
      return []
    },
    run: ({ percpu }) => {
      percpu.trim()
      return true
    },
  },
  'trims an isolated chunk': {
    prepare: (machine) => {
      fill(machine)
      const pages = Array.from({ length: 6 }, () => machine.percpu.alloc(4096))
      for (const pointer of pages.filter((_, i) => i % 2 !== 0)) machine.percpu.free(pointer)
      return []
    },
    run: ({ percpu }) => {
      percpu.trim()
      return true
    },
  },
}

/** The scene's machine, and what is in use of it before and after the operation. */
async function made(
  scene: Scene,
  options: object,
): Promise<{ world: World; prepared: readonly number[]; before: string; after: string }> {
  let prepared: readonly number[] = []
  const make = () =>
    prepare({ memory: '1 MiB', cpus: 2, percpu: { unit: UNIT }, ...options }, (machine) => {
      prepared = scene.prepare(machine)
    })
  const ended = await make()
  const machine = ended.join(0)
  scene.run(machine, prepared)
  const after = new Examined(ended).usage
  const world = await make()
  return { world, prepared, before: new Examined(world).usage, after }
}

describe('a CPU that is killed', () => {
  for (const { name: kind, options } of kinds)
    for (const [name, scene] of Object.entries(scenes))
      it(`while it ${name} leaves all metadata right, and no page lost (${kind})`, async (test) => {
        const { world, prepared, before, after } = await made(scene, options)
        await check(world, test, (t) => {
          t.cpu(0, (cpu) => {
            const machine = world.joined(cpu)
            cpu.prepare(() => machine.percpu.report())
            return scene.run(machine, prepared)
          })
          t.kill(0, { reaper: () => world.reap(0) })
          t.finally(([result]) => {
            const { usage, faults, wrongPages } = new Examined(world)
            assert.deepEqual([faults, wrongPages], [[], []])
            if (result !== undefined) assert.equal(usage, after)
            else assert.ok(usage === before || usage === after, usage)
          })
        })
      })
})
