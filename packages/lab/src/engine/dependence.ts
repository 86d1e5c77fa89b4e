/** Whether the order of a step and the next step of a process matters. Sleep sets ask this. */
import { CODE, ENTER, KILL, NOTIFY, touchesQueue, writes } from './ops.js'
import type { Process } from './process.js'
import { wasWaiting, type Waiter } from './waiters.js'
import type { World } from './world.js'

/** Whether swapping step `step`, just taken, with the next step of `process` could matter. */
export function dependsOn(world: World, process: Process, step: number): boolean {
  const { history } = world
  const by = world.processes[history.process[step] as number] as Process
  if (by.cpu === process.cpu) {
    if (!by.runs || !process.runs) return true
    // The code below a handler cannot run while the handler does. So the entry of a handler sleeps
    // only until its CPU takes a step.
    if (process.code === ENTER || history.code[step] === ENTER) return true
  }
  const code = history.code[step] as number
  // A notify depends on the kill of a CPU that it wakes, or that it would have woken.
  if (process.code === KILL)
    return (code & CODE) === NOTIFY && (history.b[step] as Waiter[]).some(({ cpu }) => cpu === process.cpu)
  if (code === KILL)
    return (process.code & CODE) === NOTIFY && wasWaiting(history.b[step], process.view?.shadow, process.word)
  const view = history.view[step]
  if (view === undefined || process.view === undefined || view.shadow !== process.view.shadow) return false
  const queues = touchesQueue(code) && touchesQueue(process.code)
  if (queues && history.word[step] === process.word) return true
  const words = history.words[step] as number
  const first = history.word[step] as number
  if (words === 0 || process.words === 0) return false
  if (first >= process.word + process.words || process.word >= first + words) return false
  if (!writes(code) && !writes(process.code)) return false
  return words > 1 || process.words > 1 || ((history.mask[step] as number) & process.mask) !== 0
}
