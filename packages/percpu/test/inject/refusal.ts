/**
 * An operation that is made while something is missing: it works, or is refused with the typed
 * error of that and has changed nothing. Afterwards it works.
 */
import assert from 'node:assert/strict'
import type { Machine } from 'percpu'
import { turns, unhook, verifySpaces, World, type Row } from './worlds.js'

const { attempt, hasSucceeded } = await import('../doors/outcome.js')
const { Snapshot } = await import('../doors/snapshot.js')

/** What gives back, ends, or wakes. The first `free` of a domain takes memory for its lists. */
const ENDS =
  /\.(unlock|unpin|release|put|end|free|complete(All)?|notify(All)?|commit|rollback|readUnlock|upRead|offline|stop|\[Symbol\.(asyncD|d)ispose\])( |$)/
export const isLeaving = ({ door }: Row): boolean => /offline|asyncDispose/.test(door)
export const isEnd = ({ door }: Row): boolean => ENDS.test(door) && door !== 'Srcu.free'

/** Caches that rows make on the way, and those of sizes, stay: they are made once. */
const isOnTheWay = (name: string): boolean => name === 'samples' || name.startsWith('size-')
/** What there is, but for what CPUs keep for themselves. */
function contents(machine: Machine): unknown {
  return {
    allocations: machine.heap.allocations().map(({ address, persistent }) => [address, persistent]),
    caches: machine.heap
      .report()
      .caches.map(({ name }) => name)
      .filter((name) => !isOnTheWay(name)),
    objects: machine.objects.list().map(({ name }) => name),
    locks: machine.locks.heldBy(machine.cpu),
    percpu: machine.percpu.report().usedBytes,
    present: machine.cpus.present,
    srcu: machine.watch.inspect().gracePeriods.map(({ domain }) => domain),
  }
}

/** Returns the code of the error with which the row is refused; undefined if it works. */
export async function refusal(
  row: Row,
  make: (machine: Machine) => () => void,
  code: string,
): Promise<string | undefined> {
  const world = new World()
  const { machine } = world
  try {
    // A section ends with the synchronous stretch in which it began.
    const made = row.make(world)
    const use = made instanceof Promise ? await made : made
    const end = make(machine)
    const found = contents(machine)
    const snapshot = code === 'PERCPU_TOO_MANY_LOCKS' ? new Snapshot(machine) : undefined
    const attempted = attempt(use.call, use.args)
    const outcome = attempted instanceof Promise ? await attempted : attempted
    if (hasSucceeded(outcome)) {
      if (isLeaving(row)) return undefined
      end()
      const undone = outcome.value === undefined ? undefined : use.undo(outcome.value)
      if (undone instanceof Promise) await undone
      return undefined
    }
    assert.equal(outcome.ended === 'threw' || outcome.ended === 'rejected', true, outcome.ended)
    const error = outcome.value as { code?: string }
    assert.equal(error.code, code, String((error as Error).stack))
    // A name that was given and taken away is freed after a grace period.
    if (code === 'PERCPU_OUT_OF_MEMORY') await machine.rcu.barrier()
    assert.deepEqual(contents(machine), found, 'it has changed something')
    // Meanwhile others run if it is asynchronous.
    if (outcome.ended === 'threw') assert.equal(snapshot?.difference(), undefined)
    end()
    const retried = attempt(use.call, use.args)
    const again = retried instanceof Promise ? await retried : retried
    assert.ok(hasSucceeded(again), `afterwards: ${String((again.value as Error | undefined)?.stack)}`)
    const undone = use.undo(again.value)
    if (undone instanceof Promise) await undone
    return error.code
  } finally {
    await check(world)
  }
}
async function check(world: InstanceType<typeof World>): Promise<void> {
  const { machine } = world
  world.close()
  await turns(1)
  try {
    machine.heap.verify()
    machine.percpu.verify()
    verifySpaces(machine)
  } catch (error) {
    if ((error as { code?: string }).code !== 'PERCPU_OFFLINE') throw error
  }
  await world.end()
  unhook()
}
