/**
 * The models of the two examples, against brute force: the versions that are right have as many
 * classes of executions as the examples expect, and enumeration finds what the search finds in
 * those that are wrong.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ExplorationFailure, explore, type ExploreOptions, type Scenario } from '../../dist/index.js'
import { classOf } from './random-scenarios.js'
import { reports } from './support.js'

type Model = (t: Scenario) => void
type Import<Names extends string> = Record<Names, (...args: unknown[]) => Model>

// The examples print what they find; here only what they export is of interest.
const { log } = console
console.log = () => undefined
process.env['PERCPU_LAB_REPORT'] = reports
const example = (name: string) => import(new URL(`../../../../examples/${name}`, import.meta.url).href)
const contexts = (await example('lab-two-contexts.js')) as Import<'twoReaders' | 'andAnUpdater'> &
  Record<'separately' | 'uninterruptibly', unknown>
const walker = (await example('lab-walker.js')) as Import<'walk' | 'doorbell'> &
  Record<'unprotected' | 'counted' | 'countedPlainly' | 'masked', unknown>
console.log = log

const { separately, uninterruptibly } = contexts
const right: Record<string, [Model, number]> = {
  'two readers': [contexts.twoReaders(uninterruptibly), 3],
  // The search runs some of its classes twice.
  'two readers and an updater': [contexts.andAnUpdater(uninterruptibly), 17],
  'a doorbell between turns': [walker.walk(walker.doorbell('safepoints')), 4],
  'a doorbell and masks': [walker.walk(walker.masked), 3],
  'a count with a barrier': [walker.walk(walker.counted), 3],
}
const wrong: Record<string, [Model, string]> = {
  'two readers': [contexts.twoReaders(separately), 'assertion'],
  'two readers and an updater': [contexts.andAnUpdater(separately), 'starvation'],
  'no protection': [walker.walk(walker.unprotected), 'data race'],
  'a doorbell anywhere': [walker.walk(walker.doorbell('anywhere')), 'data race'],
  'a count without a barrier': [walker.walk(walker.countedPlainly), 'data race'],
}

describe('the histories', () => {
  for (const [name, [model, count]] of Object.entries(right))
    it(`${name}, right: ${count} classes of executions`, async () => {
      const classes = { exhaustive: new Set<string>(), enumerate: new Set<string>() }
      for (const mode of ['exhaustive', 'enumerate'] as const) {
        const observe: ExploreOptions['observe'] = (_, execution, world) => {
          if (execution === 1) classes[mode].clear()
          classes[mode].add(classOf(world))
        }
        await explore(name, model, { mode, observe })
      }
      assert.deepEqual([...classes.exhaustive].sort(), [...classes.enumerate].sort())
      assert.equal(classes.enumerate.size, count)
    })
  for (const [name, [model, kind]] of Object.entries(wrong))
    it(`${name}, wrong: ${kind}`, async () => {
      for (const mode of ['exhaustive', 'enumerate', 'pct'] as const) {
        const failure: unknown = await explore(name, model, { mode, weak: true }).catch(
          (error: unknown) => error,
        )
        assert.ok(failure instanceof ExplorationFailure, mode)
        assert.equal(failure.kind, kind)
      }
    })
})
