/**
 * The search agrees with brute force: over random programs it finds exactly the classes of
 * executions that the enumeration of every interleaving finds, and its shards find together what it
 * finds.
 *
 *     node packages/lab/dist-test/engine/fuzz.test.js --programs 2000 --seed 7     more of them
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseArgs } from 'node:util'
import { ExplorationFailure, explore, type ExploreOptions } from '../../dist/index.js'
import { classOf, type Feature, randomScenario } from './random-scenarios.js'

const { values } = parseArgs({
  options: { programs: { type: 'string', default: '25' }, seed: { type: 'string', default: '1' } },
  strict: false,
})
const programs = Number(values.programs)
const firstSeed = Number(values.seed)
/** Interleavings of a program, at most; larger ones are passed over. */
const most = 6000

interface Explored {
  /** What the bodies returned. */
  readonly results: ReadonlySet<string>
  readonly classes: ReadonlyMap<string, number>
  readonly failure: string | undefined
  readonly truncated: boolean
}

async function classesOf(
  describe: Parameters<typeof explore>[1],
  options: ExploreOptions,
): Promise<Explored> {
  const classes = new Map<string, number>()
  const results = new Set<string>()
  const observe: ExploreOptions['observe'] = (found, execution, world) => {
    results.add(JSON.stringify(found))
    if (execution === 1) classes.clear()
    const name = classOf(world)
    classes.set(name, (classes.get(name) ?? 0) + 1)
  }
  try {
    const { truncated } = await explore('random', describe, { ...options, observe })
    return { classes, results, failure: undefined, truncated }
  } catch (error) {
    if (!(error instanceof ExplorationFailure)) throw error
    return { classes, results, failure: error.kind, truncated: false }
  }
}

const sets: readonly (readonly Feature[])[] = [
  [],
  ['choose'],
  ['spin'],
  ['wait'],
  ['wait', 'timeout'],
  ['kill'],
  ['wait', 'timeout', 'kill'],
  ['irq'],
  ['irq', 'mask'],
  ['irq', 'kill'],
  ['spin', 'kill'],
  ['spin', 'irq', 'kill'],
  ['ipi'],
  ['ipi', 'mask'],
  ['wait', 'timeout', 'irq'],
]

const sorted = (names: Iterable<string>) => [...names].sort()

for (const [number, features] of sets.entries()) {
  describe(`random programs with ${['accesses', ...features].join(', ')}`, () => {
    const seeds = Array.from({ length: programs }, (_, i) => (firstSeed * 7919 + number * 104_729 + i) | 0)
    it('have the classes that enumeration finds', async () => {
      let compared = 0
      for (const seed of seeds) {
        const { describe, text } = randomScenario(seed, features)
        const every = await classesOf(describe, { mode: 'enumerate', executions: most })
        if (every.truncated) continue
        const one = await classesOf(describe, {})
        assert.equal(one.failure, every.failure, `seed ${seed}: ${text}`)
        if (every.failure !== undefined) continue
        assert.deepEqual(sorted(one.classes.keys()), sorted(every.classes.keys()), `seed ${seed}: ${text}`)
        compared++
      }
      assert.ok(compared * 5 >= programs, `only ${compared} of ${programs} programs could be compared`)
    })
    it('have the same executions in shards', async () => {
      for (const seed of seeds) {
        const { describe, text } = randomScenario(seed, features)
        const whole = await classesOf(describe, { executions: most })
        if (whole.truncated || whole.failure !== undefined) continue
        const shards = await Promise.all(
          [0, 1, 2].map((index) => classesOf(describe, { shard: { index, count: 3 } })),
        )
        const results = new Set(shards.flatMap(({ results }) => [...results]))
        assert.deepEqual(sorted(results), sorted(whole.results), `seed ${seed}: ${text}`)
        // What depends on a handler depends on what it was seen to touch, which shards see a part
        // of.
        if (features.includes('irq') || features.includes('ipi')) continue
        const all = shards.flatMap(({ classes }) => [...classes.keys()])
        assert.deepEqual(sorted(all), sorted(whole.classes.keys()), `seed ${seed}: ${text}`)
        const counts = [whole, ...shards].flatMap(({ classes }) => [...classes.values()])
        assert.ok(
          counts.every((count) => count === 1),
          'one execution of each class',
        )
      }
    })
  })
}
