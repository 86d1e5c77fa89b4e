/** Threads that were killed in the middle of a call: nothing that they have queued goes on. */
import type { Machine } from 'percpu'
import { Killed, mem } from '../../support/hooked-percpu.js'

const dead = new WeakSet<object>()

/** From now on whatever the dead machine object does ends before its next access. */
export function bury(victim: Machine): void {
  for (const view of mem.viewsOf(victim.memory)) dead.add(view)
  mem.control.before = (_name, [view]) => {
    if (typeof view === 'object' && view !== null && dead.has(view)) throw new Killed()
  }
}

/** To be called when the tests run: by then the runner listens to what nobody catches. */
export function muteKilled(): void {
  const name = 'unhandledRejection'
  const listeners = process.listeners(name)
  process.removeAllListeners(name)
  process.on(name, (reason, promise) => {
    if (!(reason instanceof Killed)) for (const listener of listeners) listener(reason, promise)
  })
}
