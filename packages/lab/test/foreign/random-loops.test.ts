/**
 * Random programs with loops that wait. A search through all their states, which knows nothing of
 * blocked turns, says what the programs may give, and whether one may be stuck.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExplorationFailure, explore } from 'percpu-lab'
import { transform } from '../../dist/foreign/transform.js'
import { generator } from '../../dist/search/random.js'

/** An operation on word `i`, with a value that is 0 or 1; `j` is another word. */
interface Operation {
  readonly name: keyof typeof sources
  readonly i: number
  readonly v: number
  readonly j: number
}
const sources = {
  store: (i: number, v: number) => `Atomics.store(w, ${i}, ${v})`,
  load: (i: number) => `out.push(Atomics.load(w, ${i}))`,
  equal: (i: number, v: number) => `while (Atomics.load(w, ${i}) !== ${v});`,
  swap: (i: number, v: number) => `while (Atomics.compareExchange(w, ${i}, ${v}, ${1 - v}) !== ${v});`,
  exchange: (i: number, v: number) => `for (;;) { if (Atomics.exchange(w, ${i}, ${v}) !== ${v}) break }`,
  retry: (i: number) =>
    `{ let o; do { o = Atomics.load(w, ${i}) } while (Atomics.compareExchange(w, ${i}, o, 1 - o) !== o); out.push(o) }`,
  either: (i: number, v: number, j: number) =>
    `while (Atomics.load(w, ${i}) !== ${v} && Atomics.load(w, ${j}) === ${v});`,
} as const
const names = Object.keys(sources) as (keyof typeof sources)[]
type Program = readonly (readonly Operation[])[]

interface State {
  readonly words: number[]
  /** `at` is the operation, `half` the value that its first half has read, or -1. */
  readonly cpus: { at: number; half: number; readonly out: number[] }[]
}

/** The state after a step of a CPU. */
function after(state: State, cpu: number, { name, i, v, j }: Operation): State {
  const next = structuredClone(state)
  const { words } = next
  const own = next.cpus[cpu] as State['cpus'][number]
  const value = words[i] as number
  let ends = true
  if (name === 'store') words[i] = v
  else if (name === 'load') own.out.push(value)
  else if (name === 'equal') ends = value === v
  else if (name === 'swap') {
    ends = value === v
    if (ends) words[i] = 1 - v
  } else if (name === 'exchange') {
    ends = value !== v
    words[i] = v
  } else if (own.half < 0) {
    ends = name === 'either' && value === v
    if (!ends) own.half = value
  } else if (name === 'either') {
    ends = words[j] !== v
    if (!ends) own.half = -1
  } else {
    ends = value === own.half
    if (ends) {
      words[i] = 1 - value
      own.out.push(value)
    } else own.half = -1
  }
  if (ends) Object.assign(own, { at: own.at + 1, half: -1 })
  return next
}

/** What the CPUs may have given at the end, and whether an end can be out of reach. */
function outcomesOf(program: Program): { readonly outcomes: readonly string[]; readonly stuck: boolean } {
  const states: State[] = [{ words: [0, 0, 0], cpus: program.map(() => ({ at: 0, half: -1, out: [] })) }]
  const known = new Map([[JSON.stringify(states[0]), 0]])
  const before: number[][] = [[]]
  const ends: number[] = []
  for (let at = 0; at < states.length; at++) {
    const state = states[at] as State
    let ended = true
    for (const [cpu, operations] of program.entries()) {
      const operation = operations[state.cpus[cpu]?.at ?? 0]
      if (operation === undefined) continue
      ended = false
      const next = after(state, cpu, operation)
      const key = JSON.stringify(next)
      const number = known.get(key) ?? states.push(next) - 1
      known.set(key, number)
      ;(before[number] ??= []).push(at)
    }
    if (ended) ends.push(at)
  }
  const reaching = new Set(ends)
  for (const at of reaching) for (const earlier of before[at] ?? []) reaching.add(earlier)
  const outcomes = ends.map((at) => JSON.stringify(states[at]?.cpus.map(({ out }) => out)))
  return { outcomes: [...new Set(outcomes)].sort(), stuck: reaching.size < states.length }
}

async function compiled(program: Program): Promise<readonly ((words: Int32Array) => number[])[]> {
  const bodies = program.map((operations) => {
    const statements = operations.map(({ name, i, v, j }) => sources[name](i, v, j))
    return `(w) => { const out = []; ${statements.join('; ')}; return out }`
  })
  const { code } = transform(`export const bodies = [${bodies.join(', ')}]`, { file: 'random.js' })
  const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
    bodies: ((words: Int32Array) => number[])[]
  }
  return module.bodies
}

test('random programs give what they can, and starve where they can', async () => {
  const random = generator(22)
  const counts = { starved: 0, complete: 0 }
  while (counts.complete < 25 || counts.starved < 10) {
    const program = Array.from({ length: 2 + random(2) }, () =>
      Array.from({ length: 1 + random(3) }, () => ({
        name: names[random(names.length)] as keyof typeof sources,
        i: random(3),
        v: random(2),
        j: random(3),
      })),
    )
    const { outcomes, stuck } = outcomesOf(program)
    if (stuck && counts.starved >= 10) continue
    counts[stuck ? 'starved' : 'complete']++
    const bodies = await compiled(program)
    const found = new Set<string>()
    let starves = false
    await explore(
      'random',
      (t) => {
        const words = new Int32Array(t.shared.buffer)
        bodies.forEach((body, cpu) => t.cpu(cpu, () => body(words)))
      },
      { observe: (results) => void found.add(JSON.stringify(results)) },
    ).catch((error: unknown) => {
      assert.ok(error instanceof ExplorationFailure && error.kind === 'starvation', String(error))
      starves = true
    })
    assert.equal(starves, stuck, JSON.stringify(program))
    if (!stuck) assert.deepEqual([...found].sort(), outcomes, JSON.stringify(program))
  }
})
