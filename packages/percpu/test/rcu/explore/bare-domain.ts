/**
 * Domains on CPUs that have nothing but what grace periods need. They take a tenth of the time of
 * whole machines: so more can be explored completely.
 */
import assert from 'node:assert/strict'
import {
  ExplorationFailure,
  explore,
  mem,
  nameStructs,
  type CpuContext,
  type ExploreOptions,
  type Scenario,
} from 'percpu-lab'
import type { Srcu, SrcuFlavour } from 'percpu'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import { check as explored, prepare, type World } from '../../support/world.js'

const { NormalSrcu } = await import('../../../dist/rcu/srcu-normal.js')
const { makeFastSrcu } = await import('../../../dist/rcu/srcu-fast.js')
const { SrcuWords } = await import('../../../dist/rcu/srcu-words.js')

interface Internal {
  readonly words: { readonly words: number; readonly parts: readonly number[] }
}
export interface Domains {
  readonly world: World
  readonly flavour: SrcuFlavour
  readonly structs: Parameters<typeof nameStructs>[2]
  /** Word indices, by name. */
  readonly places: ReadonlyMap<string, { readonly words: number; readonly parts: readonly number[] }>
}

export async function withDomains(
  cpus: number,
  flavour: SrcuFlavour,
  names: readonly string[] = ['s'],
): Promise<Domains> {
  const places = new Map<string, { words: number; parts: readonly number[] }>()
  let structs: Domains['structs'] = []
  const world = await prepare({ cpus }, (machine) => {
    for (const name of names) places.set(name, (machine.srcu(name, { flavour }) as unknown as Internal).words)
    structs = machine.watch.structs().filter(({ name }) => name.startsWith('srcu'))
  })
  return { world, flavour, structs, places }
}

/** Nobody queues anything here. */
const none = { pending: 0, settle: () => Promise.resolve([]), close: () => undefined }

/** A CPU with the domains, in the order of their names. `words`: of the first one. */
export function openBare({ world, flavour, places }: Domains, cpu: CpuContext) {
  return cpu.prepare(() => {
    const own = world.bare(cpu)
    const all = [...places].map(([name, { words, parts }]) => ({
      name,
      words: new SrcuWords({ memory: world.memory, words, parts }),
      own,
      assertMayBlock: () => undefined,
      sleep: (isDone: () => boolean): boolean => {
        mem.awaitUntil(isDone)
        return true
      },
      free: () => Promise.resolve(),
      callbacks: none as never,
      tree: () => undefined,
      grow: () => undefined,
    }))
    const domains = all.map((one): Srcu => (flavour === 'normal' ? new NormalSrcu(one) : makeFastSrcu(one)))
    const [domain] = domains
    const [first] = all
    if (domain === undefined || first === undefined) throw new Error('no domain')
    return { own, domains, domain, words: first.words }
  })
}

/** Explores with all words named. */
export function check(
  domains: Domains,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
): Promise<void> {
  return explored(domains.world, test, (t) => describe(withNames(t, domains)), options)
}
function withNames(t: Scenario, { world, structs }: Domains): Scenario {
  nameStructs(t, world.memory, structs)
  return t
}

/** The failure that exploring it finds. */
export async function failureOf(
  domains: Domains,
  name: string,
  describe: (t: Scenario) => void,
  options?: ExploreOptions,
): Promise<ExplorationFailure> {
  const scenario = (t: Scenario): void => {
    domains.world.name(t)
    describe(withNames(t, domains))
  }
  try {
    await explore(name, scenario, options)
  } catch (error) {
    if (error instanceof ExplorationFailure) return error
    throw error
  }
  return assert.fail(`${name}: no failure`)
}
