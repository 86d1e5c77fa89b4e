/**
 * The table of all operations, with faults put into each: its thread killed at some access, memory
 * full, all places for locks taken. Loads the library with hooked accesses; import it first.
 *
 * `PERCPU_SEED` chooses other accesses, `PERCPU_INJECT` how many of each operation.
 */
import assert from 'node:assert/strict'
import type { Machine } from 'percpu'
import { control } from '../support/hooked-mem.js'
import { randomFrom } from '../support/random.js'

// Killed threads go on in timers of this one: what those throw is nobody's. Nor may what they wait
// for keep the process alive.
type Timer = (callback: (...args: unknown[]) => void, ...rest: unknown[]) => NodeJS.Timeout
const timers: NodeJS.Timeout[] = []
const original = globalThis.setTimeout as unknown as Timer
const quiet: Timer = (callback, ...rest) => {
  const timer = original(
    (...args) => {
      try {
        callback(...args)
      } catch (error) {
        if (!isKilled(error)) throw error
      }
    },
    ...rest,
  )
  timers.push(timer)
  return timer
}
Object.assign(globalThis, { setTimeout: quiet })

const hooked = await import('../support/hooked-percpu.js')
export const { joinAs, Killed } = hooked
export const { table } = await import('../doors/table.js')
export const { World } = await import('../doors/world.js')
export type Row = (typeof table)[number]
type Use = Awaited<ReturnType<Row['make']>>
export type Place = InstanceType<typeof World>

export const seed = Number(process.env['PERCPU_SEED'] ?? 3)
export const random = randomFrom(seed)
export const samples = Number(process.env['PERCPU_INJECT'] ?? 1)

/** Rows that make calls on a machine of their own. */
export const rows: readonly Row[] = table.filter(({ exempt }) => exempt === undefined)

function isKilled(error: unknown): boolean {
  return error instanceof Killed || (error instanceof Error && error.cause instanceof Killed)
}

/** Some turns of the event loop. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * Makes the call, whose thread ends before its access number `at`, counted from the call on.
 * Returns how many it made.
 */
export async function killedAt(world: Place, use: Use, at: number): Promise<number> {
  const { memory } = world.machine
  const views = new Set<unknown>([memory, ...(Object.values(memory) as unknown[])])
  let count = 0
  control.before = (name, [view]) => {
    if (views.has(view) && name !== 'waitAsync32' && count++ >= at) throw new Killed()
  }
  let result: unknown
  try {
    result = use.call(...use.args)
    if (count <= at && !(result instanceof Promise)) void use.undo(result)
  } catch (error) {
    // It is killed, or refused.
    result = error
  }
  // A section ends with the stretch in which it began.
  if (!(result instanceof Promise)) world.close()
  // It may wait for what never comes.
  if (result instanceof Promise) await Promise.race([result.catch((error: unknown) => error), turns()])
  await turns(1)
  if (count > at) {
    // For good.
    for (const view of views) if (typeof view === 'object' && view !== null) control.dead.add(view)
    control.before = (_name, [view]) => {
      if (views.has(view)) throw new Killed()
    }
  } else control.before = undefined
  return count
}
/** The victim is forgotten. */
export function unhook(): void {
  control.before = undefined
  for (const timer of timers.splice(0)) clearTimeout(timer)
}
/** To be called when the tests run: by then the runner listens to what nobody catches. */
export function muteKilled(): void {
  const name = 'unhandledRejection'
  const listeners = process.listeners(name)
  process.removeAllListeners(name)
  process.on(name, (reason, promise) => {
    if (!isKilled(reason)) for (const listener of listeners) listener(reason, promise)
  })
}

/** Of a machine that has page tables. */
export function verifySpaces(machine: Machine): void {
  const hasSpaces = machine.watch.structs().some(({ struct }) => struct.name === 'SpaceRoot')
  if (hasSpaces) machine.space('to verify').verify()
}

/** Nothing of CPU `dead` is left, everything is whole, and a new thread can work. */
export async function assertWhole(machine: Machine, dead: number | undefined, when: string): Promise<void> {
  if (dead !== undefined) {
    assert.deepEqual(machine.locks.heldBy(dead), [], `${when}: locks of the dead CPU`)
    const left = machine.heap.allocations().filter(({ cpu, persistent }) => cpu === dead && !persistent)
    assert.deepEqual(left, [], `${when}: memory in flight`)
  }
  machine.heap.verify({ quiet: true })
  machine.percpu.verify()
  verifySpaces(machine)
  await machine.rcu.synchronize({ timeout: 20_000 })
  const next = joinAs(machine, 99)
  next.heap.free(next.heap.alloc(64))
  next.percpu.free(next.percpu.alloc(16))
  next.locks.mutex('of the next one').lock({ timeout: 0 }).unlock()
  await next.offline()
}
