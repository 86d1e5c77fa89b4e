/**
 * Fake writers replace nothing. They ask for grace periods, queue callbacks and free memory, so
 * that there is more for the machinery to do; and look whether all of it comes about.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { OldCookies } from './old-cookies.js'
import { away } from './reader.js'
import { PATIENCE, turn, waits, type Task } from './task.js'
import { Waiting } from './waiting.js'

/** Milliseconds that a flood lasts, and the most functions that it queues. */
const FLOOD = 150
const FLOOD_LIMIT = 50_000
const FREES = 32

export async function pretendToWrite(task: Task): Promise<void> {
  const { random, tally, flavour } = task
  const cookies = new OldCookies(task)
  const waiting = new Waiting(task, cookies)
  while (!task.isOver) {
    await task.pausePoint()
    tally.add('fakes')
    if (flavour.call && random.oneIn(16)) await barrier(task, flavour.call)
    else if (flavour.call && random.oneIn(128)) await flood(task, flavour.call)
    else if (flavour.free && random.oneIn(8)) await free(task, flavour.free)
    else if (random.oneIn(32)) away(task)
    else await waiting.wait(waiting.choose())
    cookies.check()
    await (flavour.rest !== undefined || random.oneIn(4) ? sleep(random.below(flavour.rest ?? 16)) : turn())
  }
}

type Call = NonNullable<Task['flavour']['call']>
type Free = NonNullable<Task['flavour']['free']>

/** As many functions are called as were queued before a barrier. */
async function barrier(task: Task, call: Call): Promise<void> {
  const { flavour, tally, random } = task
  const count = 1 + random.below(20)
  let invoked = 0
  for (let i = 0; i < count; i++) await post(task, call, () => invoked++)
  await flavour.barrier?.(waits)
  tally.add('barriers')
  if (invoked !== count) task.fail('barrier', `${invoked} of ${count} callbacks had run after a barrier`)
}

function post({ tally }: Task, call: Call, callback: () => void): Promise<void> {
  tally.add('callsPosted')
  const room = call(() => {
    tally.add('callsRun')
    callback()
  })
  tally.add('callsQueued')
  return room
}

async function free({ pool, tally, random }: Task, give: Free): Promise<void> {
  for (let count = random.below(FREES); count > 0; count--) {
    await give(pool.spareBody())
    tally.add('freed')
  }
}

/**
 * Queues functions as fast as it can, while one of them queues itself again and again. That one
 * shows that grace periods go on: each time takes one.
 */
async function flood(task: Task, call: Call): Promise<void> {
  const { tally } = task
  let queued = 0
  let ran = 0
  let laps = 0
  let isOver = false
  const lap = (): void => {
    laps++
    if (!isOver) void post(task, call, lap)
  }
  void post(task, call, lap)
  const end = performance.now() + FLOOD
  const limit = performance.now() + PATIENCE
  while ((performance.now() < end && queued < FLOOD_LIMIT) || laps < 3) {
    for (let i = 0; i < 100 && queued < FLOOD_LIMIT; i++) {
      queued++
      await post(task, call, () => ran++)
    }
    await turn()
    if (performance.now() > limit) break
  }
  isOver = true
  await task.flavour.barrier?.(waits)
  tally.add('floods')
  tally.add('flooded', queued)
  if (laps < 3 || ran !== queued)
    task.fail('forward-progress', `in a flood ${ran} of ${queued} callbacks ran, in ${laps} grace periods`)
}
