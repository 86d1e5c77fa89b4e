/** A thread of a torture run. With `onoff` it leaves the machine and joins it, again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { joinWhenFree } from './join-when-free.js'
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

for (let isFirst = true; ; isFirst = false) {
  const machine = await joinWhenFree(handle)
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
