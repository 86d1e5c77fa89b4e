/** Readers whose sections are synchronous stretches. */
import { setTimeout as sleep } from 'node:timers/promises'
import { COUNTED_READS } from './pace.js'
import { Glimpse } from './glimpse.js'
import { State } from './layout.js'
import { inspect, SectionProbe } from './probe.js'
import { ReaderTally } from './tally.js'
import { spin, turn, type Task } from './task.js'

/** Sections between two returns to the event loop. */
const BURST = 40

export async function readSynchronously(task: Task): Promise<void> {
  const { random } = task
  const tally = new ReaderTally(task.tally)
  while (!task.isOver) {
    await task.pausePoint()
    for (let i = 0; i < BURST; i++) {
      section(task, tally)
      // Each of these ends the stretch, and with it the section.
      const end = random.below(8)
      if (end === 0) await Promise.resolve()
      else if (end === 1) task.machine.poll()
    }
    if (random.oneIn(64)) away(task)
    tally.flush()
    await breathe(task)
  }
}

/** One section; some are long, and in some others nest. */
function section(task: Task, tally: ReaderTally, depth = 0): void {
  const { flavour, random } = task
  const token = flavour.readLock()
  const glimpse = new Glimpse(task)
  const probe = random.oneIn(COUNTED_READS) ? new SectionProbe(task) : undefined
  delay(task)
  if (depth < 3 && random.oneIn(8)) {
    task.tally.add('nestedReads')
    section(task, tally, depth + 1)
  }
  inspect(task, glimpse, tally)
  probe?.end(tally)
  flavour.readUnlock(token)
}

/** There may be more threads than processors: none of them may have all of one. */
export function breathe({ random }: Task): Promise<void> {
  return random.oneIn(4) ? sleep(1) : turn()
}

/** As the kernel's: seldom 200 µs, very seldom much longer. */
export function delay({ random }: Task): void {
  if (random.oneIn(2000)) spin(20)
  else if (random.oneIn(100)) spin(0.2)
}

/** A stretch in which this CPU reads nothing, or what a deaf one may. */
export function away(task: Task): void {
  const { machine, random, state, flavour } = task
  task.tally.add('stretches')
  if (random.oneIn(2)) {
    machine.cpus.park((state + State.words.parking) * 4, 0, 1 + random.below(3))
    return
  }
  machine.cpus.deaf(() => {
    if (flavour.mayReadDeaf === true) readDeaf(task)
    else spin(random.below(4))
    if (flavour.mayReadDeaf === false) expectRefusal(task)
  })
}

function readDeaf(task: Task): void {
  const tally = new ReaderTally(task.tally)
  for (let i = 0; i < BURST; i++) section(task, tally)
  task.tally.add('deafReads', tally.reads)
  tally.flush()
}

function expectRefusal(task: Task): void {
  try {
    task.flavour.readUnlock(task.flavour.readLock())
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'PERCPU_SRCU_MISUSE') return
    throw error
  }
  task.fail('refused', 'a deaf CPU was given a section of a fast domain')
}
