/** Readers whose sections last across awaits, several at once on one thread. */
import { setTimeout as sleep } from 'node:timers/promises'
import { COUNTED_READS } from './pace.js'
import { Glimpse } from './glimpse.js'
import { inspect, SectionProbe } from './probe.js'
import { away, breathe, delay } from './reader.js'
import { ReaderTally } from './tally.js'
import { turn, type Task } from './task.js'

/** Tasks of a reading thread: their sections overlap. */
export const READING_TASKS = 3
const BURST = 8

export async function readAcrossAwaits(task: Task): Promise<void> {
  const { random } = task
  const tally = new ReaderTally(task.tally)
  while (!task.isOver) {
    await task.pausePoint()
    for (let i = 0; i < BURST; i++) await section(task, tally)
    if (random.oneIn(64)) away(task)
    tally.flush()
    await breathe(task)
  }
  tally.flush()
}

async function section(task: Task, tally: ReaderTally, depth = 0): Promise<void> {
  const { flavour, random } = task
  const slow = random.oneIn(2) ? flavour.slowReadLock : undefined
  const isLong = slow !== undefined && random.oneIn(400)
  const token = slow ? await slow(isLong) : flavour.readLock()
  const glimpse = new Glimpse(task)
  const probe = random.oneIn(COUNTED_READS) ? new SectionProbe(task) : undefined
  // A grace period that has forgotten it ends meanwhile.
  if (isLong) await sleep(60)
  const pauses = random.pick([0, 0, 1, 2, 5]) ?? 0
  for (let i = 0; i < pauses; i++) await pause(task)
  delay(task)
  if (depth < 3 && random.oneIn(8)) {
    task.tally.add('nestedReads')
    await section(task, tally, depth + 1)
  }
  inspect(task, glimpse, tally)
  probe?.end(tally)
  flavour.readUnlock(token)
}

function pause({ random }: Task): Promise<void> {
  if (random.oneIn(400)) return sleep(20)
  if (random.oneIn(20)) return sleep(1)
  return random.oneIn(2) ? turn() : Promise.resolve()
}
