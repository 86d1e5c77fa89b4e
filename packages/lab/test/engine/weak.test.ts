/**
 * Plain loads of racy words with `weak`: the litmus shapes give every outcome that the memory model
 * of ECMAScript allows, except load buffering, and nothing else.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu, type Scenario } from '../../dist/index.js'
import type { NamedTest } from '../../dist/testing/index.js'
import { explored } from './support.js'

const { struct, atomic, racy, i32 } = percpu
const Words = struct('Words', { x: racy(i32), y: racy(i32), flag: atomic(i32) })
type Accessor = ReturnType<typeof Words.at>

async function outcomes(
  test: NamedTest,
  describe: (m: Accessor, t: Scenario) => void,
  weak = true,
): Promise<string[]> {
  const seen = new Set<string>()
  const scenario = (t: Scenario) => describe(t.memory(Words), t)
  const observe = (results: readonly unknown[]) => void seen.add(results.flat().join(''))
  await explored(test, scenario, { weak, observe })
  return [...seen].sort()
}

const readers =
  (...loads: readonly ((m: Accessor) => number)[]) =>
  (m: Accessor): number[] =>
    loads.map((load) => load(m))
const x = (m: Accessor) => m.x
const y = (m: Accessor) => m.y

describe('weak loads', () => {
  const messagePassing = (m: Accessor, t: Scenario) => {
    t.cpu(0, () => {
      m.x = 1
      m.y = 1
      return []
    })
    t.cpu(1, () => readers(y, x)(m))
  }
  it('see the flag without the message', async (test) => {
    assert.deepEqual(await outcomes(test, messagePassing), ['00', '01', '10', '11'])
  })
  it('do so only where the model is asked for', async (test) => {
    assert.deepEqual(await outcomes(test, messagePassing, false), ['00', '01', '11'])
  })
  it('see both words old (store buffering)', async (test) => {
    const found = await outcomes(test, (m, t) => {
      t.cpu(0, () => {
        m.x = 1
        return readers(y)(m)
      })
      t.cpu(1, () => {
        m.y = 1
        return readers(x)(m)
      })
    })
    assert.deepEqual(found, ['00', '01', '10', '11'])
  })
  it('see one word go backwards (CoRR)', async (test) => {
    const found = await outcomes(test, (m, t) => {
      t.cpu(0, () => {
        m.x = 1
        return []
      })
      t.cpu(1, () => readers(x, x)(m))
    })
    assert.deepEqual(found, ['00', '01', '10', '11'])
  })
  it('see independent writes in different orders (IRIW)', async (test) => {
    const found = await outcomes(test, (m, t) => {
      t.cpu(0, () => {
        m.x = 1
        return []
      })
      t.cpu(1, () => {
        m.y = 1
        return []
      })
      t.cpu(2, () => readers(x, y)(m))
      t.cpu(3, () => readers(y, x)(m))
    })
    assert.ok(found.includes('1010'))
    assert.equal(found.length, 16)
  })
  it('never see a store that is still to come (load buffering)', async (test) => {
    const found = await outcomes(test, (m, t) => {
      t.cpu(0, () => {
        const seen = m.x
        m.y = 1
        return [seen]
      })
      t.cpu(1, () => {
        const seen = m.y
        m.x = 1
        return [seen]
      })
    })
    assert.deepEqual(found, ['00', '01', '10'])
  })
  it('do not see what was overwritten before, in happens-before', async (test) => {
    const found = await outcomes(test, (m, t) => {
      t.cpu(0, () => {
        m.x = 1
        m.x = 2
        m.flag.store(1)
        return []
      })
      t.cpu(1, () => [m.flag.load(), m.x])
    })
    assert.deepEqual(found, ['00', '01', '02', '12'])
  })
})
