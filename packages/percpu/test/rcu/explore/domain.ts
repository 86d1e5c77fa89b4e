/** What the explorations of SRCU share: a world with a domain, its words named, and its readers. */
import assert from 'node:assert/strict'
import { mem, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import type { SrcuFlavour } from 'percpu'
import { check as explored, prepare, type World } from '../../support/world.js'

const { addressOf } = await import('../../support/inside.js')
const { REASON_QUIESCE, Ringer, USER_REASONS_SHIFT } = await import('../../../dist/cpus/ringer.js')
const { SrcuCpuLayout, SrcuLayout } = await import('../../../dist/rcu/srcu-layouts.js')

/** `object` is poisoned when it is freed; `pointer` is 0 from before the grace period on. */
const Words = percpu.struct('Words', {
  pointer: percpu.atomic(percpu.i32),
  object: percpu.published(percpu.i32),
})
export const OVER = 1
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Explores with the words of the domain 's' named. */
export function check(
  { world, address, parts }: Prepared,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
): Promise<void> {
  const scenario = (t: Scenario) => {
    t.name(world.memory, address, SrcuLayout, 's')
    parts.forEach((part, cpu) => t.name(world.memory, part, SrcuCpuLayout, `s.cpu${cpu}`))
    describe(t)
  }
  return explored(world, test, scenario, options)
}

export interface Prepared {
  readonly world: World
  readonly flavour: SrcuFlavour
  /** Byte addresses of the domain, and of the CPUs' parts. */
  readonly address: number
  readonly parts: readonly number[]
  /** Word indices of the nodes of its tree; none if it is small. */
  readonly tree: readonly number[]
}
/** `fanout`: then the domain is big from the start, with a tree of that fan-out. */
export async function withDomain(cpus: number, flavour: SrcuFlavour, fanout?: number): Promise<Prepared> {
  let address = 0
  let parts: number[] = []
  let tree: number[] = []
  const world = await prepare({ cpus, ...(fanout === undefined ? {} : { fanout }) }, (machine) => {
    const domain = machine.srcu('s', { flavour })
    if (fanout !== undefined) (domain as typeof domain & { grow(): void }).grow()
    address = addressOf(machine.memory, 'srcu', 's')
    const pointer = mem.loadAtomic32(machine.memory.i32, address / 4)
    const copiesOf = (pointer: number): number[] =>
      Array.from({ length: cpus }, (_, cpu) => machine.percpu.address(pointer, cpu))
    parts = copiesOf(pointer)
    const treePointer = mem.loadAtomic32(machine.memory.i32, address / 4 + SrcuLayout.words.tree)
    if (treePointer !== 0) tree = copiesOf(treePointer).map((copy) => copy / 4)
  })
  return { world, flavour, address, parts, tree }
}

/** A CPU with the domain. `over` resolves when it is told that it may end. */
export function open({ world }: Prepared, cpu: CpuContext) {
  return cpu.prepare(() => {
    const machine = world.join(cpu.number)
    const over = new Promise<void>((resolve) => machine.cpus.onRing(OVER, () => resolve()))
    return { machine, domain: machine.srcu('s'), over }
  })
}
export type Opened = ReturnType<typeof open>

export function shared(t: Scenario, name = 'words') {
  const words = t.memory(Words, name)
  words.pointer.store(1)
  words.object = 42
  return words
}
export type Shared = ReturnType<typeof shared>

/** A section. One that were not waited for would race with the freeing. */
export function read({ domain }: Opened, words: Shared): void {
  const token = domain.readLock()
  if (words.pointer.load() === 1) assert.equal(words.object, 42)
  domain.readUnlock(token)
}
/** A section that lasts across a turn of the event loop. */
export async function readLong({ domain }: Opened, words: Shared): Promise<void> {
  const token = domain.readLock()
  const found = words.pointer.load()
  await turn()
  if (found === 1) assert.equal(words.object, 42)
  domain.readUnlock(token)
}
export async function update({ domain }: Opened, words: Shared): Promise<void> {
  words.pointer.store(0)
  await domain.synchronize()
  words.object = -1
}
/** CPU 0 updates, then lets the others end. */
export function updater(t: Scenario, prepared: Prepared, words: Shared, ...others: number[]): void {
  t.cpu(0, async (cpu) => {
    const opened = open(prepared, cpu)
    await update(opened, words)
    tellOver(opened, ...others)
  })
}
/** The last updater lets the others end. */
export function tellOver({ machine }: Opened, ...cpus: number[]): void {
  machine.cpus.ring(cpus, OVER)
}
/** By the reaper of the CPU that would have told. */
export function tellOverOfDead({ world }: Prepared, cpu: number): void {
  new Ringer(world.table).ring(cpu, 1 << (USER_REASONS_SHIFT + OVER))
}
/** As a grace period does that needs the CPU's report. */
export function ringQuiesce({ world }: Prepared, cpu: number): void {
  new Ringer(world.table).ring(cpu, REASON_QUIESCE)
}
