/** Accesses to memory. With weak memory explored, some loads may be stale. */
import { perform, valueAt } from '../access.js'
import { CODE, COPY_OUT, LOAD } from '../ops.js'
import type { Process } from '../process.js'
import { staleValues } from '../stale.js'
import { RACY } from '../views.js'
import type { World } from '../world.js'

export function access(world: World, process: Process, step: number, code: number): void {
  const { history } = world
  const view = history.view[step]
  if (view === undefined) throw new Error('an access without a view')
  const index = history.index[step] as number
  const a = history.a[step]
  const b = history.b[step]
  const before = valueAt(view, code, index, a, b)
  history.before[step] = before
  const op = code & CODE
  if (code === LOAD && world.weak && view.shadow.kinds[history.word[step] as number] === RACY) {
    const value = loadWeakly(world, step, before)
    world.log(process.cpu, step, value)
    return
  }
  if (op !== LOAD && op !== COPY_OUT) history.changed[step] = 1
  world.log(process.cpu, step, perform(view, code, index, a, b, before))
}

function loadWeakly(world: World, step: number, newest: unknown): unknown {
  const { history } = world
  const values = staleValues(world, step)
  const outcome = world.decide(step, values.length + 1)
  if (outcome === 0) return newest
  const stale = values[outcome - 1] as { value: unknown; step: number }
  history.readFrom[step] = stale.step
  return stale.value
}
