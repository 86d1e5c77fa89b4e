/** A thread of a torture run. With `onoff` it leaves the machine and joins it, again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type Machine } from 'percpu'
import { Random } from './random.js'
import { openSession, tasksOf, type Assignment } from './session.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const assignment = workerData as Assignment
const { role, seed, owner, onoff, handle } = assignment
const random = new Random(seed, owner)
const tell = (text: string): void => port.postMessage(text)

/** Milliseconds online. */
function lasting(): number {
  if (role === 'visitor') return random.below(20)
  return onoff ? 50 + random.below(500) : Infinity
}

/** A number may still be that of a thread which is being cleaned up after. */
async function joinWhenFree(): Promise<Machine> {
  for (let tries = 0; ; tries++) {
    try {
      return join(handle)
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'PERCPU_NO_FREE_CPU'
      if (!isFull || tries === 1000) throw error
      await sleep(2)
    }
  }
}

for (let isFirst = true; ; isFirst = false) {
  const machine = await joinWhenFree()
  const session = openSession(assignment, { machine, random, lasting: lasting(), tell })
  if (isFirst) session.tally.add('threads')
  await session.run(tasksOf(role, session.flavour))
  // Some go without a word: their supervisor cleans up.
  if (role === 'visitor' && random.oneIn(2)) process.exit()
  const isLast = session.isStopped || role === 'visitor'
  if (!isLast) session.tally.add('offlines')
  await machine.offline()
  if (isLast) break
  await sleep(random.below(50))
}
process.exit()
