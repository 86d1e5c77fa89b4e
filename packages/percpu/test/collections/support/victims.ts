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

/**
 * Runs `work`, and ends the thread of its machine object before that one's access number `at`,
 * whatever it does by then. Returns whether it got that far.
 */
export async function killAfter(victim: Machine, at: number, work: () => unknown): Promise<boolean> {
  let count = 0
  const outcome = { isDead: false }
  const dead = new Promise<void>((resolve) => {
    mem.control.before = (_name, [view]) => {
      if (!mem.viewsOf(victim.memory).includes(view as object) || count++ < at) return
      outcome.isDead = true
      bury(victim)
      resolve()
      throw new Killed()
    }
  })
  const ended = new Promise((resolve) => {
    resolve(work())
  }).catch(() => undefined)
  await Promise.race([dead, ended])
  if (!outcome.isDead) mem.control.before = undefined
  return outcome.isDead
}

/** To be called when the tests run: by then the runner listens to what nobody catches. */
export function muteKilled(): void {
  for (const name of ['unhandledRejection', 'uncaughtException'] as const) {
    const listeners = process.listeners(name as 'unhandledRejection')
    process.removeAllListeners(name)
    process.on(name as 'unhandledRejection', (reason, promise) => {
      if (!(reason instanceof Killed)) for (const listener of listeners) listener(reason, promise)
    })
  }
}
