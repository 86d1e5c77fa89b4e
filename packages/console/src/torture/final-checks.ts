/** What must hold at the end, when all threads have gone. */
import type { Coordinator } from './coordinator.js'
import type { Crew } from './crew.js'
import { PIPE_LENGTH } from './layout.js'
import type { FlavourName } from './options.js'
import { openDomain } from './session.js'
import { waits, type Session } from './task.js'

export async function checkAtTheEnd(
  session: Session,
  { coordinator, crew, flavour }: { coordinator: Coordinator; crew: Crew; flavour: FlavourName },
): Promise<void> {
  const { tally } = session
  await coordinator.audit()
  // What was asked for by threads that have gone is over then.
  await session.flavour.synchronize(waits)
  await session.machine.rcu.barrier(waits)
  if (session.flavour.barrier) await coordinator.barrier()
  checkCallbacks(session, coordinator.callbacksLost, crew.kills)
  checkMemory(session, crew.kills)
  const tooFar = tally.histogram('circulation')[PIPE_LENGTH] ?? 0
  if (tooFar > 0) session.fail('circulation', `${tooFar} elements went further round than they may`)
  if (tally.count('downs') !== tally.count('ups'))
    session.fail(
      'unbalanced',
      `${tally.count('downs')} sections were handed over, ${tally.count('ups')} ended so`,
    )
  if (tally.hasFailed) return
  if (flavour === 'srcu' || flavour === 'srcu-normal' || flavour === 'tiny')
    await openDomain(session.machine, flavour).cleanup()
}

/** A kill may come between counting a callback and queueing it, or just after it has run. */
function checkCallbacks(session: Session, lost: number, kills: number): void {
  const [posted, ran] = [session.tally.count('callsPosted'), session.tally.count('callsRun')]
  if (Math.abs(posted - ran - lost) <= kills) return
  session.fail(
    'lost-callbacks',
    `of ${posted} callbacks ${ran} ran and ${lost} were lost, with ${kills} kills`,
  )
}

/** A kill may lose one body, between two writes. */
function checkMemory(session: Session, kills: number): void {
  const { pool, machine } = session
  const left = pool.countBodies(machine)
  if (left < 1 || left > 1 + kills)
    session.fail(
      'lost-memory',
      `${left} bodies are allocated at the end, and one is in use, after ${kills} kills`,
    )
  machine.heap.verify({ quiet: true })
}
