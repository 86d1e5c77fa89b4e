// A page-table walker without a lock, and somebody who frees the table it walks.
//
// CPU 0 follows an entry to a table and reads it. CPU 1 clears the entry and reuses the table. In
// between, CPU 1 must know that nobody is on the way. Either every CPU has answered a doorbell,
// which none does in the middle of a walk, or walkers count themselves.
//
// docs/paging.md, "How it is tested", tells which explorations do this with the real walks.
//
//     node examples/lab-walker.js
import assert from 'node:assert/strict'
import { explore, mem, percpu } from 'percpu-lab'

const { atomic, i32, published, racy, struct } = percpu
const Root = struct('Root', { entry: atomic(i32) })
const Table = struct('Table', { page: published(i32) })
const Walkers = struct('Walkers', { counted: atomic(i32), plain: racy(i32) })

/** @typedef {import('percpu-lab').Scenario} Scenario */
/** @typedef {import('percpu-lab').CpuContext} Cpu */
/** @typedef {(cpu: Cpu) => void} Step */

/**
 * The walk, and what stands around it.
 *
 * @param {(t: Scenario) => { enter?: Step, leave?: Step, wait?: Step }} protect
 */
export const walk = (protect) => (/** @type {Scenario} */ t) => {
  const root = t.memory(Root, 'root')
  const table = t.memory(Table, 'table')
  root.entry.store(1)
  table.page = 42
  const { enter, leave, wait } = protect(t)
  t.cpu(0, (cpu) => {
    enter?.(cpu)
    const page = root.entry.load() === 1 ? table.page : undefined
    leave?.(cpu)
    cpu.safepoint() // returns to its event loop
    assert.ok(page === 42 || page === undefined)
  })
  t.cpu(1, (cpu) => {
    root.entry.store(0)
    wait?.(cpu)
    table.page = 7 // for somebody else from now on
  })
}

/** Nothing. */
export const unprotected = () => ({})

/**
 * CPU 1 rings and waits for the answer. A doorbell answered in the middle of the walk says nothing.
 *
 * @param {'anywhere' | 'safepoints'} at
 */
export const doorbell = (at) => (/** @type {Scenario} */ t) => {
  const answer = t.ipi(() => undefined, { at, name: 'doorbell' })
  return { wait: (/** @type {Cpu} */ cpu) => cpu.ipiAndWait(0, answer) }
}

/** A kernel's walker keeps interrupts out. */
export const masked = (/** @type {Scenario} */ t) => ({
  ...doorbell('anywhere')(t),
  enter: (/** @type {Cpu} */ cpu) => void cpu.mask(),
  leave: (/** @type {Cpu} */ cpu) => cpu.unmask(),
})

/** Walkers count themselves, in one atomic step that is also the barrier before the walk. */
export const counted = (/** @type {Scenario} */ t) => {
  const walkers = t.memory(Walkers, 'walkers')
  return {
    enter: () => void walkers.counted.add(1),
    leave: () => void walkers.counted.sub(1),
    wait: () => void mem.awaitUntil(() => walkers.counted.load() === 0),
  }
}

/** The same count without a barrier: others may see it late. */
export const countedPlainly = (/** @type {Scenario} */ t) => {
  const walkers = t.memory(Walkers, 'walkers')
  return {
    enter: () => void (walkers.plain = 1),
    leave: () => void (walkers.plain = 0),
    wait: () => void mem.awaitUntil(() => walkers.plain === 0),
  }
}

/** @param {string} name @param {(t: Scenario) => void} scenario */
async function find(name, scenario) {
  const found = await explore(name, scenario, { weak: true }).catch((error) => error)
  console.log(found instanceof Error ? `${found.message}\n` : `${name}: no failure\n`)
}

await find('no protection', walk(unprotected))
await find('a doorbell answered in the middle', walk(doorbell('anywhere')))
await find('a count without a barrier', walk(countedPlainly))
const proved = [
  await explore('a doorbell answered between turns', walk(doorbell('safepoints')), {
    expect: { executions: 4 },
  }),
  await explore('a doorbell, interrupts masked', walk(masked), { expect: { executions: 3 } }),
  await explore('a count with a barrier', walk(counted), { expect: { executions: 3 } }),
]
for (const { name, executions } of proved) console.log(`${name}: all ${executions} executions are right`)
